// Tells from where the roles of a principal come: the security object, or a prefix grant.
import { ownName, type Principal } from '../principal/principal.ts';
import { type DatabasePermissions, rolesOn } from './grants.ts';
import { type PrefixGrant } from './prefix-grant.ts';
import { type PrefixGrants } from './prefix-grants.ts';
import { NO_ROLES, type RoleSet } from './role.ts';

/** One reason why a principal has access to a database. */
export type RoleSource =
  | { readonly from: '_security'; readonly roles: RoleSet }
  /** `roles` may be empty: the grant then lets the principal only create or delete. */
  | { readonly from: 'prefix grant'; readonly roles: RoleSet; readonly grant: PrefixGrant };

/**
 * The sources of what a principal holds on a database. `permissions` are those of the database; undefined =
 * it does not exist. The union of the roles is what `decide` uses. The owner needs no source.
 */
export function roleSources(
  principal: Principal,
  database: string,
  permissions: DatabasePermissions | undefined,
  prefixGrants: Pick<PrefixGrants, 'grantsOf'>,
): readonly RoleSource[] {
  const { kind } = principal;
  const name = ownName(principal);
  if (kind === 'owner' || name === undefined) return [];
  const own = permissions === undefined ? NO_ROLES : rolesOn(principal, permissions);
  const sources: RoleSource[] = own === NO_ROLES ? [] : [{ from: '_security', roles: own }];
  if (kind === 'nobody' || permissions?.couchdbAuthOnly === true) return sources;
  const grants = prefixGrants.grantsOf(name).filter(({ prefix }) => database.startsWith(prefix));
  return [
    ...sources,
    ...grants.map((grant) => ({ from: 'prefix grant' as const, roles: grant.roles, grant })),
  ];
}

/** As `roleSources`, for every name that has a source on the database: an answer to "who can?". */
export function roleSourcesByName(
  database: string,
  permissions: DatabasePermissions | undefined,
  prefixGrants: Pick<PrefixGrants, 'grantsOn'>,
): ReadonlyMap<string, readonly RoleSource[]> {
  const byName = new Map<string, RoleSource[]>();
  for (const [name, roles] of permissions?.grants ?? []) byName.set(name, [{ from: '_security', roles }]);
  if (permissions?.couchdbAuthOnly === true) return byName;
  for (const grant of prefixGrants.grantsOn(database)) {
    const source: RoleSource = { from: 'prefix grant', roles: grant.roles, grant };
    byName.set(grant.principal, [...(byName.get(grant.principal) ?? []), source]);
  }
  return byName;
}
