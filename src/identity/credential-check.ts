// Checks a name and a password, from a Basic header or from POST /_session. A name is looked up in one place
// only (H13): if a key has or had the name, no user of CouchDB can sign in with it.
import { setTimeout as pause } from 'node:timers/promises';
import { type HttpError, TooManyRequests, Unauthorized, Unavailable } from '../http-errors.ts';
import { type KeyStore } from './api-key.ts';
import { type ParsedCredentials, readBasic } from './basic-credentials.ts';
import { type CredentialCache, type KnownCredentials } from './credential-cache.ts';
import { LOCKED, type AttemptLimit } from '../limits/attempt-limit.ts';
import { holdsUntil, type InvalidationBus } from '../invalidation/bus.ts';
import { networkOf } from '../principal/caller.ts';
import { type Principal } from '../principal/principal.ts';
import { type CredentialVersions } from './credential-versions.ts';
import { DECOY_NAME } from './decoy-user.ts';
import { describeRefusedLogin, type RefusalCause, type RefusedLogin } from './refused-login.ts';
import { type UserCheck } from './user-check.ts';

/** `version` identifies the password of a key; it is empty for users and owners. */
export interface Accepted {
  readonly outcome: 'accepted';
  readonly principal: Principal;
  readonly version: string;
}

/** `error` is the answer to the client: 401 or 429. `login` is for the access log only. */
export interface Refused {
  readonly outcome: 'refused';
  readonly error: HttpError;
  readonly login?: RefusedLogin;
}

/** `none` = the client sent no credentials. */
export type CredentialVerdict = Accepted | Refused | { readonly outcome: 'none' };

export interface CredentialCheck {
  /**
   * Checks the base64 part of a Basic header, for the client address `ip`. A cached result is returned
   * directly, any other as a promise. Throws 400 and `Unavailable`.
   */
  check(basic: string, ip: string): CredentialVerdict | Promise<CredentialVerdict>;
}

export interface CredentialCheckOptions {
  readonly cache: CredentialCache;
  readonly keys: Pick<KeyStore, 'verify' | 'holds' | 'recall'>;
  readonly users: UserCheck;
  readonly versions: Pick<CredentialVersions, 'confirm'>;
  readonly limit: AttemptLimit;
  readonly bus: Pick<InvalidationBus, 'upUntil'>;
  readonly credentialCacheSeconds: number;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  /**
   * Refusals are sent at multiples of this time, so that their timing does not reveal whether a name exists
   * (H12).
   */
  readonly refusalQuantumMs?: number;
  readonly now?: () => number;
  readonly wait?: (milliseconds: number) => Promise<unknown>;
}

/** A refusal before it becomes an answer. A lock is thrown instead, because its error has `Retry-After`. */
interface Failed {
  readonly outcome: 'failed';
  readonly cause: Exclude<RefusalCause, 'locked'>;
}

/** What the client is told. For an unknown name as for a wrong password: CouchDB, couch_httpd_auth.erl. */
const REASONS: Readonly<Record<Failed['cause'], string>> = {
  wrong: 'Name or password is incorrect.',
  expired: 'This API key has expired.',
};
const WRONG: Failed = Object.freeze({ outcome: 'failed', cause: 'wrong' });
const EXPIRED: Failed = Object.freeze({ outcome: 'failed', cause: 'expired' });
/** Reserved names, which no principal with credentials can have. */
const RESERVED_NAMES = new Set(['', 'nobody', DECOY_NAME]);
/** Time between two checks of cached credentials that CouchDB cannot check at present. */
const RECHECK_MS = 1000;
/** A hash of CouchDB takes up to a third of a second; the rest covers what differs beside it (H12, H23). */
const REFUSAL_QUANTUM_MS = 500;

/** Creates the check of credentials with its cache, login limit and timing. */
export function createCredentialCheck(options: CredentialCheckOptions): CredentialCheck {
  return new Checker(options);
}

class Checker implements CredentialCheck {
  readonly #options: CredentialCheckOptions;
  readonly #now: () => number;
  /** Checks in progress. Parallel requests with the same credentials share one check. */
  readonly #running = new Map<string, Promise<CredentialVerdict>>();

  constructor(options: CredentialCheckOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  check(basic: string, ip: string): CredentialVerdict | Promise<CredentialVerdict> {
    const digest = this.#options.cache.digestOf(basic);
    const known = this.#options.cache.get(digest);
    // From another address, the credentials may be a correct guess. The login limit therefore applies to
    // them.
    if (known?.addresses.has(ip) !== true) return this.#checkOnce(basic, digest, ip);
    const valid = this.#isStillValid(known);
    if (valid === true) return known.verdict;
    if (valid === false) return this.#checkOnce(basic, digest, ip);
    return valid.then((isValid) => (isValid ? known.verdict : this.#checkOnce(basic, digest, ip)));
  }

  /**
   * A key is looked up in its store each time, which has keys in use in memory. A password that CouchDB
   * checked stays valid for the cache time.
   */
  #isStillValid({ verdict, checkedAt, holdUntil }: KnownCredentials): boolean | Promise<boolean> {
    const { principal, version } = verdict;
    if (principal.kind === 'key') return this.#options.keys.holds(principal.name, version);
    const now = this.#now();
    return now < this.#freshUntil(checkedAt) || now < holdUntil;
  }

  #freshUntil(checkedAt: number): number {
    const { bus, credentialCacheSeconds, fallbackCacheSeconds } = this.#options;
    return holdsUntil(bus, checkedAt, credentialCacheSeconds, fallbackCacheSeconds);
  }

  #checkOnce(basic: string, digest: string, ip: string): Promise<CredentialVerdict> {
    // A check that started before an invalidation may use outdated data. The number of drops in the slot
    // prevents that a later request shares it.
    const slot = `${ip} ${this.#options.cache.drops} ${digest}`;
    const running = this.#running.get(slot);
    if (running !== undefined) return running;
    const check = this.#checkUncached(basic, digest, ip).finally(() => this.#running.delete(slot));
    this.#running.set(slot, check);
    return check;
  }

  async #checkUncached(basic: string, digest: string, ip: string): Promise<CredentialVerdict> {
    const given = readBasic(basic);
    if (given === undefined) return { outcome: 'none' };
    const startedAt = this.#now();
    const known = this.#options.cache.get(digest);
    // Credentials that were correct from this address skip the login limit. Wrong passwords of other clients
    // behind the same address therefore do not lock them out.
    const wasRight = known?.addresses.has(ip) === true;
    try {
      const verdict = wasRight
        ? await this.#try(given, digest, ip, true)
        : await this.#tryWithinLimit(given, digest, ip);
      if (verdict.outcome === 'accepted') return verdict;
      const refused = this.#refuse(given.name, verdict.cause, new Unauthorized(REASONS[verdict.cause]));
      await this.#delayRefusal(startedAt);
      return refused;
    } catch (error) {
      if (wasRight && (await this.#staysRight(known, given, error))) return known.verdict;
      if (error instanceof TooManyRequests) return this.#refuse(given.name, 'locked', error);
      throw error;
    }
  }

  #refuse(name: string, cause: RefusalCause, error: HttpError): Refused {
    return { outcome: 'refused', error, login: describeRefusedLogin(name, cause, this.#options) };
  }

  async #tryWithinLimit(given: ParsedCredentials, digest: string, ip: string): Promise<Accepted | Failed> {
    const leave = await this.#options.limit.enter(given.name, ip);
    try {
      return await this.#try(given, digest, ip, false);
    } finally {
      leave();
    }
  }

  /** Counts a wrong password before it returns, so that the next attempt sees the count. */
  async #try(
    given: ParsedCredentials,
    digest: string,
    ip: string,
    wasRight: boolean,
  ): Promise<Accepted | Failed> {
    const verdict = await this.#verify(given, digest, ip, wasRight);
    if (verdict.outcome === 'failed' && verdict.cause === 'wrong')
      await this.#options.limit.count(given.name, ip);
    return verdict;
  }

  async #verify(
    given: ParsedCredentials,
    digest: string,
    ip: string,
    wasRight: boolean,
  ): Promise<Accepted | Failed> {
    const { cache, keys } = this.#options;
    const { name, password } = given;
    const drops = cache.drops;
    const key = RESERVED_NAMES.has(name)
      ? ({ outcome: 'wrong' } as const)
      : await keys.verify(name, password, networkOf(ip));
    let verdict: Accepted | Failed;
    if (key.outcome === 'accepted') verdict = accept({ kind: 'key', name }, key.version);
    else if (key.outcome === 'expired') verdict = EXPIRED;
    else if (key.outcome === 'wrong') verdict = await this.#refuseLikeUser(given, ip);
    else verdict = await this.#verifyWithCouch(given, ip, wasRight);
    if (verdict.outcome === 'failed') cache.remove(digest);
    // An invalidation during the check may concern this password.
    else if (cache.drops === drops) cache.store(digest, verdict, this.#now(), ip);
    return verdict;
  }

  /**
   * Refuses a key or a reserved name after the work that the check of a user costs (H23). If CouchDB cannot
   * do it, the answer is that for an unknown name.
   */
  async #refuseLikeUser({ name, basic }: ParsedCredentials, ip: string): Promise<Failed> {
    const { outcome } = await this.#options.users.refuse(name, basic, ip);
    if (outcome === 'locked') throw new TooManyRequests(LOCKED, 300);
    return WRONG;
  }

  /**
   * Checks users and server admins at CouchDB. For a user that changed recently, its document decides,
   * because the user cache of CouchDB may be outdated.
   */
  async #verifyWithCouch(
    { name, password, basic }: ParsedCredentials,
    ip: string,
    wasRight: boolean,
  ): Promise<Accepted | Failed> {
    const { cache, users, versions } = this.#options;
    const user = await users.check(name, basic, ip, wasRight);
    if (user.outcome === 'locked') throw new TooManyRequests(LOCKED, 300);
    const isSettled = cache.isSettled(name);
    if (user.outcome === 'wrong') {
      // The name of a server admin is never a user's, even if a `_users` document has it.
      if (isSettled || (await users.isOwnerName(name))) return WRONG;
    } else if (isSettled || user.principal.kind === 'owner') return accept(user.principal, '');
    const current = await versions.confirm('user', name, password);
    return current === undefined ? WRONG : accept(current.principal, '');
  }

  /** Delays a refusal to the next multiple of `refusalQuantumMs` since its start. */
  async #delayRefusal(startedAt: number): Promise<void> {
    const quantumMs = this.#options.refusalQuantumMs ?? REFUSAL_QUANTUM_MS;
    if (quantumMs > 0)
      await (this.#options.wait ?? pause)(quantumMs - ((this.#now() - startedAt) % quantumMs));
  }

  /**
   * True if an earlier result still applies although CouchDB did not check the password. If the name is
   * locked, the stored hash decides. If CouchDB is unreachable, the result applies for `outageCacheSeconds`
   * after the cache time.
   */
  async #staysRight(
    known: KnownCredentials,
    { name, password }: ParsedCredentials,
    error: unknown,
  ): Promise<boolean> {
    const { kind } = known.verdict.principal;
    if (kind !== 'user' && kind !== 'owner') return false;
    if (error instanceof TooManyRequests) {
      if ((await this.#options.versions.confirm(kind, name, password)) === undefined) return false;
    } else if (!(error instanceof Unavailable) || this.#now() >= this.#outageEnd(known)) return false;
    known.holdUntil = this.#now() + RECHECK_MS;
    return true;
  }

  #outageEnd({ checkedAt }: KnownCredentials): number {
    return this.#freshUntil(checkedAt) + this.#options.outageCacheSeconds * 1000;
  }
}

function accept(principal: Principal, version: string): Accepted {
  return Object.freeze({ outcome: 'accepted', principal: Object.freeze(principal), version });
}
