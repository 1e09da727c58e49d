// Defines the permissions of one database, as authorize needs them.
import { ownName, type Principal } from '../principal/principal.ts';
import { NO_ROLES, type RoleSet } from './role.ts';

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

/** The principal's roles in the `cloudant` map, without those of prefix grants. */
export function rolesOn(principal: Principal, { grants }: Pick<DatabasePermissions, 'grants'>): RoleSet {
  const name = ownName(principal);
  return name === undefined ? NO_ROLES : (grants.get(name) ?? NO_ROLES);
}
