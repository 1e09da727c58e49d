// Records what changed so recently that CouchDB may still answer with the old state.

interface Change {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly count: number;
}

/** After this time, every shard copy and every cache inside CouchDB is assumed to have the change. */
const SETTLING_MS = 10_000;

/**
 * CouchDB writes a security object shard by shard and reads any one copy (H4). A node of CouchDB drops a
 * changed user from its own cache only when its change feed reports the change.
 */
export class RecentChanges {
  readonly #now: () => number;
  /** In the order of the last change. */
  readonly #changes = new Map<string, Change>();

  /** @param now Milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Records a change of `key` (a database or a user) at the present. */
  record(key: string): void {
    const count = this.countOf(key) + 1;
    this.#changes.delete(key);
    this.#changes.set(key, { at: this.#now(), count });
    for (const [old, { at }] of this.#changes) {
      if (this.#now() - at < SETTLING_MS) break;
      this.#changes.delete(old);
    }
  }

  /** Number of recent changes. Two equal counts shortly after each other = no change in between. */
  countOf(key: string): number {
    return this.#changes.get(key)?.count ?? 0;
  }

  /** True if the last change is older than SETTLING_MS. */
  isSettled(key: string): boolean {
    const change = this.#changes.get(key);
    return change === undefined || this.#now() - change.at >= SETTLING_MS;
  }
}
