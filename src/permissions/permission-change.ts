// Checks that a caller may still change permissions, and describes the change for the audit log.
import { Forbidden } from '../http-errors.ts';
import { type Principal } from '../principal/principal.ts';
import { changedGrants, type ChangedGrant, type DatabasePermissions, rolesOn } from './grants.ts';
import { PERMISSION_WRITERS, rolesOf, type RoleSet } from './role.ts';

/** What the audit event tells of a change. */
export interface DescribedChange {
  readonly database: string;
  readonly before: DatabasePermissions;
  readonly after: DatabasePermissions;
  readonly revision?: number;
}

/**
 * Throws 403 if the right of `by` to write permissions was revoked. Its request was authorized and then
 * waited. A revoked caller must not grant itself new roles. `added` = its roles by prefix grants.
 */
export function refuseRevoked(by: Principal, permissions: DatabasePermissions, added: RoleSet): void {
  const own = rolesOn(by, permissions);
  const held = permissions.couchdbAuthOnly ? own : own | added;
  if (by.kind === 'owner' || (held & PERMISSION_WRITERS) !== 0) return;
  throw new Forbidden('_security access is required for this request');
}

/** Bounds the log line, whatever names a client writes. A thousand grants take at most 700 KB in it. */
const MAX_GRANTS = 1000;
const MAX_NAME_LENGTH = 256;
/** Characters of a name that has others than printable ASCII: the log may need six bytes for each (H35). */
const MAX_ESCAPED_LENGTH = 80;

/**
 * Returns the fields of the audit event: every name whose roles changed, with the roles before and after, and
 * `couchdb_auth_only` if it changed. Past MAX_GRANTS names, those that may change permissions come first and
 * `grantsNotShown` is the number of names left out.
 */
export function describeChange({
  database,
  before,
  after,
  revision,
}: DescribedChange): Readonly<Record<string, unknown>> {
  const changed = changedGrants(before, after);
  const shown = changed.length > MAX_GRANTS ? permissionWritersFirst(changed).slice(0, MAX_GRANTS) : changed;
  const authOnly = { before: before.couchdbAuthOnly, after: after.couchdbAuthOnly };
  return {
    action: 'permissions',
    database,
    ...(revision === undefined ? {} : { revision }),
    grants: shown.map((entry) => ({
      name: shownName(entry.name),
      before: rolesOf(entry.before),
      after: rolesOf(entry.after),
    })),
    ...(shown === changed ? {} : { grantsNotShown: changed.length - shown.length }),
    ...(authOnly.before === authOnly.after ? {} : { couchdb_auth_only: authOnly }),
  };
}

function shownName(name: string): string {
  const start = name.slice(0, MAX_NAME_LENGTH);
  return /^[ -~]*$/.test(start) ? start : start.slice(0, MAX_ESCAPED_LENGTH);
}

function permissionWritersFirst(changed: readonly ChangedGrant[]): readonly ChangedGrant[] {
  const mayWrite = ({ before, after }: ChangedGrant): boolean =>
    ((before | after) & PERMISSION_WRITERS) !== 0;
  return [...changed.filter(mayWrite), ...changed.filter((entry) => !mayWrite(entry))];
}
