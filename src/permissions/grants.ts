// What a principal holds on one database, as authorize needs it. Finding it is the security store's business.
import { type RoleSet } from './role.ts';

/** One database's permissions as read from its security object. */
export interface DatabasePermissions {
  readonly database: string;
  /** The `cloudant` map: name → roles. A name that is not in it holds nothing. */
  readonly grants: ReadonlyMap<string, RoleSet>;
  /** `couchdb_auth_only: true`: CouchDB decides with the caller's own name and roles. */
  readonly couchdbAuthOnly: boolean;
  /** True when members/admins hold this database's markers; a database that existed before Couchgate has none. */
  readonly marked: boolean;
}
