// The permissions of every database: read through a cache that news keeps fresh, written in one place. What a security object means is
// security-document.ts's business, who may write one authorize's.
import { type Couch } from '../couch/couch.ts';
import { type CacheStats, ReadThrough } from '../invalidation/read-through-cache.ts';
import { RecentChanges } from '../invalidation/recent-changes.ts';
import { NotFound, Unavailable } from '../http-errors.ts';
import { holdsUntil, type InvalidationBus } from '../invalidation/bus.ts';
import { type Caller, type Principal } from '../principal/principal.ts';
import { Absent } from './absent.ts';
import { getSecurity, setSecurity } from './couch-security.ts';
import { type DatabasePermissions } from './grants.ts';
import { NewestVersionGuard } from './newest-version-guard.ts';
import { type PermissionChange, refuseRevoked } from './permission-change.ts';
import { permissionsIn, versionOf, type StoredSecurity, storedForm } from './security-document.ts';
import { type SecurityRequest } from './security-request.ts';
import { KeyedMutex } from '../limits/keyed-mutex.ts';

/** Reads security objects through a cache that news keeps fresh. */
export interface SecurityStore {
  /**
   * The permissions of a database: at once from the cache, else a promise; `undefined` = the database does not exist. They are read out of
   * the asker's share; without one for Couchgate itself. Throws `Unavailable`.
   */
  permissionsOf(
    database: string,
    caller?: Caller,
  ): DatabasePermissions | undefined | Promise<DatabasePermissions | undefined>;
}

/** The store as the handlers of `_security`, `PUT /{db}` and `DELETE /{db}` need it. */
export interface SecurityKeeper extends SecurityStore {
  /** The object as CouchDB holds it now; `undefined` = the database does not exist. Throws `Unavailable`. */
  documentOf(database: string, caller?: Caller): Promise<StoredSecurity | undefined>;
  /** Replaces the object; resolves when every cache of this replica has dropped the old one. Call it inside `alone`. Throws `Unavailable`. */
  write(database: string, replaces: StoredSecurity, by: SecurityRequest): Promise<DatabasePermissions>;
  /**
   * Replaces the object by what `wish` makes of the one that CouchDB holds, one change after the other. Throws 404 for a missing database,
   * 403 for a caller whose right was taken away while it waited for its turn, 503 where too many wait, and what `write` throws.
   */
  change(
    database: string,
    by: Principal,
    wish: (stored: StoredSecurity) => SecurityRequest,
  ): Promise<PermissionChange>;
  /** The database was created or deleted: nothing that was known of it holds. Resolves as `write` does. */
  forget(database: string): Promise<void>;
  /** Runs one change of a database's permissions at a time. */
  alone<T>(database: string, work: () => Promise<T>): Promise<T>;
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

interface Kept {
  readonly permissions: DatabasePermissions | undefined;
  /** False for what was read so soon after a change that it may be an older copy (H4). */
  readonly settled: boolean;
}

/** How long what may be an older copy is kept. */
const UNSETTLED_SECONDS = 0.5;

export function createSecurityStore(options: SecurityStoreOptions): SecurityKeeper {
  return new CachedSecurity(options);
}

class CachedSecurity implements SecurityKeeper {
  readonly #options: SecurityStoreOptions;
  readonly #now: () => number;
  readonly #newest: NewestVersionGuard;
  readonly #turns = new KeyedMutex();
  readonly #settling: RecentChanges;
  readonly #absent: Absent;
  readonly #cache: ReadThrough<Kept>;

  constructor(options: SecurityStoreOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#newest = new NewestVersionGuard(this.#now);
    this.#settling = new RecentChanges(this.#now);
    this.#absent = new Absent(this.#now);
    this.#cache = new ReadThrough<Kept>({
      read: (database, caller) => this.#read(database, caller),
      freshUntil: (kept, readAt) => this.#freshUntil(kept, readAt),
      outageMs: options.outageCacheSeconds * 1000,
      keepSeconds: options.securityCacheSeconds + options.outageCacheSeconds,
      now: this.#now,
    });
    options.bus.onInvalidation((item) => {
      if (item.kind !== 'permissions') return;
      this.#settling.record(item.database);
      this.#absent.drop(item.database);
      this.#cache.drop(item.database);
    });
  }

  permissionsOf(
    database: string,
    caller?: Caller,
  ): DatabasePermissions | undefined | Promise<DatabasePermissions | undefined> {
    // Nobody is told 401 of what is not there and of what is closed; who has a name is told 404, and then sees a new database at once.
    if (caller?.principal.kind === 'nobody' && this.#absent.has(database)) return undefined;
    const kept = this.#cache.get(database, caller);
    return kept instanceof Promise ? kept.then(({ permissions }) => permissions) : kept.permissions;
  }

  async documentOf(database: string, caller?: Caller): Promise<StoredSecurity | undefined> {
    const document = await getSecurity(this.#options.couch, database, caller);
    if (document === undefined || this.#newest.newerOf(database, document).isNewest) return document;
    throw new Unavailable('The permissions of this database are being changed.', { retryAfterSeconds: 1 });
  }

  async write(database: string, replaces: StoredSecurity, by: SecurityRequest): Promise<DatabasePermissions> {
    const stamp = Math.max(this.#now(), versionOf(replaces) + 1, this.#newest.versionOf(database) + 1);
    const stored = storedForm(by, database, stamp);
    try {
      await setSecurity(this.#options.couch, database, stored);
    } catch (error) {
      // It may have been written in part, or will be: nothing that was known holds.
      if (error instanceof Unavailable) await this.#tell(database);
      throw error;
    }
    const { permissions } = this.#newest.newerOf(database, stored);
    const changeCount = this.#settling.countOf(database);
    await this.#tell(database);
    // Not read back: CouchDB may still answer with the old one (H4). Unless another replica changed it in the meantime, this is what it holds.
    if (this.#settling.countOf(database) === changeCount + 1)
      this.#cache.put(database, { permissions, settled: true });
    return permissions;
  }

  change(
    database: string,
    by: Principal,
    wish: (stored: StoredSecurity) => SecurityRequest,
  ): Promise<PermissionChange> {
    const replace = async (): Promise<PermissionChange> => {
      const stored = await this.documentOf(database);
      if (stored === undefined) throw new NotFound('Database does not exist.');
      const before = permissionsIn(stored, database);
      refuseRevoked(by, before);
      return { database, before, after: await this.write(database, stored, wish(stored)) };
    };
    // The owner waits however long the line is: it may take a right away from those that stand in it.
    return by.kind === 'owner'
      ? this.alone(database, replace)
      : this.#turns.runIfQueueShort(database, replace);
  }

  async forget(database: string): Promise<void> {
    this.#newest.forget(database);
    await this.#tell(database);
  }

  alone<T>(database: string, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(database, work);
  }

  get stats(): CacheStats {
    return this.#cache.stats;
  }

  close(): void {
    this.#cache.close();
  }

  async #read(database: string, caller: Caller | undefined): Promise<Kept> {
    const settled = this.#settling.isSettled(database);
    const readAt = this.#now();
    const document = await getSecurity(this.#options.couch, database, caller);
    if (document === undefined) {
      // Asked only now: it may have been made while it was being looked for.
      if (this.#settling.isSettled(database)) this.#absent.note(database, readAt);
      return { permissions: undefined, settled };
    }
    this.#absent.drop(database);
    const found = this.#newest.newerOf(database, document);
    return { permissions: found.permissions, settled: settled && found.isNewest };
  }

  /** A database that is not there may be there the next moment, so that is not kept here. */
  #freshUntil({ permissions, settled }: Kept, readAt: number): number {
    const { bus, securityCacheSeconds, fallbackCacheSeconds } = this.#options;
    if (permissions === undefined) return readAt;
    const seconds = settled ? securityCacheSeconds : Math.min(UNSETTLED_SECONDS, securityCacheSeconds);
    return holdsUntil(bus, readAt, seconds, fallbackCacheSeconds);
  }

  #tell(database: string): Promise<void> {
    return this.#options.bus.publish({ kind: 'permissions', database });
  }
}
