// Stores invalidations for other replicas, and retries until CouchDB has them.
import { setTimeout as delay } from 'node:timers/promises';
import { type WriteLog } from '../couch/outage.ts';
import { Unavailable } from '../http-errors.ts';
import { type BusMessage } from './bus.ts';
import { type Store } from '../couch/store.ts';

/**
 * Prefixes of the ids in the store. Stored documents and other replicas have them, so they must not change.
 */
export const PERMISSIONS = 'news:permissions:';
/** The record that a session ended: the store keeps it until no token of the session can be valid. */
export const SESSION_PREFIX = 'news:session:';

const MAX_PAUSE_MS = 5000;
const MAX_ATTEMPTS = 5;

export interface OutboxOptions {
  readonly store: Store;
  /** Logs a warning: a constant message, and fields for what varies. */
  readonly report: WriteLog;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Returns the id of the document that carries an invalidation to other replicas. `undefined` = none is
 * needed: the changed key, user or record document itself reaches them.
 */
export function invalidationDocumentId(invalidation: BusMessage): string | undefined {
  if (invalidation.kind === 'permissions')
    return invalidation.isInFeed === true ? undefined : PERMISSIONS + invalidation.database;
  return invalidation.kind === 'session' ? SESSION_PREFIX + invalidation.id : undefined;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #waiting = new Map<string, BusMessage>();
  readonly #stop = new AbortController();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Stops the retries. */
  close(): void {
    this.#stop.abort();
  }

  /**
   * Stores an invalidation. If CouchDB is not available, it is kept in memory and stored later. For the end
   * of a session, the error is thrown as well: after a restart of this process the session would be valid
   * again.
   */
  async send(invalidation: BusMessage): Promise<void> {
    const id = invalidationDocumentId(invalidation);
    if (id === undefined) return;
    try {
      await this.#write(id, invalidation);
    } catch (error) {
      const isFirst = this.#waiting.size === 0;
      this.#waiting.set(id, invalidation);
      this.#options.report('invalidations wait for CouchDB', { waiting: this.#waiting.size });
      if (isFirst) void this.#retry();
      if (invalidation.kind === 'session') throw error;
    }
  }

  async #retry(): Promise<void> {
    const { signal } = this.#stop;
    for (let pauseMs = 100; this.#waiting.size > 0; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      for (const [id, invalidation] of [...this.#waiting]) {
        try {
          await this.#write(id, invalidation);
        } catch {
          break; // CouchDB is still not available: the next round starts with the same document.
        }
        if (this.#waiting.get(id) === invalidation) this.#waiting.delete(id);
      }
    }
  }

  /**
   * The change of the document is the message, not its content. On a conflict it is written again: the last
   * write then comes after every decision that it announces. Throws `Unavailable`.
   */
  async #write(id: string, invalidation: BusMessage): Promise<void> {
    const { store, now } = this.#options;
    const fields =
      invalidation.kind === 'session'
        ? { expires_at: invalidation.expiresAt }
        : { at: new Date(now()).toISOString() };
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const rev = (await store.read(id))?._rev;
      const written = await store.write({ _id: id, ...(rev === undefined ? {} : { _rev: rev }), ...fields });
      if (written.outcome === 'written') return;
    }
    throw new Unavailable('The change could not be sent to other replicas yet.', {
      detail: `${MAX_ATTEMPTS} conflicts in a row`,
    });
  }
}
