// Keeps the API keys that are in use in memory, and reads the others from the store. The change feed of the
// store keeps the memory current; while it is down, keys are read again.
import { LRUCache } from 'lru-cache';
import { Unavailable, TooBusy } from '../http-errors.ts';
import { InternalReadLimiter } from '../limits/internal-read-limiter.ts';
import { type Store } from '../couch/store.ts';
import { changesAccess, type KeyRecord, REVOKED } from './key-document.ts';
import { readKey } from './key-leaves.ts';
import { changeIn, joinChanges, type KeyChange, KnownKey, type ReadFacts } from './known-key.ts';

export interface KeyCacheOptions {
  readonly store: Store;
  /** Number of keys in memory. */
  readonly maxKeys: number;
  /** Validity of a read while the feed is down; also the minimum time between two reads of one name. */
  readonly fallbackMs: number;
  /** How long keys in memory stay valid while CouchDB is unreachable. */
  readonly outageMs: number;
  /** Called when a change from the feed affects the access of a key. */
  readonly onChange: (name: string) => void;
  readonly now: () => number;
}

/** Names without a correct password whose last read is remembered. */
const MAX_RECENT = 10_000;
/** Names whose last change is remembered; needed until a quorum of the cluster has the change. */
const MAX_CHANGES = 10_000;
/**
 * Reads of names that are not in memory. Fewer than the connections of the client: a flood of guessed names
 * must leave room for other reads (H36). Half of them for one caller.
 */
const READS = { atOnce: 16, waiting: 4096, share: 0.5 };

/** A read that is in progress, and the changes that the feed reported meanwhile. */
interface Reading {
  promise: Promise<KnownKey>;
  change: KeyChange | undefined;
}

/**
 * The API keys in memory. Only a correct password moves a name to the keys that are kept, so that names and
 * wrong passwords cannot evict keys that are in use (H36).
 */
export class KeyCache {
  readonly #options: KeyCacheOptions;
  /** Keys that were used. Current while the feed is up. */
  readonly #kept: LRUCache<string, KnownKey>;
  /** All other names, unknown ones included. An entry is valid for `fallbackMs`. */
  readonly #recent = new LRUCache<string, KnownKey>({ max: MAX_RECENT });
  readonly #changes = new LRUCache<string, KeyChange>({ max: MAX_CHANGES });
  readonly #reading = new Map<string, Reading>();
  readonly #limiter = new InternalReadLimiter(READS);
  /** The name whose invalidation this process publishes at present: its entry has the change already. */
  #announced: string | undefined;
  /** Changes whenever the feed was interrupted: what was read before may be out of date. */
  #feedEpoch = 0;
  /** When reads began to be covered by the feed, in milliseconds since 1970. */
  #coveredFrom = Infinity;
  #lastUp = -Infinity;
  #reads = 0;

  constructor(options: KeyCacheOptions) {
    this.#options = options;
    this.#kept = new LRUCache({ max: options.maxKeys });
    const { store, now } = options;
    store.onRow((row) => {
      const seen = changeIn(row, now());
      if (seen !== undefined && this.#change(seen.name, seen.change)) options.onChange(seen.name);
    });
    store.onState((up) => {
      this.#feedEpoch += 1;
      if (!up) this.#lastUp = now();
      // The feed starts at the present. A change just before may not have reached all copies of the store.
      else if (this.#coveredFrom === Infinity) this.#coveredFrom = now() + options.fallbackMs;
    });
  }

  /** Keys in memory. */
  get size(): number {
    return this.#kept.size;
  }

  /** Names read from the store so far. */
  get reads(): number {
    return this.#reads;
  }

  /**
   * Returns the entry of a name: directly if it is current, else after a read from CouchDB, which is charged
   * to the quota of `caller`. Throws `Unavailable`. If CouchDB is unreachable, the keys in memory decide for
   * `outageMs`, except for names that an invalidation marked as changed.
   */
  find(name: string, caller: string): KnownKey | Promise<KnownKey> {
    const kept = this.#kept.get(name);
    if (kept === undefined) {
      const recent = this.#recent.get(name);
      return recent !== undefined && this.#isRecent(recent) ? recent : this.read(name, caller);
    }
    const isCurrent = kept.facts.isCovered && this.#options.store.up && !kept.isStale;
    if (isCurrent || this.#isRecent(kept)) return kept;
    return this.read(name, caller).catch((error: unknown) => this.#decideInOutage(name, error));
  }

  /**
   * Reads the name of an entry again. `undefined` = it was read within `fallbackMs`, so the entry is as
   * current as possible.
   */
  confirm(name: string, known: KnownKey, caller: string): Promise<KnownKey> | undefined {
    return this.#isRecent(known) ? undefined : this.read(name, caller);
  }

  /** Reads a name from CouchDB, with its read quorum; once for all callers. Throws `Unavailable`. */
  read(name: string, caller: string): Promise<KnownKey> {
    const running = this.#reading.get(name);
    if (running !== undefined) return running.promise;
    const reading = { change: undefined } as unknown as Reading;
    this.#reading.set(name, reading);
    reading.promise = this.#read(name, reading, caller).finally(() => {
      if (this.#reading.get(name) === reading) this.#reading.delete(name);
    });
    return reading.promise;
  }

  /** Keeps the entry of a name whose password was correct. */
  keep(name: string, known: KnownKey): void {
    if (this.#recent.peek(name) !== known) return;
    this.#recent.delete(name);
    this.#keep(name, known);
  }

  /** Applies the creation of a key by this process. */
  created(record: KeyRecord): void {
    this.wrote(record);
    const isCovered = this.#coveredFrom !== Infinity;
    this.#keep(
      record.name,
      new KnownKey(record, false, { at: -Infinity, feedEpoch: this.#feedEpoch, isCovered }),
    );
  }

  /** Applies a write of this process. */
  wrote(record: KeyRecord): void {
    this.#change(record.name, { rev: record.rev, record, revoked: false, at: this.#options.now() });
  }

  /** Removes a name from the memory, so that it is read again. */
  forget(name: string): void {
    this.#change(name, undefined);
  }

  /** Applies a revocation of this process. */
  wroteRevocation(name: string): void {
    this.#change(name, { rev: '', record: undefined, revoked: true, at: this.#options.now() });
  }

  /** Calls `publish` for a change that is applied here already, so the entry does not become stale by it. */
  announce<T>(name: string, publish: () => T): T {
    this.#announced = name;
    try {
      return publish();
    } finally {
      this.#announced = undefined;
    }
  }

  /** Marks a name as changed, and detaches a read that is in progress, because its result may be outdated. */
  markStale(name: string): void {
    if (name === this.#announced) return;
    const known = this.#peek(name);
    if (known !== undefined) known.isStale = true;
    this.#reading.delete(name);
  }

  /** What the memory holds about a name; it may be outdated. */
  recall(name: string): 'valid' | 'revoked' | undefined {
    const known = this.#peek(name);
    if (known?.revoked === true) return 'revoked';
    return known?.record === undefined ? undefined : 'valid';
  }

  /** The latest changes, by name: a list read from one copy of the store may miss them. */
  get changes(): Iterable<readonly [string, KeyChange]> {
    return this.#changes.entries();
  }

  close(): void {
    this.#limiter.close();
  }

  #keep(name: string, known: KnownKey): void {
    known.isKept = true;
    this.#kept.set(name, known);
  }

  #peek(name: string): KnownKey | undefined {
    return this.#kept.peek(name) ?? this.#recent.peek(name);
  }

  #isRecent({ isStale, facts: { at, feedEpoch } }: KnownKey): boolean {
    return !isStale && feedEpoch === this.#feedEpoch && this.#options.now() - at < this.#options.fallbackMs;
  }

  #decideInOutage(name: string, error: unknown): KnownKey {
    const { now, outageMs } = this.#options;
    const isOutage = error instanceof Unavailable && !(error instanceof TooBusy);
    const kept = this.#kept.peek(name);
    if (isOutage && kept?.isStale === false && now() - this.#lastUp < outageMs) return kept;
    throw error;
  }

  async #read(name: string, reading: Reading, caller: string): Promise<KnownKey> {
    const { store, now, fallbackMs } = this.#options;
    const at = now();
    const facts: ReadFacts = { at, feedEpoch: this.#feedEpoch, isCovered: at >= this.#coveredFrom };
    const readBoth = () => Promise.all([readKey(store, name), store.read(REVOKED + name)]);
    this.#reads += 1;
    // Keys in use are read without a queue: there are few of them, and nobody can guess them.
    const isKept = this.#kept.peek(name) !== undefined;
    const [key, revocation] = await (isKept ? readBoth() : this.#limiter.run(caller, readBoth));
    // An invalidation during the read: the result may be from before the change.
    if (this.#reading.get(name) !== reading) return this.find(name, caller);
    const known = new KnownKey(key?.record, revocation !== undefined, facts);
    known.catchUp(this.#changes.peek(name), fallbackMs);
    if (reading.change !== undefined) known.apply(reading.change);
    this.#store(name, known);
    return known;
  }

  #store(name: string, known: KnownKey): void {
    const before = this.#kept.peek(name);
    if (before !== undefined && (known.record !== undefined || known.revoked)) {
      known.usedHour = before.usedHour;
      this.#keep(name, known);
    } else {
      this.#kept.delete(name);
      this.#recent.set(name, known);
    }
  }

  /** Applies a change; `undefined` = it is not known what changed. Returns true if it affects access. */
  #change(name: string, change: KeyChange | undefined): boolean {
    if (change === undefined) {
      this.#reading.delete(name);
      for (const memory of [this.#kept, this.#recent, this.#changes]) memory.delete(name);
      return true;
    }
    this.#changes.set(name, joinChanges(this.#changes.peek(name), change));
    const reading = this.#reading.get(name);
    if (reading !== undefined) reading.change = joinChanges(reading.change, change);
    const known = this.#peek(name);
    if (known === undefined) return true;
    const before = { record: known.record, revoked: known.revoked };
    known.apply(change);
    if (known.record === undefined && !known.revoked) this.#kept.delete(name);
    return changesAccess(before, known);
  }
}
