// Writes news into the store for other replicas of Couchgate, again and again until it is written. Reading them is news-feed.ts's business.
import { setTimeout as delay } from 'node:timers/promises';
import { Unavailable } from '../http-errors.ts';
import { type News } from './news.ts';
import { type Store } from './store.ts';

export const PERMISSIONS = 'news:permissions:';
export const SESSION = 'news:session:';

const LONGEST_PAUSE_MS = 5000;

export interface NewsOutboxOptions {
  readonly store: Store;
  readonly report: (message: string) => void;
  readonly now: () => number;
}

/** The id of the document that carries a piece of news to other replicas; `undefined` for news that its own document already carries. */
export function newsDocumentId(news: News): string | undefined {
  if (news.kind === 'permissions') return PERMISSIONS + news.database;
  return news.kind === 'session' ? SESSION + news.id : undefined;
}

export class NewsOutbox {
  readonly #options: NewsOutboxOptions;
  readonly #waiting = new Map<string, News>();
  readonly #stop = new AbortController();

  constructor(options: NewsOutboxOptions) {
    this.#options = options;
  }

  close(): void {
    this.#stop.abort();
  }

  /**
   * Writes a piece of news. When CouchDB is away it is kept and written later; only for an ended session that is thrown as well,
   * since it would live again after a restart of this process.
   */
  async send(news: News): Promise<void> {
    const id = newsDocumentId(news);
    if (id === undefined) return;
    try {
      await this.#write(id, news);
    } catch (error) {
      const first = this.#waiting.size === 0;
      this.#waiting.set(id, news);
      this.#options.report(`News for other replicas must wait; waiting: ${this.#waiting.size}`);
      if (first) void this.#sendAgain();
      if (news.kind === 'session') throw error;
    }
  }

  async #sendAgain(): Promise<void> {
    const { signal } = this.#stop;
    for (let pauseMs = 100; this.#waiting.size > 0; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      for (const [id, news] of [...this.#waiting]) {
        try {
          await this.#write(id, news);
        } catch {
          break; // CouchDB is still away: the next round begins with the same piece.
        }
        if (this.#waiting.get(id) === news) this.#waiting.delete(id);
      }
    }
  }

  /** The change of the document is the news, so a conflict is written over: the last write comes after every decision it tells of. */
  async #write(id: string, news: News): Promise<void> {
    const { store, now } = this.#options;
    const fields =
      news.kind === 'session' ? { expires_at: news.expiresAt } : { at: new Date(now()).toISOString() };
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
