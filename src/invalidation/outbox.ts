// Writes news into the store for other replicas of Couchgate, again and again until it is written. Reading them is news-feed.ts's business.
import { setTimeout as delay } from 'node:timers/promises';
import { Unavailable } from '../http-errors.ts';
import { type Invalidation } from './bus.ts';
import { type Store } from '../couch/store.ts';

export const PERMISSIONS = 'news:permissions:';
export const SESSION = 'news:session:';

const LONGEST_PAUSE_MS = 5000;

export interface OutboxOptions {
  readonly store: Store;
  readonly report: (message: string) => void;
  readonly now: () => number;
}

/** The id of the document that carries a piece of news to other replicas; `undefined` for news that its own document already carries. */
export function invalidationDocumentId(invalidation: Invalidation): string | undefined {
  if (invalidation.kind === 'permissions') return PERMISSIONS + invalidation.database;
  return invalidation.kind === 'session' ? SESSION + invalidation.id : undefined;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #waiting = new Map<string, Invalidation>();
  readonly #stop = new AbortController();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  close(): void {
    this.#stop.abort();
  }

  /**
   * Writes a piece of news. When CouchDB is away it is kept and written later; only for an ended session that is thrown as well,
   * since it would live again after a restart of this process.
   */
  async send(invalidation: Invalidation): Promise<void> {
    const id = invalidationDocumentId(invalidation);
    if (id === undefined) return;
    try {
      await this.#write(id, invalidation);
    } catch (error) {
      const first = this.#waiting.size === 0;
      this.#waiting.set(id, invalidation);
      this.#options.report(`News for other replicas must wait; waiting: ${this.#waiting.size}`);
      if (first) void this.#sendAgain();
      if (invalidation.kind === 'session') throw error;
    }
  }

  async #sendAgain(): Promise<void> {
    const { signal } = this.#stop;
    for (let pauseMs = 100; this.#waiting.size > 0; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      for (const [id, invalidation] of [...this.#waiting]) {
        try {
          await this.#write(id, invalidation);
        } catch {
          break; // CouchDB is still away: the next round begins with the same piece.
        }
        if (this.#waiting.get(id) === invalidation) this.#waiting.delete(id);
      }
    }
  }

  /** The change of the document is the news, so a conflict is written over: the last write comes after every decision it tells of. */
  async #write(id: string, invalidation: Invalidation): Promise<void> {
    const { store, now } = this.#options;
    const fields =
      invalidation.kind === 'session'
        ? { expires_at: invalidation.expiresAt }
        : { at: new Date(now()).toISOString() };
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const rev = (await store.read(id))?._rev;
      const written = await store.write({ _id: id, ...(rev === undefined ? {} : { _rev: rev }), ...fields });
      if (written.outcome === 'written') return;
    }
    throw new Unavailable('The change could not be told to other replicas yet.', {
      detail: 'five conflicts in a row',
    });
  }
}
