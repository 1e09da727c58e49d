// Defines the permissions of one database, as authorize needs them.
import { isMarker } from '../principal/marker.ts';
import { ownName, type Principal } from '../principal/principal.ts';
import { NO_ROLES, type RoleSet } from './role.ts';

/** In a grant of the owner; longer names are mistakes. */
const MAX_NAME_LENGTH = 256;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/u;

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

/** The roles of one name before and after a change. */
export interface ChangedGrant {
  readonly name: string;
  readonly before: RoleSet;
  readonly after: RoleSet;
}

/** Every name whose roles a change has changed. */
export function changedGrants(
  before: Pick<DatabasePermissions, 'grants'>,
  after: Pick<DatabasePermissions, 'grants'>,
): readonly ChangedGrant[] {
  return [...new Set([...before.grants.keys(), ...after.grants.keys()])]
    .map((name) => ({
      name,
      before: before.grants.get(name) ?? NO_ROLES,
      after: after.grants.get(name) ?? NO_ROLES,
    }))
    .filter((grant) => grant.before !== grant.after);
}

/** False for a name that a grant of the owner cannot be for: no API key and no user has it. */
export function isAccountName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && !CONTROL.test(name) && !isMarker(name);
}
