// Remembers which credentials were right, from where, and since when; never a secret. Checking them is credential-check.ts's business.
import { hash, randomBytes } from 'node:crypto';
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

/** Credentials that are remembered at once; past that number the ones checked longest ago are forgotten. */
const KEPT = 25_000;
/** Addresses that are remembered for one of them. */
const ADDRESSES_KEPT = 256;

export class CredentialCache {
  readonly #known = new Map<string, KnownCredentials>();
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
    if (addresses.size >= ADDRESSES_KEPT) addresses.clear();
    addresses.add(ip);
    this.forget(digest);
    const oldest = this.#known.size >= KEPT ? this.#known.keys().next() : undefined;
    if (oldest?.done === false) this.forget(oldest.value);
    this.#known.set(digest, { verdict, checkedAt, holdUntil: 0, addresses });
    const { name } = verdict.principal;
    const digests = this.#digestsOf.get(name) ?? new Set();
    this.#digestsOf.set(name, digests.add(digest));
  }

  forget(digest: string): void {
    const name = this.#known.get(digest)?.verdict.principal.name;
    if (name === undefined) return;
    this.#known.delete(digest);
    const digests = this.#digestsOf.get(name);
    digests?.delete(digest);
    if (digests?.size === 0) this.#digestsOf.delete(name);
  }

  /** Nothing that was known of this name counts any more. */
  drop(name: string): void {
    this.#drops += 1;
    for (const digest of [...(this.#digestsOf.get(name) ?? [])]) this.forget(digest);
  }

  get size(): number {
    return this.#known.size;
  }
}
