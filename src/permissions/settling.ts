// Knows whose permissions changed so lately that CouchDB may still answer with an older copy (H4).

interface Change {
  readonly at: number;
  readonly count: number;
}

/** CouchDB writes a security object shard by shard and reads any one copy; that long after a change it is taken to be in all of them. */
const SETTLING_MS = 10_000;

export class Settling {
  readonly #now: () => number;
  /** In the order of their last change. */
  readonly #changes = new Map<string, Change>();

  constructor(now: () => number) {
    this.#now = now;
  }

  note(database: string): void {
    const count = this.heard(database) + 1;
    this.#changes.delete(database);
    this.#changes.set(database, { at: this.#now(), count });
    for (const [name, { at }] of this.#changes) {
      if (this.#now() - at < SETTLING_MS) break;
      this.#changes.delete(name);
    }
  }

  /** How many changes were noted of late: two equal counts within a moment = none came in between. */
  heard(database: string): number {
    return this.#changes.get(database)?.count ?? 0;
  }

  isSettled(database: string): boolean {
    const change = this.#changes.get(database);
    return change === undefined || this.#now() - change.at >= SETTLING_MS;
  }
}
