// Checks the passwords of users and server admins at CouchDB.
import { hash, randomBytes } from 'node:crypto';
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
  userIn,
  userOf,
} from './couch-accounts.ts';
import { DECOY_NAME, type DecoyUser } from './decoy-user.ts';
import { type Principal } from '../principal/principal.ts';
import { isPasswordOf } from './user-password.ts';

export type UserVerdict =
  | { readonly outcome: 'accepted'; readonly principal: Principal & { readonly kind: 'user' | 'owner' } }
  | { readonly outcome: 'wrong' }
  /** CouchDB has locked the account: it also refuses the correct password. */
  | { readonly outcome: 'locked' };

type Refusal = Exclude<UserVerdict, { readonly outcome: 'accepted' }>;

export interface UserCheck {
  /**
   * Checks a password at CouchDB when the limiter of hashes has a slot (H12.2). A name that does not exist
   * costs the same requests and the same hash as one that does (H23). Throws `Unavailable`.
   */
  check(name: string, basic: string, ip: string): Promise<UserVerdict>;
  /** The check of a name that is refused in any case, with the same requests. Throws `Unavailable`. */
  refuse(name: string, basic: string, ip: string): Promise<Refusal>;
  /** Returns the user of the current document if the document has this password. Throws `Unavailable`. */
  current(name: string, password: string): Promise<Principal | undefined>;
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
/** Maximum number of names in each memory; the oldest is removed first. */
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
): UserCheck {
  const known = new KnownPasswords();
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
    if (iterations !== undefined && (!mayBeRight(account) || known.isOther(name, account, basic)))
      return askDecoy(name, basic, ip);
    const verdict = await ask(name, { Authorization: `Basic ${basic}`, 'X-Forwarded-For': ip });
    if (verdict.outcome === 'accepted') known.store(name, account, basic);
    const isCheap = iterations !== undefined && iterationsOf(account) < iterations / 2;
    return verdict.outcome === 'wrong' && isCheap ? askDecoy(name, basic, ip) : verdict;
  }

  return {
    async check(name, basic, ip) {
      if (basic.length > MAX_BASIC_LENGTH) return WRONG;
      return hashes.check(() => check(name, basic, ip));
    },
    async refuse(name, basic, ip) {
      if (basic.length > MAX_BASIC_LENGTH) return WRONG;
      return hashes.check(async () => {
        await accountOf(name);
        return (await decoy.ensure()) === undefined ? WRONG : askDecoy(name, basic, ip);
      });
    },
    async current(name, password) {
      const document = await readUserDocument(couch, name);
      if (document === undefined || !(await isPasswordOf(document, password))) return undefined;
      return userIn(document, name);
    },
    isOwnerName: async (name) =>
      isPathSegment(name) && (await readAdmin(couch, '_local', name)) !== undefined,
    recall: (name) => existing.has(name),
  };
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
  if (typeof admin === 'string') return admin.startsWith('-pbkdf2') ? Number(admin.split(',')[2] ?? 0) : 0;
  const { password_scheme: scheme, iterations } = user ?? {};
  return scheme === 'pbkdf2' && typeof iterations === 'number' ? iterations : 0;
}

/**
 * Digests of correct passwords, by name. An account has one password, so any other is wrong. CouchDB itself
 * caches a correct password for ten minutes; during that time it refuses others without a hash.
 */
class KnownPasswords {
  readonly #known = new Map<string, { readonly state: string; readonly password: string }>();
  readonly #key = randomBytes(32).toString('hex');

  store(name: string, account: Account, basic: string): void {
    this.#known.delete(name);
    const oldest = this.#known.size >= MAX_KNOWN ? this.#known.keys().next() : undefined;
    if (oldest?.done === false) this.#known.delete(oldest.value);
    this.#known.set(name, { state: stateOf(account), password: this.#digest(basic) });
  }

  /** True if the password of the unchanged account is known, and is not this one. */
  isOther(name: string, account: Account, basic: string): boolean {
    const known = this.#known.get(name);
    return known?.state === stateOf(account) && known.password !== this.#digest(basic);
  }

  #digest(basic: string): string {
    return hash('sha256', this.#key + hash('sha256', this.#key + basic));
  }
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
