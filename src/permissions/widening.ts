// Finds out whether a change of permissions opens a database to the public, or gives somebody the right to
// change permissions.
import { type JsonObject } from '../json/object.ts';
import { type DatabasePermissions } from './grants.ts';
import { NO_ROLES, PERMISSION_WRITERS, roleSet } from './role.ts';
import { isTexts, type SecurityRequest } from './security-request.ts';

/** `public` = callers without credentials gain a role. `admin` = somebody gains `_admin` or `_security`. */
export type Widening = 'public' | 'admin';

const NO_GRANTS: DatabasePermissions['grants'] = new Map();

/**
 * Compares the permissions in force with those that `request` would make. With `couchdb_auth_only`, CouchDB's
 * own lists count: empty members are public, and a new admin is one.
 */
export function wideningOf(
  inForce: DatabasePermissions,
  shown: JsonObject,
  request: SecurityRequest,
): ReadonlySet<Widening> {
  const next = {
    grants: new Map([...(request.cloudant ?? [])].map(([name, roles]) => [name, roleSet(roles)])),
    couchdbAuthOnly: request.couchdbAuthOnly === true,
  };
  // Roles had no effect while CouchDB decided.
  const held = inForce.couchdbAuthOnly && !next.couchdbAuthOnly ? { ...inForce, grants: NO_GRANTS } : inForce;
  const found = new Set<Widening>();
  if (gains(held, next, 'nobody') !== NO_ROLES) found.add('public');
  for (const name of next.grants.keys())
    if ((gains(held, next, name) & PERMISSION_WRITERS) !== 0) found.add('admin');
  if (!next.couchdbAuthOnly) return found;
  const before = inForce.couchdbAuthOnly ? shown : {};
  if (isEmpty(request.members) && !(inForce.couchdbAuthOnly && isEmpty(before['members'] as JsonObject)))
    found.add('public');
  const admins = new Set(entriesIn(before['admins'] as JsonObject | undefined));
  if (entriesIn(request.admins).some((entry) => entry !== 'roles _admin' && !admins.has(entry)))
    found.add('admin');
  return found;
}

type Grants = Pick<DatabasePermissions, 'grants'>;

function gains(inForce: Grants, next: Grants, name: string): number {
  return (next.grants.get(name) ?? NO_ROLES) & ~(inForce.grants.get(name) ?? NO_ROLES);
}

/** Two empty lists are public in CouchDB; storedForm closes lists that are missing. */
function isEmpty(list: JsonObject | undefined): boolean {
  const isGiven = list?.['names'] !== undefined || list?.['roles'] !== undefined;
  return isGiven && entriesIn(list).length === 0;
}

function entriesIn(list: JsonObject | undefined): readonly string[] {
  return (['names', 'roles'] as const).flatMap((kind) => {
    const entries = list?.[kind];
    return isTexts(entries) ? entries.map((entry) => `${kind} ${entry}`) : [];
  });
}
