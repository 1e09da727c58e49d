// Says for the audit log what a change of permissions changed.
import { NO_ROLES, roleSet, rolesOf, type RoleSet } from './role.ts';
import { type PermissionChange } from './security-store.ts';

/** Whoever writes a hundred thousand names must not make a line so long that the log cannot take it. */
const MOST_GRANTS = 1000;
const LONGEST_NAME = 256;
const RULES_OTHERS = roleSet(['_admin']) | roleSet(['_security']);

interface Changed {
  readonly name: string;
  readonly before: RoleSet;
  readonly after: RoleSet;
}

/**
 * Every name whose roles are others than before, with both; and `couchdb_auth_only` where it was switched. Of very many names those that
 * may change permissions come first, and `grantsNotShown` says how many are left out.
 */
export function describeChange({
  database,
  before,
  after,
}: PermissionChange): Readonly<Record<string, unknown>> {
  const changed = [...new Set([...before.grants.keys(), ...after.grants.keys()])]
    .map((name) => ({
      name,
      before: before.grants.get(name) ?? NO_ROLES,
      after: after.grants.get(name) ?? NO_ROLES,
    }))
    .filter((entry) => entry.before !== entry.after);
  const shown = changed.length > MOST_GRANTS ? mightiestFirst(changed).slice(0, MOST_GRANTS) : changed;
  const authOnly = { before: before.couchdbAuthOnly, after: after.couchdbAuthOnly };
  return {
    action: 'permissions',
    database,
    grants: shown.map((entry) => ({
      name: entry.name.slice(0, LONGEST_NAME),
      before: rolesOf(entry.before),
      after: rolesOf(entry.after),
    })),
    ...(shown === changed ? {} : { grantsNotShown: changed.length - shown.length }),
    ...(authOnly.before === authOnly.after ? {} : { couchdb_auth_only: authOnly }),
  };
}

function mightiestFirst(changed: readonly Changed[]): readonly Changed[] {
  const isMighty = ({ before, after }: Changed): boolean => ((before | after) & RULES_OTHERS) !== 0;
  return [...changed.filter(isMighty), ...changed.filter((entry) => !isMighty(entry))];
}
