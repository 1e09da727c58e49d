// Access-log lines that wait for the end of a change whose client has left.

/**
 * A line waits no longer: an answer that hangs must not cost it. A change of permissions behind the longest
 * queue takes four minutes.
 */
const MAX_WAIT_MS = 300_000;

/** Writes each line once: when its work has ended, after `maxWaitMs`, or at the end of the process. */
export class LateLines {
  readonly #waiting = new Set<() => void>();
  readonly #maxWaitMs: number;

  constructor(maxWaitMs = MAX_WAIT_MS) {
    this.#maxWaitMs = maxWaitMs;
  }

  /** Calls `write` when `ended` settles, which must not reject. */
  add(ended: Promise<void>, write: () => void): void {
    const timer = setTimeout(() => once(), this.#maxWaitMs).unref();
    const once = (): void => {
      if (!this.#waiting.delete(once)) return;
      clearTimeout(timer);
      write();
    };
    this.#waiting.add(once);
    void ended.then(once);
  }

  /** Writes all lines as they are, before the log is closed. */
  flush(): void {
    for (const once of [...this.#waiting]) once();
  }
}
