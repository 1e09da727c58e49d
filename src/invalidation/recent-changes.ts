// Knows what changed so lately that CouchDB may still answer with what was before. What then counts is for whoever asks to say.

interface Change {
  readonly at: number;
  readonly count: number;
}

/** That long after a change, every copy and every cache within CouchDB is taken to have it. */
const SETTLING_MS = 10_000;

/**
 * CouchDB writes a security object shard by shard and reads any one copy (H4); a changed user is in each node's cache of users only after
 * its change feed has said so.
 */
export class RecentChanges {
  readonly #now: () => number;
  /** In the order of their last change. */
  readonly #changes = new Map<string, Change>();

  constructor(now: () => number) {
    this.#now = now;
  }

  record(what: string): void {
    const count = this.countOf(what) + 1;
    this.#changes.delete(what);
    this.#changes.set(what, { at: this.#now(), count });
    for (const [name, { at }] of this.#changes) {
      if (this.#now() - at < SETTLING_MS) break;
      this.#changes.delete(name);
    }
  }

  /** How many changes were noted of late: two equal counts within a moment = none came in between. */
  countOf(what: string): number {
    return this.#changes.get(what)?.count ?? 0;
  }

  isSettled(what: string): boolean {
    const change = this.#changes.get(what);
    return change === undefined || this.#now() - change.at >= SETTLING_MS;
  }
}
