// Keeps what CouchDB answered for as long as it may decide. What is read, and what makes it stale, is each store's business.
import NodeCache from 'node-cache';
import { TooBusy, Unavailable } from '../http-errors.ts';
import { type Caller } from '../principal/principal.ts';

export interface ReadThroughOptions<T> {
  /** `asker` is whoever asked first: the reading comes out of its share. */
  readonly read: (key: string, caller: Caller | undefined) => Promise<T>;
  /** Until when a value decides whose reading began at `readAt`; asked at every use, because it depends on whether news arrives. `readAt` itself = not kept. */
  readonly freshUntil: (value: T, readAt: number) => number;
  /** How long from then on it still decides while CouchDB cannot be asked. */
  readonly outageMs: number;
  /** How long an unused value stays in memory, in seconds: the longest freshness and an outage together. */
  readonly keepSeconds: number;
  /** Values that are kept at once; past that number new ones are read every time. */
  readonly maxKeys?: number;
  readonly now?: () => number;
}

export interface CacheStats {
  readonly hits: number;
  readonly misses: number;
  readonly keys: number;
}

interface Entry<T> {
  readonly value: T;
  /** When its reading began: what happened later is not in it. */
  readonly readAt: number;
  /** In an outage: not asked again before that time. */
  holdUntil: number;
}

/** Time between two tries while CouchDB cannot be asked. */
const HOLD_MS = 1000;

/** A read-through cache: at once from memory, else one reading that all who ask share. */
export class ReadThrough<T> {
  readonly #options: ReadThroughOptions<T>;
  readonly #now: () => number;
  readonly #kept: NodeCache;
  /** The reading under way for a key. One that was begun before a drop is no longer here, and fills nothing. */
  readonly #running = new Map<string, { promise: Promise<T> | undefined }>();
  #hits = 0;
  #misses = 0;

  constructor(options: ReadThroughOptions<T>) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    // node-cache's own time to live only frees memory: how long a value decides changes with the news, and is asked at every use.
    this.#kept = new NodeCache({ useClones: false, stdTTL: options.keepSeconds, checkperiod: 60 });
  }

  /** The value: at once where it is fresh, else a promise. Throws `Unavailable` when CouchDB cannot be asked and nothing kept may decide. */
  get(key: string, caller?: Caller): T | Promise<T> {
    const entry = this.#kept.get<Entry<T>>(slot(key));
    if (entry !== undefined) {
      const now = this.#now();
      if (now < this.#options.freshUntil(entry.value, entry.readAt) || now < entry.holdUntil) {
        this.#hits += 1;
        return entry.value;
      }
    }
    this.#misses += 1;
    return this.#running.get(key)?.promise ?? this.#refresh(key, caller);
  }

  /** What was just written, and needs no reading. */
  put(key: string, value: T): void {
    this.#running.delete(key);
    this.#keep(key, { value, readAt: this.#now(), holdUntil: 0 });
  }

  /** What is kept, and what is being read, decides nothing any more. */
  drop(key: string): void {
    this.#running.delete(key);
    this.#kept.del(slot(key));
  }

  get stats(): CacheStats {
    return { hits: this.#hits, misses: this.#misses, keys: this.#kept.getStats().keys };
  }

  #refresh(key: string, caller: Caller | undefined): Promise<T> {
    const turn: { promise: Promise<T> | undefined } = { promise: undefined };
    this.#running.set(key, turn);
    const promise = this.#readAs(key, turn, caller).finally(() => {
      if (this.#running.get(key) === turn) this.#running.delete(key);
    });
    turn.promise = promise;
    return promise;
  }

  async #readAs(key: string, turn: object, caller: Caller | undefined): Promise<T> {
    const readAt = this.#now();
    try {
      const value = await this.#options.read(key, caller);
      // A drop came in between: what was read may be from before it.
      if (this.#running.get(key) !== turn) return await this.get(key, caller);
      this.#keep(key, { value, readAt, holdUntil: 0 });
      return value;
    } catch (error) {
      const old = this.#kept.get<Entry<T>>(slot(key));
      const now = this.#now();
      // A caller could use up its share to go on with what was revoked: only CouchDB's own trouble counts as an outage.
      if (!(error instanceof Unavailable) || error instanceof TooBusy || old === undefined) throw error;
      if (now >= this.#options.freshUntil(old.value, old.readAt) + this.#options.outageMs) throw error;
      old.holdUntil = now + HOLD_MS;
      return old.value;
    }
  }

  #keep(key: string, entry: Entry<T>): void {
    this.#kept.del(slot(key));
    if (this.#options.freshUntil(entry.value, entry.readAt) <= entry.readAt) return;
    if (this.#kept.getStats().keys < (this.#options.maxKeys ?? 100_000)) this.#kept.set(slot(key), entry);
  }

  /** Stops the timer that frees memory. */
  close(): void {
    this.#kept.close();
  }
}

/** node-cache keeps its values in a plain object, where a name such as `__proto__` would not be a key. */
function slot(key: string): string {
  return `/${key}`;
}
