// Says for the audit log what a change of permissions changed.
import { type DatabasePermissions } from './grants.ts';
import { NO_ROLES, rolesOf } from './role.ts';

export type PermissionChange = Readonly<Record<string, unknown>> & { readonly database: string };

/** Every name whose roles are others than before, with both; and `couchdb_auth_only` where it was switched. */
export function changeOf(before: DatabasePermissions, after: DatabasePermissions): PermissionChange {
  const names = [...new Set([...before.grants.keys(), ...after.grants.keys()])];
  const changed = names
    .map((name) => ({
      name,
      before: rolesOf(before.grants.get(name) ?? NO_ROLES),
      after: rolesOf(after.grants.get(name) ?? NO_ROLES),
    }))
    .filter((entry) => entry.before.join() !== entry.after.join());
  return {
    event: 'permissions',
    database: after.database,
    grants: changed,
    ...(before.couchdbAuthOnly === after.couchdbAuthOnly
      ? {}
      : { couchdb_auth_only: { before: before.couchdbAuthOnly, after: after.couchdbAuthOnly } }),
  };
}
