// Limits how long a run waits for documents that cannot be read: clients can store many of them (H39.2).

/** Of one run, over all databases and documents. */
const TOTAL_MS = 5 * 60_000;
const PER_READ_MS = 10_000;

export class Patience {
  #leftMs: number;

  constructor(totalMs = TOTAL_MS) {
    this.#leftMs = totalMs;
  }

  /** False if nothing is read a second time any more. */
  get isLeft(): boolean {
    return this.#leftMs > 0;
  }

  /** How long a read may be repeated. */
  get forReadMs(): number {
    return Math.max(0, Math.min(PER_READ_MS, this.#leftMs));
  }

  /** Counts time that a failure took. */
  spent(ms: number): void {
    this.#leftMs -= ms;
  }

  /** Counts the time of `work`, which repeats something or may fail. */
  async spend<T>(work: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    try {
      return await work();
    } finally {
      this.spent(performance.now() - begin);
    }
  }
}
