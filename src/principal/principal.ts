// Who asks. Finding out is authenticate's business.

/** Nobody in particular, an API key, a `_users` user of CouchDB, or the owner (a CouchDB server admin). */
export type Principal =
  | { readonly kind: 'nobody'; readonly name: 'nobody' }
  | { readonly kind: 'key'; readonly name: string }
  | { readonly kind: 'user'; readonly name: string; readonly roles: readonly string[] }
  | { readonly kind: 'owner'; readonly name: string; readonly roles: readonly string[] };

export type AuthenticationMethod = 'none' | 'basic' | 'cookie';

/** A principal, and the address it asks from. */
export interface Caller {
  readonly principal: Principal;
  readonly ip: string;
}

export const NOBODY: Principal = Object.freeze({ kind: 'nobody', name: 'nobody' });
