// Ends a wait for a node, without blaming the node for the time in which this process itself stood still.

/** A timer that is this late, in ms, fires after this process was blocked. */
const LATE_MS = 250;

/** True if a timer that was due then fires so late that this process was blocked meanwhile. */
export function wasBlocked(dueAt: number): boolean {
  return performance.now() - dueAt >= LATE_MS;
}

/**
 * Calls `expire` after a while, unless it is cancelled. Timers run before the answers that arrived while this
 * process was blocked, so those are read first. After a long block, nothing may have been sent yet: then it
 * waits once more, as long as it was late, and at most as long as before.
 */
export class PatientTimeout {
  readonly #milliseconds: number;
  readonly #expire: () => void;
  #timer: NodeJS.Timeout;
  #dueAt: number;
  #isOver = false;

  constructor(milliseconds: number, expire: () => void) {
    this.#milliseconds = milliseconds;
    this.#expire = expire;
    this.#dueAt = performance.now() + milliseconds;
    this.#timer = setTimeout(() => this.#fire(), milliseconds);
  }

  cancel(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #fire(): void {
    if (wasBlocked(this.#dueAt)) {
      const lateMs = performance.now() - this.#dueAt;
      this.#dueAt = Infinity;
      this.#timer = setTimeout(() => this.#fire(), Math.min(lateMs, this.#milliseconds));
      return;
    }
    setImmediate(() => {
      if (!this.#isOver) this.#expire();
    });
  }
}
