// Defines the principal of a request, and the caller: a principal and its address.

/** An anonymous client (`nobody`), an API key, a user of `_users`, or the owner (a CouchDB server admin). */
export type Principal =
  | { readonly kind: 'nobody'; readonly name: 'nobody' }
  | { readonly kind: 'key'; readonly name: string }
  | { readonly kind: 'user'; readonly name: string; readonly roles: readonly string[] }
  | { readonly kind: 'owner'; readonly name: string; readonly roles: readonly string[] };

/** `dashboard` = the session cookie of the dashboard. */
export type AuthenticationMethod = 'none' | 'basic' | 'cookie' | 'dashboard';

/** A principal and its client address. */
export interface Caller {
  readonly principal: Principal;
  readonly ip: string;
}

/**
 * The name by which the principal holds grants. `nobody` is the entry for callers without credentials:
 * `undefined` = a principal with credentials that is called so, and holds nothing (H13).
 */
export function ownName({ kind, name }: Principal): string | undefined {
  return kind !== 'nobody' && name === 'nobody' ? undefined : name;
}

export const NOBODY: Principal = Object.freeze({ kind: 'nobody', name: 'nobody' });
/** The name of Couchgate's own tokens. CouchDB shows it as the author of what Couchgate writes itself. */
export const SELF_NAME = 'couchgate';
