// Grants the roles of a new API key on several databases: all of them, or none.
import { type RefuseEnded } from '../identity/api-key.ts';
import { isJsonObject } from '../json/object.ts';
import { BadRequest, HttpError, NotFound, Unavailable } from '../http-errors.ts';
import { mayHaveGrants } from '../catalogue/database-name.ts';
import { isRole, ROLES, type Role } from '../permissions/role.ts';
import { shownForm, type StoredSecurity } from '../permissions/security-document.ts';
import { withRoles } from '../permissions/security-change.ts';
import { type SecurityRequest } from '../permissions/security-request.ts';
import { type PermissionReader, type PermissionStore } from '../permissions/permission-store.ts';
import { type Principal } from '../principal/principal.ts';

/** Database → roles of the new key, none of them empty. */
export type NewGrants = ReadonlyMap<string, readonly Role[]>;

/** Each database costs several requests to CouchDB, one after the other. */
export const MAX_GRANTS_PER_KEY = 50;

/**
 * Parses the field `grants` of a new key. Throws one 400 that names every problem. `reserved` are Couchgate's
 * own databases.
 */
export function parseNewGrants(value: unknown, reserved: readonly string[]): NewGrants {
  if (!isJsonObject(value)) throw new BadRequest('`grants` must be an object of databases and their roles');
  const entries = Object.entries(value);
  if (entries.length > MAX_GRANTS_PER_KEY)
    throw new BadRequest(`\`grants\` can name at most ${MAX_GRANTS_PER_KEY} databases`);
  const grants = new Map<string, readonly Role[]>();
  const problems = entries.flatMap(([database, roles]) => {
    const shown = JSON.stringify(database);
    if (!mayHaveGrants(database, reserved))
      return [`${shown} in \`grants\` is not a database that can have grants`];
    if (!Array.isArray(roles) || roles.length === 0)
      return [`the roles on ${shown} must be an array with at least one role`];
    const unknown = roles.filter((role) => !isRole(role)).map((role) => JSON.stringify(role));
    grants.set(database, [...new Set(roles as Role[])]);
    return unknown.map((role) => `${role}, a role on ${shown}, is not one of ${ROLES.join(', ')}`);
  });
  if (problems.length > 0) throw new BadRequest(problems.join('; '));
  return grants;
}

/**
 * Throws 404 if a database is missing, and 400 if a grant on it has no effect because CouchDB decides. Call
 * it before the key is created: most mistakes then leave no trace.
 */
export async function requireGrantable(
  permissions: Pick<PermissionReader, 'permissionsOf'>,
  grants: NewGrants,
): Promise<void> {
  for (const database of grants.keys()) {
    const found = await permissions.permissionsOf(database);
    if (found === undefined) throw missing(database);
    if (found.couchdbAuthOnly) throw leftToCouchdb(database);
  }
}

/**
 * Grants the roles to the key, one database after the other. If one fails, or `refuseEnded` throws, the
 * grants before it are taken back as far as possible and the error of the first failure is thrown. The caller
 * then revokes the key, so that a grant that is left has no holder.
 */
export async function grantAll(
  permissions: Pick<PermissionStore, 'change'>,
  name: string,
  grants: NewGrants,
  {
    refuseEnded,
    ...origin
  }: { readonly by: Principal; readonly requestId: string; readonly refuseEnded: RefuseEnded },
): Promise<void> {
  const granted: string[] = [];
  try {
    for (const [database, roles] of grants) {
      refuseEnded();
      granted.push(database);
      await setRoles(permissions, { database, name, roles, ...origin });
    }
    refuseEnded();
  } catch (error) {
    const left: string[] = [];
    for (const database of granted)
      await setRoles(permissions, { database, name, roles: undefined, ...origin }).catch(() =>
        left.push(database),
      );
    const failed = granted.at(-1) ?? '';
    if (!(error instanceof HttpError)) throw error;
    if (error instanceof NotFound) throw missing(failed);
    if (error instanceof Unavailable) {
      const detail = `grant on ${failed} failed; not taken back: ${left.join(', ') || 'none'}`;
      throw new Unavailable('The grants could not be stored; the key was not created.', { detail });
    }
    throw error;
  }
}

/** The new roles of one name on one database; `undefined` removes the name. */
interface RolesChange {
  readonly database: string;
  readonly name: string;
  readonly roles: readonly Role[] | undefined;
  readonly by: Principal;
  readonly requestId: string;
  readonly reason?: string;
}

/** Sets the roles of one name, and keeps those of the others. Throws as `change` does. */
export async function setRoles(
  permissions: Pick<PermissionStore, 'change'>,
  { database, name, roles, by, requestId, reason }: RolesChange,
): Promise<void> {
  const edit = (stored: StoredSecurity): SecurityRequest => {
    const shown = shownForm(stored);
    if (roles !== undefined && shown['couchdb_auth_only'] === true) throw leftToCouchdb(database);
    return withRoles(shown, name, roles);
  };
  // What is begun for the owner is finished or taken back.
  await permissions.change(database, by, edit, { via: 'api', requestId, reason, standing: undefined });
}

function missing(database: string): NotFound {
  return new NotFound(`The database ${JSON.stringify(database)} in \`grants\` does not exist.`);
}

function leftToCouchdb(database: string): BadRequest {
  return new BadRequest(
    `A grant on ${JSON.stringify(database)} has no effect: \`couchdb_auth_only\` is set there`,
  );
}
