// Checks the passwords of users and server admins at CouchDB.
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import { ownerOf, readAdmin, readUserDocument, userIn, userOf } from './couch-accounts.ts';
import { type Principal } from '../principal/principal.ts';
import { isPasswordOf } from './user-password.ts';

export type UserVerdict =
  | { readonly outcome: 'accepted'; readonly principal: Principal & { readonly kind: 'user' | 'owner' } }
  | { readonly outcome: 'wrong' }
  /** CouchDB has locked the account: it also refuses the correct password. */
  | { readonly outcome: 'locked' };

export interface UserCheck {
  /** Checks a password at CouchDB, with at most MAX_CONCURRENT checks at once. Throws `Unavailable`. */
  check(name: string, basic: string, ip: string): Promise<UserVerdict>;
  /** Returns the user of the current document if the document has this password. Throws `Unavailable`. */
  current(name: string, password: string): Promise<Principal | undefined>;
  /** False only if CouchDB reports that it has no server admin of this name. Throws `Unavailable`. */
  isOwnerName(name: string): Promise<boolean>;
}

/**
 * A check costs CouchDB up to a third of a second of one core (H12). The limit keeps many checks from using
 * all cores.
 */
const MAX_CONCURRENT = 16;
/**
 * CouchDB closes the connection for a header of about 8 KB. A longer value is therefore wrong, and must not
 * count as an outage.
 */
const MAX_BASIC_LENGTH = 7000;

/**
 * Creates the check: `GET /_session` with the caller's credentials (`basic` is their canonical base64) and
 * the client address. CouchDB's lockout counts by that address; only Couchgate sets it (H6, H12).
 * Source: docs.couchdb.org/en/stable/api/server/authn.html#get--_session
 */
export function createUserCheck(couch: Pick<Couch, 'ask'>): UserCheck {
  const waiting: (() => void)[] = [];
  let running = 0;
  return {
    async check(name, basic, ip) {
      if (basic.length > MAX_BASIC_LENGTH) return { outcome: 'wrong' };
      if (running < MAX_CONCURRENT) running += 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        const headers = { Authorization: `Basic ${basic}`, 'X-Forwarded-For': ip };
        const { status, body } = await couch.ask({ method: 'GET', path: '/_session', headers });
        return verdictOf(name, status, body);
      } finally {
        // Passes the slot to the next waiting check, or frees it.
        const next = waiting.shift();
        if (next === undefined) running -= 1;
        else next();
      }
    },
    async current(name, password) {
      const document = await readUserDocument(couch, name);
      if (document === undefined || !(await isPasswordOf(document, password))) return undefined;
      return userIn(document, name);
    },
    isOwnerName: async (name) => (await readAdmin(couch, '_local', name)) !== undefined,
  };
}

function verdictOf(name: string, status: number, body: unknown): UserVerdict {
  if (status === 401) return { outcome: 'wrong' };
  if (status === 403) return { outcome: 'locked' };
  const { userCtx } = (body ?? {}) as { userCtx?: { name?: unknown; roles?: unknown } };
  if (status !== 200 || userCtx === undefined) {
    throw new Unavailable('Credentials cannot be checked at present.', {
      detail: `_session answered ${status}`,
    });
  }
  // An anonymous response: CouchDB ignored the header. Another name: CouchDB parsed the header differently.
  if (userCtx.name !== name) return { outcome: 'wrong' };
  const roles = Array.isArray(userCtx.roles) ? (userCtx.roles as readonly unknown[]) : [];
  if (roles.includes('_admin')) return { outcome: 'accepted', principal: ownerOf(name) };
  return { outcome: 'accepted', principal: userOf(name, roles) };
}
