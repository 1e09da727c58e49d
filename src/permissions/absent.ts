// Caches for one second which databases do not exist.
import { LRUCache } from 'lru-cache';

const CACHED_MS = 1000;
/** Callers can ask for any number of invented names. */
const MAX_NAMES = 10_000;

export class AbsentDatabases {
  readonly #now: () => number;
  /** When the read started that did not find the database, in milliseconds since 1970. */
  readonly #readAt = new LRUCache<string, number>({ max: MAX_NAMES });

  /** @param now Milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** @param readAt When the read started that did not find the database. */
  add(database: string, readAt: number): void {
    this.#readAt.set(database, readAt);
  }

  has(database: string): boolean {
    const readAt = this.#readAt.get(database);
    return readAt !== undefined && this.#now() - readAt < CACHED_MS;
  }

  drop(database: string): void {
    this.#readAt.delete(database);
  }
}
