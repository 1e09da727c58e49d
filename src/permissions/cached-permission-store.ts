// Keeps the permissions of databases: reads them through a cache, and changes them through their records.
import { type Couch } from '../couch/couch.ts';
import { type WriteLog } from '../couch/outage.ts';
import { type Store } from '../couch/store.ts';
import { type CacheStats, ReadThrough } from '../invalidation/read-through-cache.ts';
import { RecentChanges } from '../invalidation/recent-changes.ts';
import { Forbidden, Unavailable } from '../http-errors.ts';
import { holdsUntil, type InvalidationBus } from '../invalidation/bus.ts';
import { InternalReadLimiter, type InternalReadLimits } from '../limits/internal-read-limiter.ts';
import { KeyedMutex } from '../limits/keyed-mutex.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type Caller, type Principal } from '../principal/principal.ts';
import { AbsentDatabases } from './absent.ts';
import { Adopter } from './adopter.ts';
import { ChangeAnnouncer } from './change-announcer.ts';
import { getSecurity } from './couch-security.ts';
import { type DatabasePermissions } from './grants.ts';
import { NewestVersionGuard } from './newest-version-guard.ts';
import { refuseRevoked } from './permission-change.ts';
import { RecordIndex } from './record-index.ts';
import {
  type AcknowledgedChange,
  type ChangeListener,
  type ChangeOptions,
  type Edit,
  type PermissionChange,
  type PermissionsInForce,
} from './change.ts';
import { type PeekedPermissions, type PermissionStore } from './permission-store.ts';
import { PermissionRecords } from './permission-records.ts';
import { refuseOtherRevision } from './precondition.ts';
import { type PrefixReader } from './prefix-grants.ts';
import { RecordCopies } from './record-copies.ts';
import { type ReadLimit } from './record-finisher.ts';
import { type Authorship, type Finished } from './record-protocol.ts';
import { NO_ROLES } from './role.ts';
import { permissionsOfForm, type RecordState, securityOf } from './record-document.ts';
import { permissionsIn, type StoredSecurity, versionOf } from './security-document.ts';
import { objectInForce, type Seen } from './seen.ts';
import { EMPTY_REQUEST, hasManyOthers, refuseManyNames } from './security-request.ts';

type Lookup = DatabasePermissions | undefined | Promise<DatabasePermissions | undefined>;

export interface PermissionStoreOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly store: Pick<Store, 'up'>;
  readonly bus: InvalidationBus;
  readonly storeDatabase: string;
  readonly nodeUrls: readonly string[];
  readonly securityCacheSeconds: number;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  /** Patterns of databases that are adopted when they are first used. */
  readonly adopt?: readonly string[];
  readonly prefixGrants: PrefixReader;
  /** False while less than a majority of the copies of the store is up: then nothing can be changed. */
  readonly hasMajority: () => boolean;
  /** Logs a warning: a constant message, and fields for what varies. */
  readonly report: WriteLog;
  readonly now?: () => number;
  /** Called between any two steps of a change; for tests. */
  readonly step?: (name: string) => Promise<void>;
}

interface Cached {
  readonly permissions: DatabasePermissions | undefined;
  /** False if the read may be of an older copy (H4), or if a change is under way. */
  readonly settled: boolean;
}

/** Cache time of a read that is not settled. */
const UNSETTLED_SECONDS = 0.5;
/**
 * Reads of whole objects, of all callers but the owner. Each may take megabytes and half a second of work:
 * many of them would stop other requests (H15). Two callers must not be able to take all places.
 */
const OBJECT_READS: InternalReadLimits = { atOnce: 16, waiting: 1024, share: 1 / 8 };
/** Changes of one database that run or wait; each holds a security object in memory (H15). */
const MAX_QUEUED_CHANGES = 16;
const NO_MAJORITY = 'Too few CouchDB nodes are up to change permissions.';
const TOO_LARGE_TO_MARK =
  'The security object of this database is too large for Couchgate; its owner must shorten it.';
const BEING_CHANGED = 'The permissions of this database are being changed.';
/** Leaves that this process wrote last; their rows in the feed follow within seconds. */
const OWN_LEAVES = 1000;

export function createPermissionStore(options: PermissionStoreOptions): PermissionStore {
  return new CachedPermissionStore(options);
}

class CachedPermissionStore implements PermissionStore {
  readonly index: RecordIndex;
  readonly records: PermissionRecords;
  readonly #options: PermissionStoreOptions;
  readonly #now: () => number;
  readonly #newest: NewestVersionGuard;
  readonly #changes = new KeyedMutex();
  readonly #recent: RecentChanges;
  readonly #absent: AbsentDatabases;
  readonly #cache: ReadThrough<Cached>;
  readonly #own = new Set<string>();
  readonly #objectReads = new InternalReadLimiter(OBJECT_READS);
  /** Databases whose markers are being written. */
  readonly #marking = new Map<string, Promise<void>>();
  readonly #announcer: ChangeAnnouncer;
  readonly #adopter: Adopter;
  readonly #readListeners: ((seen: Seen) => void)[] = [];

  constructor(options: PermissionStoreOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#newest = new NewestVersionGuard(this.#now);
    this.#recent = new RecentChanges(this.#now);
    this.#absent = new AbsentDatabases(this.#now);
    this.index = new RecordIndex(() => options.store.up);
    this.records = new PermissionRecords({
      ...options,
      copies: new RecordCopies(options),
      now: this.#now,
      onWritten: (database, rev, state) => this.#written(database, rev, state),
    });
    const { report, adopt: patterns = [] } = options;
    this.#announcer = new ChangeAnnouncer(report);
    this.#adopter = new Adopter({ patterns, records: this.records, announcer: this.#announcer, report });
    this.#cache = new ReadThrough<Cached>({
      read: (database, caller) => this.#read(database, caller),
      freshUntil: (cached, readAt) => this.#freshUntil(cached, readAt),
      outageMs: options.outageCacheSeconds * 1000,
      keepSeconds: options.securityCacheSeconds + options.outageCacheSeconds,
      now: this.#now,
    });
    options.bus.onMessage((item) => {
      if (item.kind !== 'permissions') return;
      this.#recent.record(item.database);
      this.#absent.drop(item.database);
      this.#cache.drop(item.database);
    });
  }

  permissionsOf(database: string, caller?: Caller): Lookup {
    // Anonymous callers get 401 for missing and for closed databases, so a short cache is not visible to
    // them. Named callers get 404 and must see a new database at once.
    if (caller?.principal.kind === 'nobody' && this.#absent.has(database)) return undefined;
    const cached = this.#cache.get(database, caller);
    return cached instanceof Promise ? cached.then(({ permissions }) => permissions) : cached.permissions;
  }

  peek(database: string, caller: Caller): Promise<PeekedPermissions | undefined> {
    return this.#limited(caller, () => this.#peek(database, caller));
  }

  async #peek(database: string, caller: Caller): Promise<PeekedPermissions | undefined> {
    const object = await getSecurity(this.#options.couch, database, caller);
    if (object === undefined) return undefined;
    const seen = await this.records.reader.readWith(database, object, caller);
    const { generation, revision, permissions } = seen;
    return { permissions: this.#adopter.peek(seen) ?? permissions, generation, revision };
  }

  async inForce(database: string, caller?: Caller): Promise<PermissionsInForce | undefined> {
    const limit: ReadLimit = (read) => this.#limited(caller, read);
    const seen = await this.records.finisher.readAtRest(database, caller, undefined, limit);
    if (seen === undefined) return undefined;
    const { generation, revision, permissions } = seen;
    return { generation, revision, permissions, document: objectInForce(seen) };
  }

  async change(
    database: string,
    by: Principal,
    edit: Edit,
    { ifMatch, standing, ...origin }: ChangeOptions,
  ): Promise<PermissionChange> {
    if (!this.#options.hasMajority()) throw new Unavailable(NO_MAJORITY);
    const change = async (): Promise<PermissionChange> => {
      // Other changes ran first: the key, the session or the user may be gone (H19).
      await standing?.requireStillAuthenticated();
      const finished = await this.records.change(
        database,
        (seen) => {
          standing?.refuseEnded();
          const added = this.#options.prefixGrants.accessOf(by, database)?.roles ?? NO_ROLES;
          refuseRevoked(by, seen.permissions, added);
          refuseOtherRevision(ifMatch, seen);
          const inForce = objectInForce(seen);
          const next = edit(inForce);
          refuseManyNames(inForce, next);
          return securityOf(next);
        },
        { by: by.name, ...origin },
      );
      return this.announce(database, finished);
    };
    return this.runExclusive(database, change, by);
  }

  announce(database: string, finished: Finished): Promise<AcknowledgedChange> {
    return this.#announcer.announce(database, finished);
  }

  mark(database: string): Promise<void> {
    const running = this.#marking.get(database);
    if (running !== undefined) return running;
    const marking = this.#mark(database).finally(() => this.#marking.delete(database));
    this.#marking.set(database, marking);
    return marking;
  }

  async recordCreation(database: string, by: Principal, requestId: string): Promise<void> {
    const author: Authorship = { by: by.name, via: 'create', requestId };
    const made = await this.#recordCreation(database, author).finally(() => this.#forget(database));
    for (const finished of made) await this.announce(database, finished);
  }

  async recordDeletion<T>(
    database: string,
    by: Principal,
    requestId: string,
    remove: () => Promise<{ readonly result: T; readonly isDeleted: boolean }>,
  ): Promise<T> {
    const author: Authorship = { by: by.name, via: 'delete', requestId };
    const generation = await this.records.generationOf(database).catch(() => undefined);
    let finished: Finished | undefined;
    let removed: T;
    try {
      const { result, isDeleted } = await remove();
      removed = result;
      if (isDeleted) finished = await this.#recordDeletion(database, generation, author);
    } finally {
      // The database may be deleted even if the response is an error or is lost.
      await this.#forget(database);
    }
    if (finished !== undefined) await this.announce(database, finished);
    return removed;
  }

  async runExclusive<T>(database: string, work: () => Promise<T>, by?: Principal): Promise<T> {
    // The owner may have to revoke the right of callers that fill the queue.
    const first = by === undefined || by.kind === 'owner';
    if (!first && this.#changes.queueLength(database) >= MAX_QUEUED_CHANGES)
      throw new Unavailable(BEING_CHANGED, { retryAfterSeconds: 1 });
    return this.#changes.run(database, work, { first });
  }

  onAcknowledged(listener: ChangeListener): void {
    this.#announcer.onAcknowledged(listener);
  }

  onRead(listener: (seen: Seen) => void): void {
    this.#readListeners.push(listener);
  }

  isOwn(database: string, rev: string): boolean {
    return this.#own.has(ownKey(database, rev));
  }

  get stats(): CacheStats {
    return this.#cache.stats;
  }

  close(): void {
    this.#cache.close();
    this.#objectReads.close();
  }

  /** Reads as soon as the caller has a slot. Throws `TooBusy`. */
  #limited<T>(caller: Caller | undefined, read: () => Promise<T>): Promise<T> {
    if (caller === undefined || caller.principal.kind === 'owner') return read();
    return this.#objectReads.run(quotaKeyOf(caller), read);
  }

  async #recordCreation(database: string, by: Authorship): Promise<readonly Finished[]> {
    const { finished, object } = await this.records.create(database, by);
    const made = finished === undefined ? [] : [finished];
    if (isClosed(object)) return made;
    // `default_security` of CouchDB is not `admin_only`: without markers everybody could read and write (H4).
    return [...made, await this.records.change(database, () => securityOf(EMPTY_REQUEST), by)];
  }

  async #recordDeletion(
    database: string,
    generation: string | undefined,
    by: Authorship,
  ): Promise<Finished | undefined> {
    try {
      return await this.records.writer.voidDeleted(database, generation, by);
    } catch {
      // It grants nothing to a database that is made again: that has another start time.
      this.#options.report('record of a deleted database could not be closed', { database });
      return undefined;
    }
  }

  async #read(database: string, caller: Caller | undefined): Promise<Cached> {
    const settled = this.#recent.isSettled(database);
    const readAt = this.#now();
    const object = await getSecurity(this.#options.couch, database, caller);
    if (object === undefined) {
      // Check again after the read: the database may have been created in the meantime.
      if (this.#recent.isSettled(database)) this.#absent.add(database, readAt);
      return { permissions: undefined, settled };
    }
    this.#absent.drop(database);
    const mirrored = this.#mirroredIn(database, object);
    if (mirrored !== undefined) return { permissions: mirrored, settled: true };
    const seen = await this.#adopter.adopt(await this.records.reader.readWith(database, object, caller));
    for (const listener of this.#readListeners) listener(seen);
    if (seen.record === undefined || seen.agreement === 'gone') {
      const found = this.#newest.newestOf(database, seen.object);
      // Another program may be about to name its members.
      const isComplete = !this.#adopter.isMatched(database);
      return { permissions: found.permissions, settled: settled && found.isNewest && isComplete };
    }
    const isSettled = seen.record.isAtRest && seen.agreement !== 'newer' && seen.agreement !== 'reset';
    return { permissions: seen.permissions, settled: isSettled };
  }

  async #mark(database: string): Promise<void> {
    if (!this.#options.hasMajority()) throw new Unavailable(NO_MAJORITY);
    await this.runExclusive(database, async () => {
      const seen = await this.records.finisher.readAtRest(database);
      // What was cached may be from before another replica wrote them.
      this.#cache.drop(database);
      if (seen === undefined || seen.permissions.marked || seen.permissions.couchdbAuthOnly) return;
      if (hasManyOthers(seen.security)) throw new Forbidden(TOO_LARGE_TO_MARK);
      const author: Authorship = { by: '', via: 'markers' };
      const finished = await this.records.change(database, ({ security }) => security, author);
      await this.announce(database, finished);
    });
  }

  /**
   * The permissions in an object that is the mirror of the record in the index: then the record need not be
   * read. The feed of the store ends this as it ends what is cached.
   */
  #mirroredIn(database: string, object: StoredSecurity): DatabasePermissions | undefined {
    const record = this.index.isLoaded ? this.index.recordOf(database) : undefined;
    if (record === undefined || !record.isAtRest || record.start === null || record.couchdbAuthOnly)
      return undefined;
    const found = permissionsIn(object, database);
    if (record.stamp === 0 || versionOf(object) !== record.stamp || found.couchdbAuthOnly) return undefined;
    if (found.grants.size !== record.names.length) return undefined;
    const isEqual = record.names.every((name, i) => found.grants.get(name) === record.roles[i]);
    return isEqual ? found : undefined;
  }

  /** A missing database is not cached here: it may be created at any moment. */
  #freshUntil({ permissions, settled }: Cached, readAt: number): number {
    const { bus, securityCacheSeconds, fallbackCacheSeconds } = this.#options;
    if (permissions === undefined) return readAt;
    const seconds = settled ? securityCacheSeconds : Math.min(UNSETTLED_SECONDS, securityCacheSeconds);
    return holdsUntil(bus, readAt, seconds, fallbackCacheSeconds);
  }

  async #written(database: string, rev: string, state: RecordState): Promise<void> {
    if (this.#own.size >= OWN_LEAVES) this.#own.clear();
    this.#own.add(ownKey(database, rev));
    this.index.take(database, { ...state, rev, isWithdrawn: false }, false);
    if (state.state === 'writing') {
      // Its row in the feed tells other replicas.
      await this.#options.bus.publish({ kind: 'permissions', database, isInFeed: true });
      return;
    }
    const changesBefore = this.#recent.countOf(database);
    await this.#options.bus.publish({ kind: 'permissions', database });
    // CouchDB may still answer with the previous object (H4), so the written one is cached. Exactly one more
    // recorded change is this write. Any further change came from another replica, and must be read.
    if (!state.mirrored || this.#recent.countOf(database) !== changesBefore + 1) return;
    this.#cache.put(database, {
      permissions: permissionsOfForm(state.security, database, true),
      settled: true,
    });
  }

  async #forget(database: string): Promise<void> {
    this.#newest.remove(database);
    await this.#options.bus.publish({ kind: 'permissions', database });
  }
}

/** True for CouchDB's `default_security = admin_only`: nobody but server admins has access. */
function isClosed(object: StoredSecurity): boolean {
  const { names = [], roles = [] } = (object['members'] ?? {}) as Record<string, unknown>;
  return JSON.stringify([names, roles]) === '[[],["_admin"]]';
}

function ownKey(database: string, rev: string): string {
  return `${rev} ${database}`;
}
