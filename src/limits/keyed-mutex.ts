// Runs asynchronous work one at a time per key within this process.

interface Waiter {
  readonly isFirst: boolean;
  start(): void;
}

interface MutexOptions {
  /** True: before all work that waits and is not first itself. */
  readonly first?: boolean;
}

/** Mutual exclusion per key, in the order of arrival. Keys without work take no memory. */
export class KeyedMutex {
  /** A key is present while work runs; its waiters follow. */
  readonly #waiting = new Map<string, Waiter[]>();

  /** Number of works that run or wait for this key. */
  queueLength(key: string): number {
    const waiting = this.#waiting.get(key);
    return waiting === undefined ? 0 : waiting.length + 1;
  }

  /**
   * Runs `work` when its turn for this key comes; a failure of earlier work does not matter. Resolves with
   * the result of `work` and rejects with its error.
   */
  async run<T>(key: string, work: () => Promise<T>, { first = false }: MutexOptions = {}): Promise<T> {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) this.#waiting.set(key, []);
    else await turnIn(waiting, first);
    try {
      return await work();
    } finally {
      this.#passOn(key);
    }
  }

  #passOn(key: string): void {
    const next = this.#waiting.get(key)?.shift();
    if (next === undefined) this.#waiting.delete(key);
    else next.start();
  }
}

function turnIn(waiting: Waiter[], isFirst: boolean): Promise<void> {
  return new Promise((start) => {
    const place = isFirst ? waiting.findIndex((other) => !other.isFirst) : -1;
    waiting.splice(place === -1 ? waiting.length : place, 0, { isFirst, start });
  });
}
