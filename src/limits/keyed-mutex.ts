// Lets one change of a database's permissions run at a time in this process. Between processes, CouchDB's last writer wins.
import { Unavailable } from '../http-errors.ts';

interface Line {
  /** The last of those that run or wait. */
  readonly last: Promise<unknown>;
  readonly length: number;
}

/** Changes of one database that run or wait at once. */
const MOST = 16;

export class KeyedMutex {
  readonly #lines = new Map<string, Line>();

  /** Runs `work` after all that was handed in before it for this database; one that fails lets the next one in. */
  async run<T>(database: string, work: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(database);
    const turn = (line?.last ?? Promise.resolve()).then(work);
    const over = turn.catch(() => undefined);
    this.#lines.set(database, { last: over, length: (line?.length ?? 0) + 1 });
    try {
      return await turn;
    } finally {
      this.#leave(database);
    }
  }

  /**
   * As `take`, unless the line is long: then it throws 503. Each of those that wait holds a whole security object, and whoever may change one
   * can send any number at once (H15). Pinned by test/hostile/h15-large-security.test.ts.
   */
  async runIfQueueShort<T>(database: string, work: () => Promise<T>): Promise<T> {
    if ((this.#lines.get(database)?.length ?? 0) >= MOST) {
      throw new Unavailable('The permissions of this database are being changed.', { retryAfterSeconds: 1 });
    }
    return this.run(database, work);
  }

  #leave(database: string): void {
    const line = this.#lines.get(database);
    if (line === undefined) return;
    if (line.length === 1) this.#lines.delete(database);
    else this.#lines.set(database, { ...line, length: line.length - 1 });
  }
}
