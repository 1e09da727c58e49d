// Interface of the permission store: what is in force, how it is changed, and who learns of a change.
import { type CacheStats } from '../invalidation/read-through-cache.ts';
import { type Caller, type Principal } from '../principal/principal.ts';
import {
  type AcknowledgedChange,
  type ChangeListener,
  type ChangeOptions,
  type Edit,
  type PermissionChange,
  type PermissionsInForce,
  type RevisionName,
} from './change.ts';
import { type DatabasePermissions } from './grants.ts';
import { type PermissionRecords } from './permission-records.ts';
import { type RecordIndex } from './record-index.ts';
import { type Finished } from './record-protocol.ts';
import { type Seen } from './seen.ts';

/** Read access, as authorize needs it. */
export interface PermissionReader {
  /**
   * Returns the permissions of a database: from the cache, else as a promise; `undefined` = no such database.
   * The read is charged to the caller's quota, or to none for Couchgate itself. Throws `Unavailable`.
   */
  permissionsOf(
    database: string,
    caller?: Caller,
  ): DatabasePermissions | undefined | Promise<DatabasePermissions | undefined>;
  /**
   * Reads the permissions on which `permissionsOf` would decide now, and writes nothing: no cache, no record,
   * no adoption. `undefined` = no such database. The reads are charged to the caller. Throws `Unavailable`.
   */
  peek(database: string, caller: Caller): Promise<PeekedPermissions | undefined>;
}

/** Permissions that were read for an explanation, and the name of their state. */
export interface PeekedPermissions extends RevisionName {
  readonly permissions: DatabasePermissions;
}

/** Read and write access, for the handlers of `_security`, `PUT /{db}` and `DELETE /{db}`. */
export interface PermissionStore extends PermissionReader {
  /**
   * Reads what is in force from CouchDB; `undefined` = no such database. Waits for a change that is under
   * way. Throws `Unavailable`.
   */
  inForce(database: string, caller?: Caller): Promise<PermissionsInForce | undefined>;
  /**
   * Replaces the permissions by what `edit` returns. Resolves when the change is in force and all caches of
   * this replica have it. Throws
   * - 404 for a missing database,
   * - 403 if `by` has lost the right to write permissions while it waited,
   * - 412 `PreconditionFailed` with the present revision if `ifMatch` names another state; nothing is
   * changed,
   * - 503 `Unavailable` if the queue is full or no majority is up (nothing is changed), or if the outcome is
   *   not known after 15 s: the change may or may not stand,
   * - and what `edit` throws.
   */
  change(database: string, by: Principal, edit: Edit, options: ChangeOptions): Promise<PermissionChange>;
  /** Registers a listener of acknowledged changes of this process. */
  onAcknowledged(listener: ChangeListener): void;
  /**
   * Writes the record of a database that was just created; call it inside `runExclusive`. Writes the object
   * only if CouchDB's default does not close the database. Resolves when all caches of this replica have
   * dropped what they had. Throws `Unavailable`: then only the owner can use the database until permissions
   * are set.
   */
  recordCreation(database: string, by: Principal, requestId: string): Promise<void>;
  /**
   * Runs `remove`, which deletes the database; call it inside `runExclusive`. If it did, all grants of the
   * record are void. Drops all caches in any case. Resolves with the result of `remove`.
   */
  recordDeletion<T>(
    database: string,
    by: Principal,
    requestId: string,
    remove: () => Promise<{ readonly result: T; readonly isDeleted: boolean }>,
  ): Promise<T>;
  /**
   * Writes the markers of a database that has none, and changes no grant. Resolves when CouchDB accepts them.
   * Does nothing for a missing database, and where CouchDB decides. Throws `Unavailable`, and `Forbidden` for
   * an object that is too large to be changed.
   */
  mark(database: string): Promise<void>;
  /**
   * Runs `work` when no other change of this database's permissions runs in this process. Work of the owner
   * and of Couchgate itself (no `by`) goes before that of others, which throws 503 if too many wait.
   */
  runExclusive<T>(database: string, work: () => Promise<T>, by?: Principal): Promise<T>;
  readonly records: PermissionRecords;
  /** Called with what was read for a decision: it may need a repair. */
  onRead(listener: (seen: Seen) => void): void;
  /** True if this process wrote the leaf, so that its row in the feed is no news. */
  isOwn(database: string, rev: string): boolean;
  /** Reports a change that this process finished for another writer. */
  announce(database: string, finished: Finished): Promise<AcknowledgedChange>;
  /** Who holds what, in memory. */
  readonly index: RecordIndex;
  readonly stats: CacheStats;
  close(): void;
}
