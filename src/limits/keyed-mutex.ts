// Runs asynchronous work one at a time per key, in the order of arrival, within this process.

interface Queue {
  /** Settles when the last queued work has ended; never rejects. */
  readonly last: Promise<unknown>;
  /** Work that runs or waits. */
  readonly length: number;
}

/** Mutual exclusion per key. Keys without work take no memory. */
export class KeyedMutex {
  readonly #queues = new Map<string, Queue>();

  /** Number of works that run or wait for this key. */
  queueLength(key: string): number {
    return this.#queues.get(key)?.length ?? 0;
  }

  /**
   * Runs `work` after all earlier work for this key has ended; a failure of earlier work does not matter.
   * Resolves with the result of `work` and rejects with its error.
   */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(key);
    const result = (queue?.last ?? Promise.resolve()).then(work);
    const last = result.catch(() => undefined);
    this.#queues.set(key, { last, length: (queue?.length ?? 0) + 1 });
    try {
      return await result;
    } finally {
      this.#leave(key);
    }
  }

  #leave(key: string): void {
    const queue = this.#queues.get(key);
    if (queue === undefined) return;
    if (queue.length === 1) this.#queues.delete(key);
    else this.#queues.set(key, { ...queue, length: queue.length - 1 });
  }
}
