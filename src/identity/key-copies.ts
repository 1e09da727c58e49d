// Holds in memory what the store says of every key, and knows how fresh that is: at once from memory while the feed is up, read again when
// it is not. What makes a password right is key-store.ts's business.
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { type ChangeRow } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import {
  type KeyCopy,
  letsInOthers,
  HOUR_MS,
  isNewer,
  KEY,
  type KeyRecord,
  parseKey,
  REVOKED,
  USED,
} from './key-document.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';

export interface KeyCopiesOptions {
  readonly store: Store;
  /** How long a read is good while the feed is down; also how often a key is read again on suspicion. */
  readonly fallbackMs: number;
  /** How long memory still decides while CouchDB cannot be asked. */
  readonly outageMs: number;
  /** Told when a row of the feed changed who is let in. */
  readonly onChange: (name: string) => void;
  readonly now: () => number;
}

/** Names whose last read is remembered; past this number, the least recently used ones are read again. */
const MAX_READ_NAMES = 10_000;
const ABSENT: KeyCopy = { record: undefined, revoked: false };

export class KeyCopies {
  readonly #options: KeyCopiesOptions;
  readonly #records = new Map<string, KeyRecord>();
  readonly #revoked = new Set<string>();
  readonly #used = new Map<string, { hour: number; rev: string }>();
  /** Names that news said have changed. */
  readonly #stale = new Set<string>();
  /** When a name was last read by itself. */
  readonly #readAt = new LRUCache<string, number>({ max: MAX_READ_NAMES });
  readonly #reading = new Map<string, Promise<KeyCopy>>();
  #loaded = false;
  #lastUp = -Infinity;

  constructor(options: KeyCopiesOptions) {
    this.#options = options;
    options.store.onRow((row) => this.#apply(row));
    options.store.onState((up) => {
      this.#readAt.clear();
      if (up) void this.#loadOnce();
      else this.#lastUp = options.now();
    });
  }

  /**
   * The copy of a name: at once while it is known to be fresh, else as soon as CouchDB has given it. Throws `Unavailable`, but lets memory
   * decide for a stated time while CouchDB is away; never for a name that news said has changed.
   */
  find(name: string): KeyCopy | Promise<KeyCopy> {
    if (this.#stale.has(name)) return this.read(name);
    const copy = this.#held(name);
    if (copy === ABSENT) {
      // Asked for even while the feed is up: another replica may have made the key a moment ago.
      return this.#recent(name) ? copy : this.read(name);
    }
    if ((this.#options.store.up && this.#loaded) || this.#recent(name)) return copy;
    return this.read(name).catch((error: unknown) => {
      const away = this.#options.now() - this.#lastUp;
      if (error instanceof Unavailable && away < this.#options.outageMs) return copy;
      throw error;
    });
  }

  /** Reads a name again unless that was done a moment ago; `undefined` = memory is as good as it gets. */
  confirm(name: string): Promise<KeyCopy> | undefined {
    return this.#recent(name) ? undefined : this.read(name);
  }

  /** Reads a name from CouchDB, with its quorum. Throws `Unavailable`. */
  read(name: string): Promise<KeyCopy> {
    const running = this.#reading.get(name);
    if (running !== undefined) return running;
    const reading = this.#read(name).finally(() => {
      if (this.#reading.get(name) === reading) this.#reading.delete(name);
    });
    this.#reading.set(name, reading);
    return reading;
  }

  /** Everything, from the beginning: at start, and for a list while the feed is down. */
  async load(): Promise<void> {
    for (const prefix of [REVOKED, KEY, USED]) {
      await this.#options.store.each(prefix, (document) => this.#take(document));
    }
    this.#loaded = true;
  }

  /** Every key that is not revoked, fresh. */
  async all(): Promise<readonly KeyRecord[]> {
    if (!this.#loaded || !this.#options.store.up) await this.load();
    await Promise.all([...this.#stale].map((name) => this.read(name)));
    return [...this.#records.values()].filter(({ name }) => !this.#revoked.has(name));
  }

  /** Takes over what this process has just written. */
  wrote(record: KeyRecord): void {
    const held = this.#records.get(record.name);
    if (held === undefined || isNewer(record.rev, held.rev)) this.#records.set(record.name, record);
  }

  wroteRevocation(name: string): void {
    this.#revoked.add(name);
  }

  /** Memory is out of date, and so is what a read that already runs will bring. */
  markStale(name: string): void {
    this.#stale.add(name);
    this.#reading.delete(name);
  }

  markFresh(name: string): void {
    this.#stale.delete(name);
  }

  lastUse(name: string): { readonly hour: number; readonly rev: string } | undefined {
    return this.#used.get(name);
  }

  #held(name: string): KeyCopy {
    const record = this.#records.get(name);
    const revoked = this.#revoked.has(name);
    return record === undefined && !revoked ? ABSENT : { record, revoked };
  }

  #recent(name: string): boolean {
    const at = this.#readAt.get(name);
    return at !== undefined && this.#options.now() - at < this.#options.fallbackMs;
  }

  async #read(name: string): Promise<KeyCopy> {
    const { store, now } = this.#options;
    // News that comes while the answer is under way makes the name stale anew.
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
    if (letsInOthers(before, this.#held(name))) this.#options.onChange(name);
  }
}
