// Caches answers of CouchDB: one shared read per key, and a limit on how long an answer is used in an outage.
import NodeCache from 'node-cache';
import { TooBusy, Unavailable } from '../http-errors.ts';
import { type Caller } from '../principal/principal.ts';

export interface ReadThroughOptions<T> {
  /** Reads a value. `caller` is the first one that needs it: the read is charged to its quota. */
  readonly read: (key: string, caller: Caller | undefined) => Promise<T>;
  /**
   * Returns the end of freshness (milliseconds since 1970) of a value whose read started at `readAt`. Called
   * on every use, because it depends on whether the invalidation feed is up. A result of `readAt` or less
   * means that the value is not cached.
   */
  readonly freshUntil: (value: T, readAt: number) => number;
  /** How long a stale value is still used while CouchDB is not available, in milliseconds. */
  readonly outageMs: number;
  /** How long an unused value stays in memory, in seconds: the longest freshness plus the outage time. */
  readonly keepSeconds: number;
  /** Values in memory; past this number, new ones are read every time. */
  readonly maxKeys?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface CacheStats {
  readonly hits: number;
  readonly misses: number;
  readonly keys: number;
}

interface Entry<T> {
  readonly value: T;
  /** When its read started: later changes are not in the value. */
  readonly readAt: number;
  /** In an outage: the value is not read again before this time (milliseconds since 1970). */
  holdUntil: number;
}

interface Read<T> {
  promise: Promise<T> | undefined;
}

/** Pause between two reads of a key while CouchDB is not available. */
const HOLD_MS = 1000;

/** A read-through cache: a fresh value is returned synchronously, any other is read once for all callers. */
export class ReadThrough<T> {
  readonly #options: ReadThroughOptions<T>;
  readonly #now: () => number;
  readonly #cached: NodeCache;
  /** The running read of each key. A read that started before a `drop` is removed and stores nothing. */
  readonly #reads = new Map<string, Read<T>>();
  #hits = 0;
  #misses = 0;

  constructor(options: ReadThroughOptions<T>) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    // The TTL of node-cache only frees memory. `get` checks freshness: it depends on the invalidation feed.
    this.#cached = new NodeCache({ useClones: false, stdTTL: options.keepSeconds, checkperiod: 60 });
  }

  /**
   * Returns a fresh value at once, else a promise. The promise rejects with `Unavailable` if CouchDB is not
   * available and no cached value may be used, and with any other error of `read`.
   */
  get(key: string, caller?: Caller): T | Promise<T> {
    const entry = this.#cached.get<Entry<T>>(cacheKey(key));
    if (entry !== undefined) {
      const now = this.#now();
      if (now < this.#options.freshUntil(entry.value, entry.readAt) || now < entry.holdUntil) {
        this.#hits += 1;
        return entry.value;
      }
    }
    this.#misses += 1;
    return this.#reads.get(key)?.promise ?? this.#startRead(key, caller);
  }

  /** Reads the value again, also if a fresh one is cached. Rejects as `get` does. */
  refresh(key: string): Promise<T> {
    return this.#startRead(key, undefined);
  }

  /** Stores a value that was just written to CouchDB. */
  put(key: string, value: T): void {
    this.#reads.delete(key);
    this.#store(key, { value, readAt: this.#now(), holdUntil: 0 });
  }

  /** Removes a value. The result of a running read is not used either: it may be from before the change. */
  drop(key: string): void {
    this.#reads.delete(key);
    this.#cached.del(cacheKey(key));
  }

  get stats(): CacheStats {
    return { hits: this.#hits, misses: this.#misses, keys: this.#cached.getStats().keys };
  }

  #startRead(key: string, caller: Caller | undefined): Promise<T> {
    const read: Read<T> = { promise: undefined };
    this.#reads.set(key, read);
    const promise = this.#finish(key, read, caller).finally(() => {
      if (this.#reads.get(key) === read) this.#reads.delete(key);
    });
    read.promise = promise;
    return promise;
  }

  async #finish(key: string, read: Read<T>, caller: Caller | undefined): Promise<T> {
    const readAt = this.#now();
    try {
      const value = await this.#options.read(key, caller);
      // The key was dropped during the read, so the value may be from before the change.
      if (this.#reads.get(key) !== read) return await this.get(key, caller);
      this.#store(key, { value, readAt, holdUntil: 0 });
      return value;
    } catch (error) {
      const stale = this.#cached.get<Entry<T>>(cacheKey(key));
      const now = this.#now();
      // `TooBusy` is no outage: a caller could use up its quota to continue with a revoked permission.
      if (!(error instanceof Unavailable) || error instanceof TooBusy || stale === undefined) throw error;
      if (now >= this.#options.freshUntil(stale.value, stale.readAt) + this.#options.outageMs) throw error;
      stale.holdUntil = now + HOLD_MS;
      return stale.value;
    }
  }

  #store(key: string, entry: Entry<T>): void {
    this.#cached.del(cacheKey(key));
    if (this.#options.freshUntil(entry.value, entry.readAt) <= entry.readAt) return;
    if (this.#cached.getStats().keys < (this.#options.maxKeys ?? 100_000))
      this.#cached.set(cacheKey(key), entry);
  }

  /** Stops the timer of node-cache. */
  close(): void {
    this.#cached.close();
  }
}

/** node-cache stores its values in a plain object, where a name such as `__proto__` would not be a key. */
function cacheKey(key: string): string {
  return `/${key}`;
}
