// Remembers which credentials were right, from where, and since when; never a secret. Checking them is credential-check.ts's business.
import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { RecentChanges } from '../invalidation/recent-changes.ts';
import { type Accepted } from './credential-check.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';

export interface KnownCredentials {
  readonly verdict: Accepted;
  readonly checkedAt: number;
  /** In an outage: not checked again before that time. */
  holdUntil: number;
  /** Client addresses from which they were right. From another one they count only where no lock stands in the way. */
  readonly addresses: Set<string>;
}

/** Credentials in memory; past this number, the least recently used ones are dropped. */
const MAX_CREDENTIALS = 25_000;
/** Addresses per credentials. In a plain set: an lru-cache of this size takes 6 kB, even for one address. */
const MAX_ADDRESSES = 256;

export class CredentialCache {
  readonly #known = new LRUCache<string, KnownCredentials>({
    max: MAX_CREDENTIALS,
    noDisposeOnSet: true,
    dispose: ({ verdict }, digest) => this.#unindex(verdict.principal.name, digest),
  });
  readonly #digestsOf = new Map<string, Set<string>>();
  // A key of this process alone: what is in memory tells nothing about a password elsewhere. Two keys and two hashes are HMAC's construction.
  readonly #inner = randomBytes(32).toString('hex');
  readonly #outer = randomBytes(32).toString('hex');
  readonly #settling: RecentChanges;
  #drops = 0;

  constructor(bus: Pick<InvalidationBus, 'onInvalidation'>, now: () => number = Date.now) {
    this.#settling = new RecentChanges(now);
    bus.onInvalidation((item) => {
      if (item.kind === 'user') this.#settling.record(item.name);
      if (item.kind === 'key' || item.kind === 'user') this.drop(item.name);
    });
  }

  /** False for a user that changed so lately that CouchDB may still take the password it had before. */
  isSettled(name: string): boolean {
    return this.#settling.isSettled(name);
  }

  /** Keyed digest of credentials, under which they are known. */
  digestOf(credentials: string): string {
    return hash('sha256', this.#outer + hash('sha256', this.#inner + credentials));
  }

  get(digest: string): KnownCredentials | undefined {
    return this.#known.get(digest);
  }

  /** How often anything was dropped: a check that began before a drop must not be remembered after it. */
  get drops(): number {
    return this.#drops;
  }

  remember(digest: string, verdict: Accepted, checkedAt: number, ip: string): void {
    const addresses = this.#known.get(digest)?.addresses ?? new Set<string>();
    if (addresses.size >= MAX_ADDRESSES && !addresses.has(ip)) dropOldest(addresses);
    addresses.add(ip);
    this.#known.set(digest, { verdict, checkedAt, holdUntil: 0, addresses });
    const { name } = verdict.principal;
    const digests = this.#digestsOf.get(name) ?? new Set();
    this.#digestsOf.set(name, digests.add(digest));
  }

  forget(digest: string): void {
    this.#known.delete(digest);
  }

  /** Nothing that was known of this name counts any more. */
  drop(name: string): void {
    this.#drops += 1;
    for (const digest of [...(this.#digestsOf.get(name) ?? [])]) this.forget(digest);
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
