// Decides whether a name and a password are right, wherever they were given: in a Basic header or at POST /_session. A name is looked up in
// exactly one place (H13): if it is a key's, a revoked one's included, CouchDB is never asked.
import { setTimeout as pause } from 'node:timers/promises';
import { type HttpError, TooManyRequests, Unauthorized, Unavailable } from '../http-errors.ts';
import { type KeyStore } from './api-key.ts';
import { type GivenCredentials, readBasic } from './basic-credentials.ts';
import { type CredentialCache, type KnownCredentials } from './credential-cache.ts';
import { LOCKED, type LoginLimit } from '../limits/login-limit.ts';
import { holdsUntil, type InvalidationBus } from '../invalidation/bus.ts';
import { type Principal } from '../principal/principal.ts';
import { type UserCheck } from './user-check.ts';

/** `version` names the password of a key; it is empty for a user and for the owner. */
export interface Accepted {
  readonly outcome: 'accepted';
  readonly principal: Principal;
  readonly version: string;
}

export interface Refused {
  readonly outcome: 'refused';
  readonly error: HttpError;
}

/** `none` = nothing was given: what clients send to be nobody. */
export type CredentialVerdict = Accepted | Refused | { readonly outcome: 'none' };

export interface CredentialCheck {
  /** Checks the base64 part of a Basic header, as it came: at once where it is known, else a promise. Throws 400 and `Unavailable`. */
  check(basic: string, ip: string): CredentialVerdict | Promise<CredentialVerdict>;
}

export interface CredentialCheckOptions {
  readonly cache: CredentialCache;
  readonly keys: Pick<KeyStore, 'verify' | 'holds'>;
  readonly users: UserCheck;
  readonly limit: LoginLimit;
  readonly bus: Pick<InvalidationBus, 'upUntil'>;
  readonly credentialCacheSeconds: number;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  /** Refusals leave at multiples of that time, so that the time they take tells nothing about a name (H12). */
  readonly refusalQuantumMs?: number;
  readonly now?: () => number;
  readonly wait?: (milliseconds: number) => Promise<unknown>;
}

/** One sentence for an unknown name and for a wrong password. CouchDB's own. */
const WRONG = 'Name or password is incorrect.';
const EXPIRED = 'This API key has expired.';
/** Names that nobody has. */
const NEVER = new Set(['', 'nobody']);
/** Time between two tries for known credentials while CouchDB cannot be asked. */
const HOLD_MS = 1000;
/** CouchDB needs up to a third of a second for a known name and hardly any time for an unknown one. */
const BEAT_MS = 500;

export function createCredentialCheck(options: CredentialCheckOptions): CredentialCheck {
  return new Checker(options);
}

class Checker implements CredentialCheck {
  readonly #options: CredentialCheckOptions;
  readonly #now: () => number;
  /** Checks under way: a client that sends many requests at once asks one question. */
  readonly #running = new Map<string, Promise<CredentialVerdict>>();

  constructor(options: CredentialCheckOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  check(basic: string, ip: string): CredentialVerdict | Promise<CredentialVerdict> {
    const digest = this.#options.cache.digestOf(basic);
    const known = this.#options.cache.get(digest);
    // From another address it may be a guess that hits: then it has to pass the limit as any other.
    if (known?.addresses.has(ip) !== true) return this.#checkOnce(basic, digest, ip);
    const good = this.#isStillGood(known);
    if (good === true) return known.verdict;
    if (good === false) return this.#checkOnce(basic, digest, ip);
    return good.then((holds) => (holds ? known.verdict : this.#checkOnce(basic, digest, ip)));
  }

  /** A key is looked up in its store each time, which is in memory; a password that CouchDB keeps counts for a while. */
  #isStillGood({ verdict, checkedAt, holdUntil }: KnownCredentials): boolean | Promise<boolean> {
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
    // A check from before some news may rest on what the news was about: who asks after it is not answered by it.
    const slot = `${ip} ${this.#options.cache.drops} ${digest}`;
    const running = this.#running.get(slot);
    if (running !== undefined) return running;
    const check = this.#checkAnew(basic, digest, ip).finally(() => this.#running.delete(slot));
    this.#running.set(slot, check);
    return check;
  }

  async #checkAnew(basic: string, digest: string, ip: string): Promise<CredentialVerdict> {
    const given = readBasic(basic);
    if (given === undefined) return { outcome: 'none' };
    const startedAt = this.#now();
    const known = this.#options.cache.get(digest);
    // What was right from this address is no guess: a stranger's wrong ones from behind it do not lock it out.
    const wasRight = known?.addresses.has(ip) === true;
    try {
      const verdict = wasRight
        ? await this.#try(given, digest, ip)
        : await this.#tryInTurn(given, digest, ip);
      if (verdict.outcome === 'refused') await this.#holdBack(startedAt);
      return verdict;
    } catch (error) {
      if (wasRight && this.#outlives(known, error)) return known.verdict;
      if (error instanceof TooManyRequests) return { outcome: 'refused', error };
      throw error;
    }
  }

  async #tryInTurn(given: GivenCredentials, digest: string, ip: string): Promise<Accepted | Refused> {
    const leave = await this.#options.limit.enter(given.name, ip);
    try {
      return await this.#try(given, digest, ip);
    } finally {
      leave();
    }
  }

  /** A wrong password is counted before the next one may be tried. */
  async #try(given: GivenCredentials, digest: string, ip: string): Promise<Accepted | Refused> {
    const verdict = await this.#ask(given, digest, ip);
    if (verdict.outcome === 'refused' && verdict.error.reason === WRONG)
      await this.#options.limit.count(given.name, ip);
    return verdict;
  }

  async #ask(given: GivenCredentials, digest: string, ip: string): Promise<Accepted | Refused> {
    const { cache, keys } = this.#options;
    const { name, password } = given;
    const drops = cache.drops;
    const key = NEVER.has(name) ? ({ outcome: 'wrong' } as const) : await keys.verify(name, password);
    let verdict: Accepted | Refused;
    if (key.outcome === 'accepted') verdict = accept({ kind: 'key', name }, key.version);
    else if (key.outcome === 'expired') verdict = refuse(EXPIRED);
    else if (key.outcome === 'wrong') verdict = refuse(WRONG);
    else verdict = await this.#askCouch(given, ip);
    if (verdict.outcome === 'refused') cache.forget(digest);
    // News in the meantime may have been about this very password.
    else if (cache.drops === drops) cache.remember(digest, verdict, this.#now(), ip);
    return verdict;
  }

  /** CouchDB's users and server admins. For a user that has just changed, its document decides instead of CouchDB's memory of it. */
  async #askCouch({ name, password, basic }: GivenCredentials, ip: string): Promise<Accepted | Refused> {
    const { cache, users } = this.#options;
    const user = await users.check(name, basic, ip);
    if (user.outcome === 'locked') throw new TooManyRequests(LOCKED, 300);
    const isSettled = cache.isSettled(name);
    if (user.outcome === 'wrong') {
      // A server admin's name is never a user's, whatever document there is.
      if (isSettled || (await users.isOwnerName(name))) return refuse(WRONG);
    } else if (isSettled || user.principal.kind === 'owner') return accept(user.principal, '');
    const current = await users.current(name, password);
    return current === undefined ? refuse(WRONG) : accept(current, '');
  }

  /** Holds a refusal back so that every one takes as long as any other. */
  async #holdBack(startedAt: number): Promise<void> {
    const beat = this.#options.refusalQuantumMs ?? BEAT_MS;
    if (beat > 0) await (this.#options.wait ?? pause)(beat - ((this.#now() - startedAt) % beat));
  }

  /** What CouchDB said before still decides for a while when it cannot be asked, or will not answer because of somebody else's tries. */
  #outlives(known: KnownCredentials, error: unknown): boolean {
    const { verdict, checkedAt } = known;
    if (verdict.principal.kind === 'key') return false;
    if (!(error instanceof Unavailable || error instanceof TooManyRequests)) return false;
    const now = this.#now();
    if (now >= this.#freshUntil(checkedAt) + this.#options.outageCacheSeconds * 1000) return false;
    known.holdUntil = now + HOLD_MS;
    return true;
  }
}

function accept(principal: Principal, version: string): Accepted {
  return Object.freeze({ outcome: 'accepted', principal: Object.freeze(principal), version });
}

function refuse(reason: string): Refused {
  return { outcome: 'refused', error: new Unauthorized(reason) };
}
