// Limits the reads that Couchgate itself sends to CouchDB on behalf of callers.
import { TooBusy } from '../http-errors.ts';
import { ConcurrencyLimiter } from './concurrency-limiter.ts';

export interface InternalReadLimits {
  /** Reads that run at once. Fewer than the connections: logins, keys and feeds always get one. */
  readonly atOnce: number;
  /** Reads that may be queued; further reads are rejected. */
  readonly waiting: number;
  /** Part of both that one caller may have: above 0, up to 1. */
  readonly share: number;
}

/**
 * A request for a database that is not cached, or that does not exist, makes Couchgate read from CouchDB, and
 * anonymous callers can send such requests. Without a limit, one of them could block all other callers (H15).
 * Pinned by test/hostile/h15-own-reads.test.ts.
 */
export class InternalReadLimiter {
  readonly #limiter: ConcurrencyLimiter;

  constructor({ atOnce, waiting, share }: InternalReadLimits) {
    this.#limiter = new ConcurrencyLimiter({ limit: atOnce, queueLimit: waiting, share });
  }

  /**
   * Calls `read` as soon as the caller has a slot, and returns its result. Throws `TooBusy` (503) at once if
   * the queue is full, and on `close` if the read still waits.
   */
  async run<T>(caller: string, read: () => Promise<T>): Promise<T> {
    await this.#acquire(caller);
    try {
      return await read();
    } finally {
      this.#limiter.release(caller);
    }
  }

  #acquire(caller: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const displaced = (): void => reject(new TooBusy());
      const acquired = this.#limiter.acquire({ caller, granted: resolve, displaced });
      if (acquired === 'granted') resolve();
      else if (acquired === 'full') displaced();
    });
  }

  /** Rejects all queued reads with `TooBusy`. */
  close(): void {
    this.#limiter.rejectAll();
  }
}
