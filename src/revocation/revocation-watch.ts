// Ends what is still running when what permitted it is no more (H17): answers, and bodies that are still on their way. Which they are, and how one is
// cut, is forward's and authorize's business.
import { type Endpoint } from '../catalogue/endpoint.ts';
import { type Invalidation, type InvalidationBus } from '../invalidation/bus.ts';
import { type Principal } from '../principal/principal.ts';

/** An answer that is still running, or a request whose body is still coming, and for whom. */
export interface WatchedExchange {
  readonly principal: Principal;
  readonly database: string | undefined;
  /** The session it was asked with; undefined for Basic and for nobody. */
  readonly sessionId: string | undefined;
  /** Names the password of the key it was asked with; undefined for everybody else. */
  readonly keyVersion: string | undefined;
  /** The row that was applied when it was permitted. */
  readonly endpoint: Endpoint;
  /** `own` = CouchDB decided, by its own members and admins (`couchdb_auth_only`). */
  readonly identity: 'marker' | 'own';
  /** Ends it so that its client sees it broken off. Called once at most; `reason` is for the audit log. */
  readonly cut: (reason: string) => void;
}

export interface RevocationWatch {
  /** Watches a feed until the function that is returned is called, which must happen when it ends for whatever reason. */
  register(feed: WatchedExchange): () => void;
  readonly count: number;
  /** Stops looking; cuts nothing. */
  close(): void;
}

export interface RevocationWatchOptions {
  readonly bus: Pick<InvalidationBus, 'onInvalidation'>;
  /** Decides the feed's operation afresh, for its principal as of now. May throw where it cannot be known at present. */
  readonly isStillPermitted: (feed: WatchedExchange) => boolean | Promise<boolean>;
  /** How long a feed goes on while that cannot be known. */
  readonly outageSeconds: number;
  /** Time between two looks at every feed: what no news tells of (a key that expires, a feed of news that is down) ends one after that time. */
  readonly sweepMs?: number;
  readonly now?: () => number;
}

/** Watches every open feed: at once on news that concerns it, and all of them at every sweep. */
export function createRevocationWatch(options: RevocationWatchOptions): RevocationWatch {
  const now = options.now ?? Date.now;
  const outageMs = options.outageSeconds * 1000;
  const open = new Set<Watch>();
  const look = (concerned: (feed: WatchedExchange) => boolean): void => {
    const permitted = onceForAlike(options.isStillPermitted);
    for (const watched of open) {
      if (concerned(watched.feed)) watched.look(permitted, now, outageMs);
    }
  };
  options.bus.onInvalidation((invalidation) => {
    // After every other listener: the caches that the new decision reads must have dropped what they held.
    queueMicrotask(() => {
      for (const watched of [...open]) if (isEnded(invalidation, watched.feed)) watched.cut('revoked');
      look((feed) => concerns(invalidation, feed));
    });
  });
  const timer = setInterval(() => look(() => true), options.sweepMs ?? 1000).unref();
  return {
    register(feed) {
      const watched = new Watch(feed, () => open.delete(watched));
      open.add(watched);
      return watched.forget;
    },
    get count() {
      return open.size;
    },
    close: () => clearInterval(timer),
  };
}

/** Thousands of feeds are of a few callers: within one look, those that differ in nothing are decided once. */
function onceForAlike(
  permitted: RevocationWatchOptions['isStillPermitted'],
): RevocationWatchOptions['isStillPermitted'] {
  const decided = new Map<string, boolean | Promise<boolean>>();
  return (feed) => {
    const { principal, database, sessionId, keyVersion, endpoint } = feed;
    const who = [principal.kind, principal.name, sessionId, keyVersion];
    const alike = JSON.stringify([...who, database, endpoint.id]);
    const known = decided.get(alike);
    if (known !== undefined) return known;
    const answer = permitted(feed);
    decided.set(alike, answer);
    return answer;
  };
}

/**
 * An ended session ends its feeds. So does a change of the user's document, for it may have been the password, and a change of permissions
 * where CouchDB decides: who may still have the feed comes back and gets it.
 */
function isEnded(invalidation: Invalidation, feed: WatchedExchange): boolean {
  if (invalidation.kind === 'session') return feed.sessionId === invalidation.id;
  if (invalidation.kind === 'permissions')
    return feed.identity === 'own' && feed.database === invalidation.database;
  return (
    invalidation.kind === 'user' &&
    feed.principal.kind === 'user' &&
    feed.principal.name === invalidation.name
  );
}

function concerns(invalidation: Invalidation, feed: WatchedExchange): boolean {
  if (invalidation.kind === 'permissions') return feed.database === invalidation.database;
  return (
    invalidation.kind === 'key' && feed.principal.kind === 'key' && feed.principal.name === invalidation.name
  );
}

class Watch {
  readonly feed: WatchedExchange;
  readonly forget: () => void;
  #over = false;
  #deciding = false;
  #again: RevocationWatchOptions['isStillPermitted'] | undefined = undefined;
  #unknownSince: number | undefined = undefined;

  constructor(feed: WatchedExchange, forget: () => void) {
    this.feed = feed;
    this.forget = () => {
      this.#over = true;
      forget();
    };
  }

  cut(reason: string): void {
    if (this.#over) return;
    this.forget();
    this.feed.cut(reason);
  }

  /** Decides once more and cuts on a no. News that arrives while a decision is under way asks for one more after it. */
  look(permitted: RevocationWatchOptions['isStillPermitted'], now: () => number, outageMs: number): void {
    if (this.#deciding) {
      this.#again = permitted;
      return;
    }
    const settle = (answer: boolean | undefined): void => {
      this.#deciding = false;
      this.#unknownSince = answer === undefined ? (this.#unknownSince ?? now()) : undefined;
      const tooLong = this.#unknownSince !== undefined && now() - this.#unknownSince >= outageMs;
      if (answer === false || tooLong) this.cut(tooLong ? 'could not be checked' : 'revoked');
      else if (this.#again !== undefined) {
        const again = this.#again;
        this.#again = undefined;
        this.look(again, now, outageMs);
      }
    };
    this.#deciding = true;
    try {
      const answer = permitted(this.feed);
      if (typeof answer === 'boolean') settle(answer);
      else
        answer.then(settle, () => {
          settle(undefined);
        });
    } catch {
      settle(undefined);
    }
  }
}
