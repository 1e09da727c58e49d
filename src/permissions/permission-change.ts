// Says for the audit log what a change of permissions changed.
import { NO_ROLES, rolesOf } from './role.ts';
import { type PermissionChange } from './security-store.ts';

/** Every name whose roles are others than before, with both; and `couchdb_auth_only` where it was switched. */
export function describeChange({
  database,
  before,
  after,
}: PermissionChange): Readonly<Record<string, unknown>> {
  const names = [...new Set([...before.grants.keys(), ...after.grants.keys()])];
  const grants = names
    .map((name) => ({
      name,
      before: rolesOf(before.grants.get(name) ?? NO_ROLES),
      after: rolesOf(after.grants.get(name) ?? NO_ROLES),
    }))
    .filter((entry) => entry.before.join() !== entry.after.join());
  const authOnly = { before: before.couchdbAuthOnly, after: after.couchdbAuthOnly };
  return {
    action: 'permissions',
    database,
    grants,
    ...(authOnly.before === authOnly.after ? {} : { couchdb_auth_only: authOnly }),
  };
}
