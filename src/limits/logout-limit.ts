// Limits the ended sessions that one principal makes the store keep.
import { LRUCache } from 'lru-cache';
import { TooManyRequests } from '../http-errors.ts';

/** One sign-out each four seconds, for as long as a record is kept. */
const MAX_ENDED = 1000;
const MAX_PRINCIPALS = 10_000;

export interface LogoutLimitOptions {
  /** How long the store keeps the record of an ended session. */
  readonly keptMs: number;
  readonly now: () => number;
}

/** Ended sessions of one principal: id and time of the end, the oldest first. */
type Ended = Map<string, number>;

/** Each ended session is a document in the store. Without a limit, one key could fill the disk (H15). */
export class LogoutLimit {
  readonly #options: LogoutLimitOptions;
  readonly #byPrincipal = new LRUCache<string, Ended>({ max: MAX_PRINCIPALS });

  constructor(options: LogoutLimitOptions) {
    this.#options = options;
  }

  /**
   * Counts the end of a session. Returns false if it was counted before. Throws TooManyRequests if too many
   * of the principal were.
   */
  count(principal: string, id: string): boolean {
    const { keptMs, now } = this.#options;
    const time = now();
    const ended = this.#byPrincipal.get(principal) ?? new Map<string, number>();
    for (const [old, endedAt] of ended) {
      if (endedAt + keptMs > time) break;
      ended.delete(old);
    }
    if (ended.has(id)) return false;
    const [oldest = time] = ended.values();
    if (ended.size >= MAX_ENDED)
      throw new TooManyRequests(
        'Too many sessions of this name were ended. This one ends when it expires.',
        Math.ceil((oldest + keptMs - time) / 1000),
      );
    ended.set(id, time);
    this.#byPrincipal.set(principal, ended);
    return true;
  }

  /** Removes a session whose end could not be stored. */
  remove(principal: string, id: string): void {
    this.#byPrincipal.get(principal)?.delete(id);
  }
}
