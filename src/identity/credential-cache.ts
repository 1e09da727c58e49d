// Caches verified credentials under a keyed digest, with the client addresses that they came from.
import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { RecentChanges } from '../invalidation/recent-changes.ts';
import { type Accepted } from './credential-check.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';

/** A cache entry. `checkedAt` is in milliseconds since the epoch. */
export interface KnownCredentials {
  readonly verdict: Accepted;
  readonly checkedAt: number;
  /** While CouchDB cannot check the credentials, they are not checked again before this time. */
  holdUntil: number;
  /**
   * Client addresses that sent these credentials. A request from another address is checked again, so that
   * the login limit applies to it.
   */
  readonly addresses: Set<string>;
}

/** Credentials in memory; past this number, the least recently used ones are dropped. */
const MAX_CREDENTIALS = 25_000;
/** Addresses per credentials. In a plain set: an lru-cache of this size takes 6 kB, even for one address. */
const MAX_ADDRESSES = 256;

/**
 * Cache of verified credentials. It drops a name when the invalidation bus reports a change of its key or
 * user.
 */
export class CredentialCache {
  readonly #known = new LRUCache<string, KnownCredentials>({
    max: MAX_CREDENTIALS,
    noDisposeOnSet: true,
    dispose: ({ verdict }, digest) => this.#unindex(verdict.principal.name, digest),
  });
  readonly #digestsOf = new Map<string, Set<string>>();
  // A key of this process: a digest alone does not allow offline guessing. One hash is enough: digests do not
  // leave the process, so nobody can extend one, which HMAC prevents.
  readonly #key = randomBytes(32).toString('hex');
  readonly #recent: RecentChanges;
  #drops = 0;

  constructor(bus: Pick<InvalidationBus, 'onMessage'>, now: () => number = Date.now) {
    this.#recent = new RecentChanges(now);
    bus.onMessage((item) => {
      if (item.kind === 'user') this.#recent.record(item.name);
      if (item.kind === 'key' || item.kind === 'user') this.drop(item.name);
    });
  }

  /** False if the user changed so recently that CouchDB may still accept its old password. */
  isSettled(name: string): boolean {
    return this.#recent.isSettled(name);
  }

  /** Returns the cache key of Basic credentials: their keyed digest. */
  digestOf(credentials: string): string {
    return hash('sha256', this.#key + credentials);
  }

  get(digest: string): KnownCredentials | undefined {
    return this.#known.get(digest);
  }

  /**
   * Number of calls of `drop` so far. If it changes during a check, the result of the check must not be
   * cached.
   */
  get drops(): number {
    return this.#drops;
  }

  store(digest: string, verdict: Accepted, checkedAt: number, ip: string): void {
    const addresses = this.#known.get(digest)?.addresses ?? new Set<string>();
    if (addresses.size >= MAX_ADDRESSES && !addresses.has(ip)) dropOldest(addresses);
    addresses.add(ip);
    this.#known.set(digest, { verdict, checkedAt, holdUntil: 0, addresses });
    const { name } = verdict.principal;
    const digests = this.#digestsOf.get(name) ?? new Set();
    this.#digestsOf.set(name, digests.add(digest));
  }

  remove(digest: string): void {
    this.#known.delete(digest);
  }

  /** Removes all entries of a name. */
  drop(name: string): void {
    this.#drops += 1;
    for (const digest of [...(this.#digestsOf.get(name) ?? [])]) this.remove(digest);
  }

  get size(): number {
    return this.#known.size;
  }

  #unindex(name: string, digest: string): void {
    const digests = this.#digestsOf.get(name);
    digests?.delete(digest);
    if (digests?.size === 0) this.#digestsOf.delete(name);
  }
}

function dropOldest(addresses: Set<string>): void {
  for (const oldest of addresses) {
    addresses.delete(oldest);
    return;
  }
}
