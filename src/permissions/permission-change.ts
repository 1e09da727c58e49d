// Says who may still make a change of permissions, and for the audit log what it changed.
import { Forbidden } from '../http-errors.ts';
import { type Principal } from '../principal/principal.ts';
import { type DatabasePermissions } from './grants.ts';
import { NO_ROLES, rolesOf, roleSet, type RoleSet } from './role.ts';

export interface PermissionChange {
  readonly database: string;
  readonly before: DatabasePermissions;
  readonly after: DatabasePermissions;
}

const MAY_WRITE = roleSet(['_security']) | roleSet(['_admin']);

/** Whoever was revoked by the change before must not write itself back in: it was permitted on what held before that change. */
export function refuseRevoked(by: Principal, { grants }: DatabasePermissions): void {
  if (by.kind === 'owner' || ((grants.get(by.name) ?? NO_ROLES) & MAY_WRITE) !== 0) return;
  throw new Forbidden('_security access is required for this request');
}

/** Whoever writes a hundred thousand names must not make a line so long that the log cannot take it. */
const MOST_GRANTS = 1000;
const LONGEST_NAME = 256;

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
  const isMighty = ({ before, after }: Changed): boolean => ((before | after) & MAY_WRITE) !== 0;
  return [...changed.filter(isMighty), ...changed.filter((entry) => !isMighty(entry))];
}
