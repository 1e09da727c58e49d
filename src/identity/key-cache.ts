// Keeps all API keys in memory. While the change feed of the store is up, the memory is current; otherwise it
// reads keys from CouchDB.
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { type ChangeRow } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import {
  type CachedKey,
  changesAccess,
  HOUR_MS,
  isNewer,
  KEY,
  type KeyRecord,
  parseKey,
  REVOKED,
  USED,
} from './key-document.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';

export interface KeyCacheOptions {
  readonly store: Store;
  /** Validity of a single read while the feed is down; also the minimum time between two reads of one key. */
  readonly fallbackMs: number;
  /** How long cached keys stay valid while CouchDB is unreachable. */
  readonly outageMs: number;
  /** Called when a change from the feed affects the access of a key. */
  readonly onChange: (name: string) => void;
  readonly now: () => number;
}

/** Names whose last read is recorded; past this number, the least recently used ones are read again. */
const MAX_READ_NAMES = 10_000;
const ABSENT: CachedKey = { record: undefined, revoked: false };

/** The API keys in memory. */
export class KeyCache {
  readonly #options: KeyCacheOptions;
  readonly #records = new Map<string, KeyRecord>();
  readonly #revoked = new Set<string>();
  readonly #used = new Map<string, { hour: number; rev: string }>();
  /** Names that an invalidation marked as changed. */
  readonly #stale = new Set<string>();
  /** Time of the last single read of a name. */
  readonly #readAt = new LRUCache<string, number>({ max: MAX_READ_NAMES });
  readonly #reading = new Map<string, Promise<CachedKey>>();
  #loaded = false;
  #lastUp = -Infinity;

  constructor(options: KeyCacheOptions) {
    this.#options = options;
    options.store.onRow((row) => this.#apply(row));
    options.store.onState((up) => {
      this.#readAt.clear();
      if (up) void this.#loadOnce();
      else this.#lastUp = options.now();
    });
  }

  /**
   * Returns the entry of a name: directly if it is current, else after a read from CouchDB. Throws
   * `Unavailable`. If CouchDB is unreachable, the memory decides for `outageMs`, except for names that an
   * invalidation marked as changed.
   */
  find(name: string): CachedKey | Promise<CachedKey> {
    if (this.#stale.has(name)) return this.read(name);
    const cached = this.#held(name);
    if (cached === ABSENT) {
      // Absent names are read even while the feed is up: another replica may have created the key just now.
      return this.#recent(name) ? cached : this.read(name);
    }
    if ((this.#options.store.up && this.#loaded) || this.#recent(name)) return cached;
    return this.read(name).catch((error: unknown) => {
      const away = this.#options.now() - this.#lastUp;
      if (error instanceof Unavailable && away < this.#options.outageMs) return cached;
      throw error;
    });
  }

  /**
   * Reads a name again. `undefined` = it was read within `fallbackMs`, so the memory is as current as
   * possible.
   */
  confirm(name: string): Promise<CachedKey> | undefined {
    return this.#recent(name) ? undefined : this.read(name);
  }

  /** Reads a name from CouchDB, with its read quorum. Throws `Unavailable`. */
  read(name: string): Promise<CachedKey> {
    const running = this.#reading.get(name);
    if (running !== undefined) return running;
    const reading = this.#read(name).finally(() => {
      if (this.#reading.get(name) === reading) this.#reading.delete(name);
    });
    this.#reading.set(name, reading);
    return reading;
  }

  /** Loads all keys: at start, and for a list while the feed is down. */
  async load(): Promise<void> {
    for (const prefix of [REVOKED, KEY, USED]) {
      await this.#options.store.each(prefix, (document) => this.#take(document));
    }
    this.#loaded = true;
  }

  /** All keys that are not revoked, read again if the memory is not current. */
  async all(): Promise<readonly KeyRecord[]> {
    if (!this.#loaded || !this.#options.store.up) await this.load();
    await Promise.all([...this.#stale].map((name) => this.read(name)));
    return [...this.#records.values()].filter(({ name }) => !this.#revoked.has(name));
  }

  /** Applies a write of this process. */
  wrote(record: KeyRecord): void {
    const held = this.#records.get(record.name);
    if (held === undefined || isNewer(record.rev, held.rev)) this.#records.set(record.name, record);
  }

  /** Applies a revocation of this process. */
  wroteRevocation(name: string): void {
    this.#revoked.add(name);
  }

  /** Marks a name as changed, and detaches a read that is in progress, because its result may be outdated. */
  markStale(name: string): void {
    this.#stale.add(name);
    this.#reading.delete(name);
  }

  /** Removes the mark of `markStale`. */
  markFresh(name: string): void {
    this.#stale.delete(name);
  }

  /** What the memory holds about a name; it may be outdated. */
  recall(name: string): 'valid' | 'revoked' | undefined {
    if (this.#revoked.has(name)) return 'revoked';
    return this.#records.has(name) ? 'valid' : undefined;
  }

  /** Hour (since the epoch) and revision of the `used:` document of a key. */
  lastUse(name: string): { readonly hour: number; readonly rev: string } | undefined {
    return this.#used.get(name);
  }

  #held(name: string): CachedKey {
    const record = this.#records.get(name);
    const revoked = this.#revoked.has(name);
    return record === undefined && !revoked ? ABSENT : { record, revoked };
  }

  #recent(name: string): boolean {
    const at = this.#readAt.get(name);
    return at !== undefined && this.#options.now() - at < this.#options.fallbackMs;
  }

  async #read(name: string): Promise<CachedKey> {
    const { store, now } = this.#options;
    // An invalidation during the read marks the name again.
    const wasStale = this.#stale.delete(name);
    try {
      const [key, revocation] = await Promise.all([store.read(KEY + name), store.read(REVOKED + name)]);
      if (key === undefined) this.#records.delete(name);
      else this.#take(key);
      if (revocation !== undefined) this.#revoked.add(name);
    } catch (error) {
      if (wasStale) this.#stale.add(name);
      throw error;
    }
    this.#readAt.set(name, now());
    return this.#held(name);
  }

  async #loadOnce(): Promise<void> {
    while (!this.#loaded && this.#options.store.up) {
      await this.load().catch(() => delay(500, undefined, { ref: false }));
    }
  }

  #take(document: StoredDocument): void {
    const { _id: id, _rev: rev = '' } = document;
    if (id.startsWith(KEY)) this.wrote(parseKey(document));
    else if (id.startsWith(REVOKED)) this.#revoked.add(id.slice(REVOKED.length));
    else if (id.startsWith(USED)) {
      const hour = Math.floor(Date.parse(String(document['last_used'])) / HOUR_MS);
      if (!Number.isNaN(hour)) this.#used.set(id.slice(USED.length), { hour, rev });
    }
  }

  #apply({ id, deleted, doc }: ChangeRow): void {
    if (id.startsWith(USED)) {
      if (!deleted && doc !== undefined) this.#take(doc as StoredDocument);
      return;
    }
    const prefix = [KEY, REVOKED].find((candidate) => id.startsWith(candidate));
    if (prefix === undefined) return;
    const name = id.slice(prefix.length);
    const before = this.#held(name);
    if (deleted && prefix === KEY) this.#records.delete(name);
    else if (deleted) this.#revoked.delete(name);
    else if (doc !== undefined) this.#take(doc as StoredDocument);
    if (changesAccess(before, this.#held(name))) this.#options.onChange(name);
  }
}
