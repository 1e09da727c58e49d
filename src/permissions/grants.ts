// Defines the permissions of one database, as authorize needs them.
import { type RoleSet } from './role.ts';

/** Read from the security object of the database. */
export interface DatabasePermissions {
  readonly database: string;
  /** The `cloudant` map: name → roles. A name that is not in it has no role. */
  readonly grants: ReadonlyMap<string, RoleSet>;
  /** `couchdb_auth_only: true`: CouchDB decides, by the caller's own name and roles. */
  readonly couchdbAuthOnly: boolean;
  /** True if members and admins contain the markers; a database older than Couchgate has none. */
  readonly marked: boolean;
}
