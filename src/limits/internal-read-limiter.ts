// Bounds what Couchgate itself reads from CouchDB because a caller asked for something. How it is read is client.ts's business.
import { TooBusy } from '../http-errors.ts';
import { ConcurrencyLimiter, type Waiter } from './concurrency-limiter.ts';

export interface InternalReadLimits {
  /** Reads that run at once. Fewer than the connections, so that logins, keys and news always find one. */
  readonly atOnce: number;
  /** Reads that wait; what comes on top is refused. */
  readonly waiting: number;
  /** Part of both that one caller may have, above 0 and up to 1. */
  readonly share: number;
}

/**
 * Whoever asks for databases whose permissions are not in memory, or that are not there, has Couchgate read at CouchDB, and needs no name
 * for it: without a bound, nobody could make everyone wait (H15). Pinned by test/hostile/h15-own-reads.test.ts.
 */
export class InternalReadLimiter {
  readonly #slots: ConcurrencyLimiter;

  constructor({ atOnce, waiting, share }: InternalReadLimits) {
    this.#slots = new ConcurrencyLimiter(atOnce, waiting, share);
  }

  /** Reads when it is the caller's turn. Throws `TooBusy` at once where there is no place for it. */
  async run<T>(caller: string, read: () => Promise<T>): Promise<T> {
    await this.#turn(caller);
    try {
      return await read();
    } finally {
      this.#slots.release(caller);
    }
  }

  #turn(caller: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const displaced = (): void => reject(new TooBusy());
      const waiter: Waiter = { caller, granted: resolve, displaced };
      if (!this.#slots.accepts(caller)) displaced();
      else if (this.#slots.acquire(waiter)) resolve();
    });
  }

  /** Sends away all that wait. */
  close(): void {
    this.#slots.rejectAll();
  }
}
