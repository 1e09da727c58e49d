// Cuts running exchanges (feeds, other answers, uploads) when their permission has been revoked (H17).
import { type Endpoint, type Privilege } from '../catalogue/endpoint.ts';
import { type CutReason } from '../context.ts';
import { RightsReduced } from '../http-errors.ts';
import { type BusMessage, type InvalidationBus } from '../invalidation/bus.ts';
import { LinkedList } from '../limits/linked-list.ts';
import { type RoleSet } from '../permissions/role.ts';
import { type Principal } from '../principal/principal.ts';

/** What the validity of a credential depends on. */
export interface Credential {
  readonly principal: Principal;
  /** The session that authenticated it; undefined for Basic and for nobody. */
  readonly sessionId: string | undefined;
  /** Identifies the password of the API key that authenticated it; undefined for other principals. */
  readonly keyVersion: string | undefined;
  /** Number of changes of users before the check of a user's credential; undefined for other principals. */
  readonly userChanges: number | undefined;
}

/** An exchange whose answer or request body is not complete, and what its permission depends on. */
export interface WatchedExchange extends Credential {
  readonly database: string | undefined;
  /** The endpoint that it was authorized for. */
  readonly endpoint: Endpoint;
  /** `own` = CouchDB decided, by its own members and admins (`couchdb_auth_only`). */
  readonly identity: 'marker' | 'own';
  /** What its token says to CouchDB; undefined = no token was made of the decision, or none will be. */
  readonly privilege?: Privilege | undefined;
  readonly roles?: RoleSet | undefined;
  /**
   * Ends the exchange so that its client can detect it. Called at most once; `reason` is for the audit log.
   */
  readonly cut: (reason: CutReason) => void;
}

/** What a new decision depends on. */
export type JudgedExchange = Omit<WatchedExchange, 'cut'>;

export interface RevocationWatch {
  /**
   * Watches an exchange. The caller must call the returned function when the exchange ends, for any reason.
   * `checkNow` decides again at once, for an exchange that was decided earlier.
   */
  register(exchange: WatchedExchange, options?: { readonly checkNow: boolean }): () => void;
  /** Number of exchanges that are watched. */
  readonly count: number;
  /** Stops watching; cuts nothing. */
  close(): void;
}

/**
 * Decides again, by the permissions in force now. Throws or rejects with `RightsReduced` if they permit the
 * exchange with less privilege or fewer roles than it has, and with other errors if they cannot be read.
 */
export type IsStillPermitted = (exchange: JudgedExchange) => boolean | Promise<boolean>;

export interface RevocationWatchOptions {
  readonly bus: Pick<InvalidationBus, 'onMessage'>;
  readonly isStillPermitted: IsStillPermitted;
  /** How long an exchange continues while the decision is not possible. */
  readonly outageSeconds: number;
  /**
   * Time between two checks of all exchanges, for changes without an invalidation (a key expires, the bus is
   * down).
   */
  readonly sweepMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/**
 * Creates the watch. It checks affected exchanges on every invalidation, and all exchanges every `sweepMs`.
 */
export function createRevocationWatch(options: RevocationWatchOptions): RevocationWatch {
  const now = options.now ?? Date.now;
  const outageMs = options.outageSeconds * 1000;
  const open = new LinkedList<Watch>();
  const check = (isAffected: (exchange: WatchedExchange) => boolean): void => {
    const isStillPermitted = memoize(options.isStillPermitted);
    for (const watch of open.values()) {
      if (isAffected(watch.exchange)) watch.check(isStillPermitted, now, outageMs);
    }
  };
  options.bus.onMessage((invalidation) => {
    // Run after all other listeners, whatever their order: the caches that the new decision reads must have
    // dropped the old data. Pinned by test/revocation/revocation-watch.test.ts.
    queueMicrotask(() => {
      for (const watch of open.values()) if (isEndedBy(invalidation, watch.exchange)) watch.cut('revoked');
      check((exchange) => isAffectedBy(invalidation, exchange));
    });
  });
  const timer = setInterval(() => check(() => true), options.sweepMs ?? 1000).unref();
  return {
    register(exchange, { checkNow } = { checkNow: false }) {
      const watch: Watch = new Watch(exchange, () => open.remove(entry));
      const entry = open.add(watch);
      if (checkNow) watch.check(options.isStillPermitted, now, outageMs);
      return () => watch.end();
    },
    get count() {
      return open.size;
    },
    close: () => clearInterval(timer),
  };
}

/**
 * Within one check, decides once for exchanges with the same inputs: few callers can have thousands of feeds.
 */
function memoize(isStillPermitted: IsStillPermitted): IsStillPermitted {
  const decided = new Map<string, boolean | Promise<boolean>>();
  return (exchange) => {
    const { principal, sessionId, keyVersion, userChanges } = exchange;
    const { database, endpoint, identity, privilege, roles } = exchange;
    const caller = [principal.kind, principal.name, sessionId, keyVersion, userChanges];
    const key = JSON.stringify([...caller, database, endpoint.id, identity, privilege, roles]);
    const known = decided.get(key);
    if (known !== undefined) return known;
    const permitted = isStillPermitted(exchange);
    decided.set(key, permitted);
    return permitted;
  };
}

/**
 * True if the exchange ends without a new decision: its session ended; its user changed, perhaps the
 * password; or permissions changed that only CouchDB can check. A client that is still permitted can connect
 * again.
 */
function isEndedBy(invalidation: BusMessage, exchange: WatchedExchange): boolean {
  if (invalidation.kind === 'session') return exchange.sessionId === invalidation.id;
  if (invalidation.kind === 'permissions')
    return exchange.identity === 'own' && exchange.database === invalidation.database;
  return (
    invalidation.kind === 'user' &&
    exchange.principal.kind === 'user' &&
    exchange.principal.name === invalidation.name
  );
}

/** True if the exchange needs a new decision. */
function isAffectedBy(invalidation: BusMessage, { database, principal }: WatchedExchange): boolean {
  if (invalidation.kind === 'permissions') return database === invalidation.database;
  if (invalidation.kind === 'grant') return principal.kind === 'key' || principal.kind === 'user';
  return invalidation.kind === 'key' && principal.kind === 'key' && principal.name === invalidation.name;
}

class Watch {
  readonly exchange: WatchedExchange;
  readonly #remove: () => void;
  #isOver = false;
  #isDeciding = false;
  #next: IsStillPermitted | undefined = undefined;
  #unknownSince: number | undefined = undefined;

  constructor(exchange: WatchedExchange, remove: () => void) {
    this.exchange = exchange;
    this.#remove = remove;
  }

  end(): void {
    this.#isOver = true;
    this.#remove();
  }

  cut(reason: CutReason): void {
    if (this.#isOver) return;
    this.end();
    this.exchange.cut(reason);
  }

  /**
   * Decides again and cuts if the answer is no, or permits less than before. A check during a running
   * decision starts another one after it.
   */
  check(isStillPermitted: IsStillPermitted, now: () => number, outageMs: number): void {
    if (this.#isDeciding) {
      this.#next = isStillPermitted;
      return;
    }
    const decided = (permitted: boolean | 'less' | undefined): void => {
      this.#isDeciding = false;
      this.#unknownSince = permitted === undefined ? (this.#unknownSince ?? now()) : undefined;
      const isTooLong = this.#unknownSince !== undefined && now() - this.#unknownSince >= outageMs;
      if (permitted === 'less') this.cut(RightsReduced.ENDED);
      else if (permitted === false || isTooLong) this.cut(isTooLong ? 'could not be checked' : 'revoked');
      else if (this.#next !== undefined) {
        const next = this.#next;
        this.#next = undefined;
        this.check(next, now, outageMs);
      }
    };
    const failed = (error: unknown): void => decided(error instanceof RightsReduced ? 'less' : undefined);
    this.#isDeciding = true;
    try {
      const permitted = isStillPermitted(this.exchange);
      if (typeof permitted === 'boolean') decided(permitted);
      else permitted.then(decided, failed);
    } catch (error) {
      failed(error);
    }
  }
}
