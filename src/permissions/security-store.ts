// Reads the permissions of databases through a cache, and replaces them in CouchDB.
import { type Couch } from '../couch/couch.ts';
import { type CacheStats, ReadThrough } from '../invalidation/read-through-cache.ts';
import { RecentChanges } from '../invalidation/recent-changes.ts';
import { NotFound, Unavailable } from '../http-errors.ts';
import { holdsUntil, type InvalidationBus } from '../invalidation/bus.ts';
import { type Caller, type Principal } from '../principal/principal.ts';
import { AbsentDatabases } from './absent.ts';
import { getSecurity, setSecurity } from './couch-security.ts';
import { type DatabasePermissions } from './grants.ts';
import { NewestVersionGuard } from './newest-version-guard.ts';
import { type PermissionChange, refuseRevoked } from './permission-change.ts';
import { permissionsIn, versionOf, type StoredSecurity, storedForm } from './security-document.ts';
import { type SecurityRequest } from './security-request.ts';
import { KeyedMutex } from '../limits/keyed-mutex.ts';

type Lookup = DatabasePermissions | undefined | Promise<DatabasePermissions | undefined>;
type Edit = (stored: StoredSecurity) => SecurityRequest;

/** Read access, as authorize needs it. */
export interface SecurityStore {
  /**
   * Returns the permissions of a database: from the cache, else as a promise; `undefined` = no such database.
   * The read is charged to the caller's quota, or to none for Couchgate itself. Throws `Unavailable`.
   */
  permissionsOf(database: string, caller?: Caller): Lookup;
}

/** Read and write access, for the handlers of `_security`, `PUT /{db}` and `DELETE /{db}`. */
export interface SecurityKeeper extends SecurityStore {
  /** Reads the security object from CouchDB; `undefined` = no such database. Throws `Unavailable`. */
  documentOf(database: string, caller?: Caller): Promise<StoredSecurity | undefined>;
  /**
   * Replaces the security object; call it inside `runExclusive`. Resolves when all caches of this replica
   * have dropped the old one. Throws `NotFound`, `Unavailable` or CouchDB's 400.
   */
  write(database: string, replaces: StoredSecurity, by: SecurityRequest): Promise<DatabasePermissions>;
  /**
   * Reads the security object from CouchDB and replaces it by what `edit` returns. Changes of one database
   * run one at a time. Throws 404 for a missing database, 403 if `by` lost the right while it waited, 503 if
   * the queue is full, and the errors of `write`.
   */
  change(database: string, by: Principal, edit: Edit): Promise<PermissionChange>;
  /** Drops all cached data of a database that was created or deleted. Resolves as `write` does. */
  discard(database: string): Promise<void>;
  /** Runs `work` when no other change of this database's permissions runs in this process. */
  runExclusive<T>(database: string, work: () => Promise<T>): Promise<T>;
  readonly stats: CacheStats;
  close(): void;
}

export interface SecurityStoreOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly bus: InvalidationBus;
  readonly securityCacheSeconds: number;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  readonly now?: () => number;
}

interface Cached {
  readonly permissions: DatabasePermissions | undefined;
  /** False if it was read so soon after a change that it may be an older copy (H4). */
  readonly settled: boolean;
}

/** Cache time of a read that may be an older copy. */
const UNSETTLED_SECONDS = 0.5;
/** Changes of one database that run or wait; each holds a security object in memory (H15). */
const MAX_QUEUED_CHANGES = 16;
const BEING_CHANGED = 'The permissions of this database are being changed.';

export function createSecurityStore(options: SecurityStoreOptions): SecurityKeeper {
  return new CachedSecurity(options);
}

class CachedSecurity implements SecurityKeeper {
  readonly #options: SecurityStoreOptions;
  readonly #now: () => number;
  readonly #newest: NewestVersionGuard;
  readonly #changes = new KeyedMutex();
  readonly #recent: RecentChanges;
  readonly #absent: AbsentDatabases;
  readonly #cache: ReadThrough<Cached>;

  constructor(options: SecurityStoreOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#newest = new NewestVersionGuard(this.#now);
    this.#recent = new RecentChanges(this.#now);
    this.#absent = new AbsentDatabases(this.#now);
    this.#cache = new ReadThrough<Cached>({
      read: (database, caller) => this.#read(database, caller),
      freshUntil: (cached, readAt) => this.#freshUntil(cached, readAt),
      outageMs: options.outageCacheSeconds * 1000,
      keepSeconds: options.securityCacheSeconds + options.outageCacheSeconds,
      now: this.#now,
    });
    options.bus.onInvalidation((item) => {
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

  async documentOf(database: string, caller?: Caller): Promise<StoredSecurity | undefined> {
    const document = await getSecurity(this.#options.couch, database, caller);
    if (document === undefined || this.#newest.newestOf(database, document).isNewest) return document;
    throw new Unavailable(BEING_CHANGED, { retryAfterSeconds: 1 });
  }

  async write(database: string, replaces: StoredSecurity, by: SecurityRequest): Promise<DatabasePermissions> {
    const version = Math.max(this.#now(), versionOf(replaces) + 1, this.#newest.versionOf(database) + 1);
    const stored = storedForm(by, database, version);
    try {
      await setSecurity(this.#options.couch, database, stored);
    } catch (error) {
      // CouchDB may have applied the write on some shards, or may still apply it, so caches must read again.
      if (error instanceof Unavailable) await this.#publish(database);
      throw error;
    }
    const { permissions } = this.#newest.newestOf(database, stored);
    const changesBefore = this.#recent.countOf(database);
    await this.#publish(database);
    // CouchDB may still answer with the previous object (H4), so the written one is cached. Exactly one more
    // recorded change is this write. Any further change came from another replica, and the object must be
    // read.
    if (this.#recent.countOf(database) === changesBefore + 1)
      this.#cache.put(database, { permissions, settled: true });
    return permissions;
  }

  async change(database: string, by: Principal, edit: Edit): Promise<PermissionChange> {
    // No limit for the owner: it may have to revoke the right of callers that fill the queue.
    if (by.kind !== 'owner' && this.#changes.queueLength(database) >= MAX_QUEUED_CHANGES)
      throw new Unavailable(BEING_CHANGED, { retryAfterSeconds: 1 });
    return this.runExclusive(database, async () => {
      const stored = await this.documentOf(database);
      if (stored === undefined) throw new NotFound('Database does not exist.');
      const before = permissionsIn(stored, database);
      refuseRevoked(by, before);
      return { database, before, after: await this.write(database, stored, edit(stored)) };
    });
  }

  async discard(database: string): Promise<void> {
    this.#newest.remove(database);
    await this.#publish(database);
  }

  runExclusive<T>(database: string, work: () => Promise<T>): Promise<T> {
    return this.#changes.run(database, work);
  }

  get stats(): CacheStats {
    return this.#cache.stats;
  }

  close(): void {
    this.#cache.close();
  }

  async #read(database: string, caller: Caller | undefined): Promise<Cached> {
    const settled = this.#recent.isSettled(database);
    const readAt = this.#now();
    const document = await getSecurity(this.#options.couch, database, caller);
    if (document === undefined) {
      // Check again after the read: the database may have been created in the meantime.
      if (this.#recent.isSettled(database)) this.#absent.add(database, readAt);
      return { permissions: undefined, settled };
    }
    this.#absent.drop(database);
    const found = this.#newest.newestOf(database, document);
    return { permissions: found.permissions, settled: settled && found.isNewest };
  }

  /** A missing database is not cached here: it may be created at any moment. */
  #freshUntil({ permissions, settled }: Cached, readAt: number): number {
    const { bus, securityCacheSeconds, fallbackCacheSeconds } = this.#options;
    if (permissions === undefined) return readAt;
    const seconds = settled ? securityCacheSeconds : Math.min(UNSETTLED_SECONDS, securityCacheSeconds);
    return holdsUntil(bus, readAt, seconds, fallbackCacheSeconds);
  }

  #publish(database: string): Promise<void> {
    return this.#options.bus.publish({ kind: 'permissions', database });
  }
}
