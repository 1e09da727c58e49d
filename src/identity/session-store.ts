// Keeps track of sessions that ended before they expired, on all replicas.
import { randomBytes } from 'node:crypto';
import { type Couch, isMissing } from '../couch/couch.ts';
import { documentPath } from '../couch/document-path.ts';
import { ReadThrough } from '../invalidation/read-through-cache.ts';
import { Unavailable } from '../http-errors.ts';
import { holdsUntil, type InvalidationBus } from '../invalidation/bus.ts';
import { SESSION_PREFIX } from '../invalidation/outbox.ts';
import { SWEEP_MS } from '../invalidation/store-bus.ts';
import { LogoutLimit } from '../limits/logout-limit.ts';

export interface SessionStore {
  /**
   * Returns the id of a new session: 128 random bits. The session is cached as open, so its first use needs
   * no read.
   */
  begin(): string;
  /** True if the session has ended. A promise means a read from CouchDB; it may reject with `Unavailable`. */
  isEnded(id: string): boolean | Promise<boolean>;
  /**
   * Ends a session of a principal. This process applies it immediately. Resolves once the store holds it, so
   * that every replica applies it, also after a restart. Rejects with `Unavailable` if that is uncertain.
   * Throws `TooManyRequests` at once, and ends nothing, if the store keeps too many ended sessions of the
   * principal.
   */
  end(id: string, principal: string): Promise<void>;
  close(): void;
}

export interface SessionStoreOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly bus: InvalidationBus;
  readonly storeDatabase: string;
  readonly sessionTimeoutSeconds: number;
  readonly securityCacheSeconds: number;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  readonly now?: () => number;
}

/**
 * Added to the lifetime of the record: clocks of replicas differ, and one replica may renew a session while
 * another ends it.
 */
const SLACK_MS = 120_000;

/**
 * Creates the session store. A session is open unless the store holds a record of its end. A replica that was
 * offline therefore needs no history; each replica reads the store once per session.
 */
export function createSessionStore(options: SessionStoreOptions): SessionStore {
  const { couch, bus } = options;
  const now = options.now ?? Date.now;
  const ended = new ReadThrough<boolean>({
    read: (id) => readEnd(couch, documentPath(options.storeDatabase, SESSION_PREFIX + id)),
    // An end is permanent, even if its record has not reached the store yet.
    freshUntil: (isEnded, readAt) =>
      isEnded
        ? Infinity
        : holdsUntil(bus, readAt, options.securityCacheSeconds, options.fallbackCacheSeconds),
    outageMs: options.outageCacheSeconds * 1000,
    keepSeconds: Math.max(
      options.securityCacheSeconds + options.outageCacheSeconds,
      options.sessionTimeoutSeconds + SLACK_MS / 1000,
    ),
    now,
  });
  const end = async (id: string): Promise<void> => {
    ended.put(id, true);
    const expiresAt = now() + options.sessionTimeoutSeconds * 1000 + SLACK_MS;
    await bus.publish({ kind: 'session', id, expiresAt });
  };
  const limit = new LogoutLimit({ keptMs: options.sessionTimeoutSeconds * 1000 + SLACK_MS + SWEEP_MS, now });
  bus.onMessage((item) => {
    if (item.kind === 'session') ended.put(item.id, true);
  });
  return {
    begin() {
      const id = randomBytes(16).toString('base64url');
      ended.put(id, false);
      return id;
    },
    isEnded: (id) => ended.get(id),
    end(id, principal) {
      // The store has it already.
      if (!limit.count(principal, id)) return Promise.resolve();
      return end(id).catch((error: unknown) => {
        limit.remove(principal, id);
        throw error;
      });
    },
    close: () => ended.close(),
  };
}

async function readEnd(couch: Pick<Couch, 'ask'>, path: string): Promise<boolean> {
  const answer = await couch.ask({ method: 'GET', path });
  const { status } = answer;
  if (status === 200) return true;
  if (isMissing(answer)) return false;
  throw new Unavailable('Sessions cannot be checked at present.', {
    detail: `the store answered ${status}`,
  });
}
