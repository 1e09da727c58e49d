// Asks CouchDB whether a name and a password are right: its users and its server admins are its own. Remembering the answer is
// credential-cache.ts's business.
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import { ownerOf, readAdmin, readUserDocument, userIn, userOf } from './couch-accounts.ts';
import { type Principal } from '../principal/principal.ts';
import { isPasswordOf } from './user-password.ts';

export type UserVerdict =
  | { readonly outcome: 'accepted'; readonly principal: Principal & { readonly kind: 'user' | 'owner' } }
  | { readonly outcome: 'wrong' }
  /** CouchDB itself refuses further tries, the right password included. */
  | { readonly outcome: 'locked' };

export interface UserCheck {
  /** Throws `Unavailable`, never more than a stated number of checks at once. */
  check(name: string, basic: string, ip: string): Promise<UserVerdict>;
  /** The user as its document is now, where that has this password. Throws `Unavailable`. */
  current(name: string, password: string): Promise<Principal | undefined>;
  /** False only where CouchDB says that it has no server admin of that name. Throws `Unavailable`. */
  isOwnerName(name: string): Promise<boolean>;
}

/** One check costs CouchDB up to a third of a second of a core (H12): a storm of them must not take all there is. */
const AT_ONCE = 16;
/** CouchDB breaks off at a header of some 8 KB, so a longer one has never signed anybody in; that it breaks off must not pass for an outage. */
const LONGEST_BASIC = 7000;

/**
 * `GET /_session` with the caller's own credentials, `basic` being their one base64 form, and the one client address: CouchDB's
 * lockout counts by it, and Couchgate alone says what it is (H6, H12).
 * Source: docs.couchdb.org/en/stable/api/server/authn.html#get--_session
 */
export function createUserCheck(couch: Pick<Couch, 'ask'>): UserCheck {
  const waiting: (() => void)[] = [];
  let running = 0;
  return {
    async check(name, basic, ip) {
      if (basic.length > LONGEST_BASIC) return { outcome: 'wrong' };
      if (running < AT_ONCE) running += 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        const headers = { Authorization: `Basic ${basic}`, 'X-Forwarded-For': ip };
        const { status, body } = await couch.ask({ method: 'GET', path: '/_session', headers });
        return verdictOf(name, status, body);
      } finally {
        // The place goes to the next in line, or is free.
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
  // An anonymous answer means that CouchDB did not take the header for credentials; another name, that it read it otherwise than we did.
  if (userCtx.name !== name) return { outcome: 'wrong' };
  const roles = Array.isArray(userCtx.roles) ? (userCtx.roles as readonly unknown[]) : [];
  if (roles.includes('_admin')) return { outcome: 'accepted', principal: ownerOf(name) };
  return { outcome: 'accepted', principal: userOf(name, roles) };
}
