// Remembers for a moment which databases are not there. For whom that may decide is security-store.ts's business.

const KEPT_MS = 1000;
const MOST = 10_000;

export class Absent {
  readonly #now: () => number;
  /** When the reading began that did not find it. */
  readonly #readAt = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  note(database: string, readAt: number): void {
    // Anybody can make up names.
    if (this.#readAt.size >= MOST) this.#readAt.clear();
    this.#readAt.set(database, readAt);
  }

  has(database: string): boolean {
    const readAt = this.#readAt.get(database);
    return readAt !== undefined && this.#now() - readAt < KEPT_MS;
  }

  drop(database: string): void {
    this.#readAt.delete(database);
  }
}
