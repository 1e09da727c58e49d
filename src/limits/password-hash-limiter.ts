// Limits how many passwords CouchDB hashes for Couchgate at once: those of checks and new ones (H12.2).
import { TooBusy } from '../http-errors.ts';

export interface PasswordHashLimits {
  /** Hashes at once. One takes up to a third of a second of one core. */
  readonly atOnce: number;
  /** New passwords among them. The rest is for checks: nobody can keep others from signing in. */
  readonly writesAtOnce: number;
  /** New passwords that may wait. */
  readonly writesWaiting: number;
  /** Longest time that a new password waits, in milliseconds. */
  readonly writeWaitMs: number;
}

export const PASSWORD_HASH_LIMITS: PasswordHashLimits = Object.freeze({
  atOnce: 16,
  writesAtOnce: 4,
  writesWaiting: 32,
  writeWaitMs: 10_000,
});

interface Waiter {
  readonly isWrite: boolean;
  granted(): void;
}

/** One for the whole process. Slots are granted in the order of arrival, first to what `goesFirst`. */
export class PasswordHashLimiter {
  readonly #limits: PasswordHashLimits;
  readonly #waitingFirst = new Set<Waiter>();
  readonly #waiting = new Set<Waiter>();
  #running = 0;
  #runningWrites = 0;
  #waitingWrites = 0;

  constructor(limits: PasswordHashLimits = PASSWORD_HASH_LIMITS) {
    this.#limits = limits;
  }

  /**
   * Runs a check of a password as soon as there is a slot. The limits of logins bound the queue. A password
   * that was right before goes first: those who guess must not keep running clients waiting.
   */
  async check<T>(task: () => Promise<T>, goesFirst = false): Promise<T> {
    const queue = goesFirst ? this.#waitingFirst : this.#waiting;
    if (this.#hasSlot(false)) this.#occupy(false);
    else await new Promise<void>((granted) => queue.add({ isWrite: false, granted }));
    return this.#run(false, task);
  }

  /**
   * Runs the write of a new password as soon as there is a slot. Throws `TooBusy` (503) at once if too many
   * wait, and after `writeWaitMs`; the task has not begun then.
   */
  async write<T>(task: () => Promise<T>): Promise<T> {
    if (this.#hasSlot(true)) this.#occupy(true);
    else await this.#waitToWrite();
    return this.#run(true, task);
  }

  async #run<T>(isWrite: boolean, task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } finally {
      this.#release(isWrite);
    }
  }

  #waitToWrite(): Promise<void> {
    if (this.#waitingWrites >= this.#limits.writesWaiting) throw new TooBusy();
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        isWrite: true,
        granted() {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.#leave(waiter);
        reject(new TooBusy());
      }, this.#limits.writeWaitMs);
      this.#waiting.add(waiter);
      this.#waitingWrites += 1;
    });
  }

  #hasSlot(isWrite: boolean): boolean {
    const { atOnce, writesAtOnce } = this.#limits;
    return this.#running < atOnce && (!isWrite || this.#runningWrites < writesAtOnce);
  }

  #occupy(isWrite: boolean): void {
    this.#running += 1;
    if (isWrite) this.#runningWrites += 1;
  }

  /** Frees the slot, or passes it to the first waiter that may have it. */
  #release(isWrite: boolean): void {
    this.#running -= 1;
    if (isWrite) this.#runningWrites -= 1;
    for (const queue of [this.#waitingFirst, this.#waiting])
      for (const waiter of queue) {
        if (!this.#hasSlot(waiter.isWrite)) continue;
        this.#leave(waiter);
        this.#occupy(waiter.isWrite);
        waiter.granted();
        return;
      }
  }

  #leave(waiter: Waiter): void {
    if (!this.#waitingFirst.delete(waiter)) this.#waiting.delete(waiter);
    if (waiter.isWrite) this.#waitingWrites -= 1;
  }
}
