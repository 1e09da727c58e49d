// Interface of the index of grants: who holds what on which databases, in memory.
import { type Role, type RoleSet } from './role.ts';

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
