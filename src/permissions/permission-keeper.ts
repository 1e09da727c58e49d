// Interface of the permission record: what is in force, how it is changed, and who learns of a change.
import { type CacheStats } from '../invalidation/read-through-cache.ts';
import { type Caller, type Principal } from '../principal/principal.ts';
import { type DatabasePermissions } from './grants.ts';
import { type Role, type RoleSet } from './role.ts';
import { type StoredSecurity } from './security-document.ts';
import { type SecurityRequest } from './security-request.ts';

/**
 * Names one state of the permissions of one database. Two states never have the same name: the revision grows
 * with every change, and the generation is another one after the database was deleted and made again.
 */
export interface RevisionName {
  /**
   * Random id of this life of the database. `0` = there is no record yet: the database is older than records,
   * or was made past Couchgate. The revision then is the number that its security object carries, or 0.
   */
  readonly generation: string;
  readonly revision: number;
}

/** The permissions of one database that are in force, and the name of that state. */
export interface PermissionsInForce extends RevisionName {
  /** The security object as CouchDB stores it or will store it; `shownForm` makes the client's form of it. */
  readonly document: StoredSecurity;
  readonly permissions: DatabasePermissions;
}

/**
 * How a change came in. It is stored, so a word must keep its meaning. `markers` = no grant changed: the
 * markers were written for the first request by a prefix grant.
 */
export type ChangeVia =
  | 'api'
  | 'set_permissions'
  | 'rollback'
  | 'create'
  | 'delete'
  | 'adopt'
  | 'migrate'
  | 'repair'
  | 'merge'
  | 'markers';

/** What the record keeps about the origin of a change. */
export interface ChangeOrigin {
  readonly via: ChangeVia;
  /** The words of the caller (`X-Couchgate-Reason`), at most MAX_REASON_LENGTH characters. */
  readonly reason?: string | undefined;
  readonly requestId?: string | undefined;
}

export const MAX_REASON_LENGTH = 512;

/**
 * Condition of a change, from If-Match or `?rev=`. `any` = the database must exist. Otherwise one of the
 * names must be that of the state in force: `<generation>.<revision>`, without quotes.
 */
export type Precondition = 'any' | readonly string[];

/** The right of a request that waits for its turn. Both throw 403, or 401 without credentials. */
export interface Standing {
  /** Decides again whether the credential is valid. Call it after a wait. */
  requireStillAuthenticated(): Promise<void>;
  /** Refuses a request that has ended as far as this process knows. Call it immediately before acting. */
  refuseEnded(): void;
}

export interface ChangeOptions extends ChangeOrigin {
  /** Without one, the change applies to whatever is in force. */
  readonly ifMatch?: Precondition | undefined;
  /** Of the request that changes; undefined if the change must not stop half-way when the request ends. */
  readonly standing: Standing | undefined;
}

/**
 * Returns the new object for the one in force. It may be called more than once, after a wait, so it decides
 * by its parameter alone. An error that it throws refuses the change; nothing is changed then.
 */
export type Edit = (inForce: StoredSecurity) => SecurityRequest;

/** An acknowledged change: a majority of the copies of the store has it, and it is in force. */
export interface PermissionChange extends RevisionName {
  readonly database: string;
  readonly before: DatabasePermissions;
  readonly after: DatabasePermissions;
}

/** What a writer of the history gets. */
export interface AcknowledgedChange extends PermissionChange {
  /** Random id of the change: the same if the change is reported more than once. */
  readonly id: string;
  /** The security object after the change. */
  readonly document: StoredSecurity;
  /** Name of the principal; '' = Couchgate itself (migration, repair, merge). */
  readonly by: string;
  readonly via: ChangeVia;
  /** ISO 8601. */
  readonly at: string;
  readonly reason: string | undefined;
  readonly requestId: string | undefined;
}

/**
 * Called once a change is acknowledged, before the client gets its answer; the answer waits for the promise.
 * A failure is logged and changes nothing. Called again with the same `id` if a writer died and a follower
 * finished its change: use `generation` and `revision` as the id of what is written.
 */
export type ChangeListener = (change: AcknowledgedChange) => void | Promise<void>;

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
export interface PermissionKeeper extends PermissionReader {
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
  /** Who holds what, in memory. */
  readonly index: PermissionIndex;
  readonly stats: CacheStats;
  close(): void;
}

/** Whom CouchDB admits to a database with `couchdb_auth_only`: `members` and `admins` together. */
export interface CouchdbMembers {
  readonly names: readonly string[];
  readonly roles: readonly string[];
  /** True if `members` has neither names nor roles: CouchDB then admits everybody. */
  readonly isPublic: boolean;
}

/** One entry of a list of grants. */
export interface GrantOf {
  readonly name: string;
  readonly roles: readonly Role[];
}

/**
 * The grants of all databases that have a record, in memory, kept current by the feed of the store. It serves
 * lists; a decision about a request reads the record.
 */
export interface PermissionIndex {
  /** False until the records were read once, and while the feed of the store is down. */
  readonly isLoaded: boolean;
  /**
   * The databases on which the name holds a role, with the roles, in no order. It includes databases that
   * were deleted past Couchgate. `nobody` is the entry for requests without credentials.
   */
  databasesOf(name: string): ReadonlyMap<string, RoleSet>;
  /**
   * The roles of the name on the database. If it holds none, the answer takes the same time for every
   * database, whether it exists or not.
   */
  rolesOn(database: string, name: string): RoleSet;
  /** The names with a role on the database; `undefined` = no record. */
  grantsOf(database: string): readonly GrantOf[] | undefined;
  /** True if the database was deleted through Couchgate and not made again since. */
  isDeleted(database: string): boolean;
  /** The databases whose access CouchDB decides (`couchdb_auth_only`), in no order. */
  couchdbAuthOnly(): ReadonlySet<string>;
  /** CouchDB's own members and admins of such a database; `undefined` = roles decide, or no record. */
  couchdbMembersOf(database: string): CouchdbMembers | undefined;
  /** Number of databases with a record. */
  readonly size: number;
}
