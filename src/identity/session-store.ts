// Knows which sessions were ended before their time, here or on another replica. That a token is genuine is session-token.ts's business.
import { randomBytes } from 'node:crypto';
import { type Couch } from '../couch/couch.ts';
import { ReadThrough } from '../invalidation/read-through-cache.ts';
import { Unavailable } from '../http-errors.ts';
import { holdsUntil, type InvalidationBus } from '../invalidation/bus.ts';
import { type Principal } from '../principal/principal.ts';
import { SessionsDuringPasswordChange } from './sessions-during-password-change.ts';

export interface SessionStore {
  /** The id of a new session, known to be open without asking: 128 random bits. */
  begin(principal: Principal): string;
  /** True for an ended session: at once from memory, else a promise. Throws `Unavailable`. */
  isEnded(id: string): boolean | Promise<boolean>;
  /** Ends it here at once; resolves when every replica will know, restarted ones included. Throws `Unavailable` when that is not sure. */
  end(id: string): Promise<void>;
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

/** Under this id the news of a session's end stays in the store, until no token of it can be valid any more. */
const ENDED = 'news:session:';

/** Clocks of replicas differ, and one may renew a session in the moment in which another ends it. */
const SLACK_MS = 120_000;

/**
 * A session is open unless the store holds the news of its end, so a replica that was away needs no history: a session costs the store
 * one read on each replica that sees it.
 */
export function createSessionStore(options: SessionStoreOptions): SessionStore {
  const { couch, bus } = options;
  const now = options.now ?? Date.now;
  const root = `/${encodeURIComponent(options.storeDatabase)}`;
  const ended = new ReadThrough<boolean>({
    read: (id) => readEnd(couch, pathOf(root, id)),
    // An end is for good, though the news of it may not have reached the store yet.
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
  const young = new SessionsDuringPasswordChange(now);
  bus.onInvalidation((item) => {
    if (item.kind === 'session') ended.put(item.id, true);
    if (item.kind !== 'user') return;
    // What cannot be told to the others now, the news desk tells later.
    for (const id of young.suspects(item.name)) end(id).catch(() => undefined);
  });
  return {
    begin(principal) {
      const id = randomBytes(16).toString('base64url');
      ended.put(id, false);
      young.begin(id, principal);
      return id;
    },
    isEnded: (id) => ended.get(id),
    end,
    close: () => ended.close(),
  };
}

function pathOf(root: string, id: string): string {
  return `${root}/${encodeURIComponent(`${ENDED}${id}`)}`;
}

async function readEnd(couch: Pick<Couch, 'ask'>, path: string): Promise<boolean> {
  const { status, body } = await couch.ask({ method: 'GET', path });
  if (status === 200) return true;
  // "missing" or "deleted"; another 404 says that the store itself is not there, and then nothing is known.
  const { reason } = (body ?? {}) as { reason?: unknown };
  if (status === 404 && (reason === 'missing' || reason === 'deleted')) return false;
  throw new Unavailable('Sessions cannot be checked at present.', { detail: `the store answered ${status}` });
}
