// Checks the passwords of users and server admins at CouchDB.
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import { type PasswordHashLimiter } from '../limits/password-hash-limiter.ts';
import {
  fitsRequestLine,
  isPathSegment,
  ownerOf,
  readAdmin,
  readUserDocument,
  type UserDocument,
  userOf,
} from './couch-accounts.ts';
import { DECOY_NAME, type DecoyUser } from './decoy-user.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';
import { RecentChanges } from '../invalidation/recent-changes.ts';
import { KnownPasswords } from './known-passwords.ts';
import { type Principal } from '../principal/principal.ts';
import { adminHash } from './user-password.ts';

export type UserVerdict =
  | { readonly outcome: 'accepted'; readonly principal: Principal & { readonly kind: 'user' | 'owner' } }
  | { readonly outcome: 'wrong' }
  /** CouchDB has locked the account: it also refuses the correct password. */
  | { readonly outcome: 'locked' };

type Refusal = Exclude<UserVerdict, { readonly outcome: 'accepted' }>;

export interface UserCheck {
  /**
   * Checks a password at CouchDB when the limiter of hashes has a slot (H12.2). A name that does not exist
   * costs the same requests and the same hash as one that does (H23). `wasRight` = this password was right
   * before, from this address: it does not wait for others. Throws `Unavailable`.
   */
  check(name: string, basic: string, ip: string, wasRight: boolean): Promise<UserVerdict>;
  /** The check of a name that is refused in any case, with the same requests. Throws `Unavailable`. */
  refuse(name: string, basic: string, ip: string): Promise<Refusal>;
  /** False only if CouchDB reports that it has no server admin of this name. Throws `Unavailable`. */
  isOwnerName(name: string): Promise<boolean>;
  /** True if a user or server admin had this name at its last check. Memory only; it decides nothing. */
  recall(name: string): boolean;
}

/** Sixteen hashes on a busy core take that long. A node that hashes must not count as failed. */
const HASH_TIMEOUT_MS = 30_000;
/**
 * CouchDB closes the connection for a header of about 8 KB. A longer value is therefore wrong, and must not
 * count as an outage.
 */
const MAX_BASIC_LENGTH = 7000;
/** Names that are remembered as existing. */
const MAX_KNOWN = 25_000;

const WRONG: Refusal = Object.freeze({ outcome: 'wrong' });

/** What CouchDB stores about a name. */
interface Account {
  readonly user: UserDocument | undefined;
  /** The password digest of a server admin. */
  readonly admin: unknown;
}

/**
 * Creates the check: `GET /_session` with the caller's credentials (`basic` is their canonical base64) and
 * the client address. CouchDB's lockout counts by that address; only Couchgate sets it (H6, H12).
 * CouchDB hashes the given password only if the name exists and its correct password was not used lately. In
 * the other cases the decoy is checked instead.
 * Source: docs.couchdb.org/en/stable/api/server/authn.html#get--_session, couch_passwords_cache.erl
 */
export function createUserCheck(
  couch: Pick<Couch, 'ask'>,
  decoy: DecoyUser,
  hashes: Pick<PasswordHashLimiter, 'check'>,
  bus: Pick<InvalidationBus, 'onMessage'>,
): UserCheck {
  const known = new KnownPasswords();
  const changes = forgetChanged(known, bus);
  const existing = new LRUCache<string, true>({ max: MAX_KNOWN });

  async function accountOf(name: string): Promise<Account> {
    const account = await readAccount(couch, name);
    if (account.user === undefined && account.admin === undefined) existing.delete(name);
    else existing.set(name, true);
    return account;
  }

  async function ask(name: string, headers: Readonly<Record<string, string>>): Promise<UserVerdict> {
    const request = { method: 'GET', path: '/_session', headers, timeoutMs: HASH_TIMEOUT_MS } as const;
    const { status, body } = await couch.ask(request);
    return verdictOf(name, status, body);
  }

  async function askDecoy(name: string, basic: string, ip: string): Promise<Refusal> {
    const verdict = await ask(DECOY_NAME, decoy.headersFor(name, basic, ip));
    return verdict.outcome === 'accepted' ? WRONG : verdict;
  }

  async function check(name: string, basic: string, ip: string): Promise<UserVerdict> {
    const account = await accountOf(name);
    const iterations = await decoy.ensure();
    // CouchDB itself caches a correct password for ten minutes; meanwhile it refuses others without a hash.
    const isWrong = !mayBeRight(account) || known.isCorrect(name, stateOf(account), basic) === false;
    if (iterations !== undefined && isWrong) return askDecoy(name, basic, ip);
    const verdict = await ask(name, { Authorization: `Basic ${basic}`, 'X-Forwarded-For': ip });
    // While CouchDB may accept the password before a change, it must not be known as the one of the new hash.
    if (verdict.outcome === 'accepted' && changes.isSettled(name)) known.store(name, stateOf(account), basic);
    const isCheap = iterations !== undefined && iterationsOf(account) < iterations / 2;
    return verdict.outcome === 'wrong' && isCheap ? askDecoy(name, basic, ip) : verdict;
  }

  return {
    async check(name, basic, ip, wasRight) {
      if (basic.length > MAX_BASIC_LENGTH) return WRONG;
      return hashes.check(() => check(name, basic, ip), wasRight);
    },
    async refuse(name, basic, ip) {
      if (basic.length > MAX_BASIC_LENGTH) return WRONG;
      return hashes.check(async () => {
        await accountOf(name);
        return (await decoy.ensure()) === undefined ? WRONG : askDecoy(name, basic, ip);
      });
    },
    isOwnerName: async (name) =>
      isPathSegment(name) && (await readAdmin(couch, '_local', name)) !== undefined,
    recall: (name) => existing.has(name),
  };
}

/** Forgets the passwords of changed users. Returns the changes, which CouchDB may not have applied yet. */
function forgetChanged(known: KnownPasswords, bus: Pick<InvalidationBus, 'onMessage'>): RecentChanges {
  const changes = new RecentChanges(Date.now);
  bus.onMessage((item) => {
    if (item.kind !== 'user') return;
    changes.record(item.name);
    known.forget(item.name);
  });
  return changes;
}

async function readAccount(couch: Pick<Couch, 'ask'>, name: string): Promise<Account> {
  if (!fitsRequestLine(name)) return { user: undefined, admin: undefined };
  const [user, admin] = await Promise.all([
    readUserDocument(couch, name),
    readAdmin(couch, '_local', isPathSegment(name) ? name : DECOY_NAME),
  ]);
  return { user, admin: isPathSegment(name) ? admin : undefined };
}

/** False if CouchDB refuses every password of the account, and hashes none: it is missing, or uses TOTP. */
function mayBeRight({ user, admin }: Account): boolean {
  return admin !== undefined || (user !== undefined && user['totp'] === undefined);
}

/** PBKDF2 iterations of a check; 0 for a digest that costs nothing. */
function iterationsOf({ user, admin }: Account): number {
  const { password_scheme: scheme, iterations } = adminHash(admin) ?? user ?? {};
  return scheme === 'pbkdf2' && typeof iterations === 'number' ? iterations : 0;
}

/** Identifies the stored passwords of an account. */
function stateOf({ user, admin }: Account): string {
  const { salt, derived_key, password_sha } = user ?? {};
  return hash('sha256', JSON.stringify([salt, derived_key, password_sha, admin]));
}

function verdictOf(name: string, status: number, body: unknown): UserVerdict {
  if (status === 401) return WRONG;
  if (status === 403) return { outcome: 'locked' };
  const { userCtx } = (body ?? {}) as { userCtx?: { name?: unknown; roles?: unknown } };
  if (status !== 200 || userCtx === undefined) {
    throw new Unavailable('Credentials cannot be checked at present.', {
      detail: `_session answered ${status}`,
    });
  }
  // An anonymous response: CouchDB ignored the header. Another name: CouchDB parsed the header differently.
  if (userCtx.name !== name) return WRONG;
  const roles = Array.isArray(userCtx.roles) ? (userCtx.roles as readonly unknown[]) : [];
  if (roles.includes('_admin')) return { outcome: 'accepted', principal: ownerOf(name) };
  return { outcome: 'accepted', principal: userOf(name, roles) };
}
