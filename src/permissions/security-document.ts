// Converts security objects: from a client's request to what CouchDB stores, and from there to grants and
// answers.
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { type DatabasePermissions } from './grants.ts';
import { isMarker, markersOf } from '../principal/marker.ts';
import { isRole, NO_ROLES, roleSetIn, type Role, type RoleSet } from './role.ts';
import { isTexts, type SecurityRequest } from './security-request.ts';

/** The security object as CouchDB stores it. Its field `couchgate` belongs to Couchgate. */
export type StoredSecurity = JsonObject;

/** Names the state that a security object mirrors; stored as its field `couchgate`. */
export interface MirrorName {
  /**
   * Grows with every object that is written, so that a reader can tell an older shard copy. At least the time
   * of the write, in milliseconds since 1970.
   */
  readonly stamp: number;
  /** Absent in objects that a version of Couchgate without records wrote. */
  readonly revision?: number;
  readonly generation?: string;
}

/**
 * CouchDB's own default: server admins only. CouchDB treats a list without names and roles as public (H4).
 */
const CLOSED: JsonObject = Object.freeze({ roles: ['_admin'] });

/**
 * Returns the object that CouchDB stores. Its `members` and `admins` are the markers of the database, and the
 * client's own lists are stored under `couchgate`. With `couchdb_auth_only`, CouchDB decides: the client's
 * lists are stored as they are, and a missing list becomes closed instead of public (H4).
 *
 * @param name Its stamp must be greater than that of the replaced object.
 */
export function storedForm(request: SecurityRequest, database: string, name: MirrorName): StoredSecurity {
  const { cloudant, couchdbAuthOnly, members, admins, rest } = request;
  const common = {
    ...rest,
    ...(cloudant === undefined ? {} : { cloudant: Object.fromEntries(cloudant) }),
    ...(couchdbAuthOnly === undefined ? {} : { couchdb_auth_only: couchdbAuthOnly }),
  };
  const couchgate = { ...name };
  if (couchdbAuthOnly === true) {
    return { ...common, members: closedIfEmpty(members), admins: admins ?? CLOSED, couchgate };
  }
  const markers = markersOf(database);
  return {
    ...common,
    members: { names: [], roles: [markers.member] },
    admins: { names: [], roles: [markers.dbadmin] },
    couchgate: {
      ...couchgate,
      ...(members === undefined ? {} : { members }),
      ...(admins === undefined ? {} : { admins }),
    },
  };
}

/** CouchDB treats `{}` as public. Only two empty arrays are an explicit request for a public database. */
function closedIfEmpty(members: JsonObject | undefined): JsonObject {
  const isEmpty = members?.['names'] === undefined && members?.['roles'] === undefined;
  return isEmpty ? { ...members, ...CLOSED } : members;
}

/**
 * Returns the permissions in a stored object. A malformed part grants nothing: only the owner gets access.
 */
export function permissionsIn(document: unknown, database: string): DatabasePermissions {
  const stored = isJsonObject(document) ? document : {};
  const markers = markersOf(database);
  const grants = grantsIn(stored['cloudant']);
  return {
    database,
    grants,
    // CouchDB treats a missing or malformed list as public, so it may decide only if both lists are valid.
    couchdbAuthOnly:
      stored['couchdb_auth_only'] === true && isList(stored['members']) && isList(stored['admins']),
    marked:
      rolesIn(stored['members']).includes(markers.member) &&
      rolesIn(stored['admins']).includes(markers.dbadmin),
  };
}

/** The grants of a `cloudant` map; unknown roles are left out. */
export function grantsIn(cloudant: unknown): ReadonlyMap<string, RoleSet> {
  const grants = new Map<string, RoleSet>();
  if (!isJsonObject(cloudant)) return grants;
  for (const name of Object.keys(cloudant)) {
    const roles = cloudant[name];
    const set = Array.isArray(roles) ? roleSetIn(roles) : NO_ROLES;
    if (set !== NO_ROLES && name !== '') grants.set(name, set);
  }
  return grants;
}

/** The names of a `cloudant` map with the roles that a client could put today. */
export function rolesByName(cloudant: unknown): readonly (readonly [string, readonly Role[]])[] {
  if (!isJsonObject(cloudant)) return [];
  return Object.entries(cloudant).map(([name, roles]) => [
    name,
    Array.isArray(roles) ? roles.filter(isRole) : [],
  ]);
}

/** The stamp of a stored object; 0 if Couchgate never wrote it. */
export function versionOf(document: unknown): number {
  return mirrorNameIn(document)?.stamp ?? 0;
}

/** The name of the state that a stored object mirrors; `undefined` if Couchgate never wrote it. */
export function mirrorNameIn(document: unknown): MirrorName | undefined {
  const own = isJsonObject(document) ? document['couchgate'] : undefined;
  if (!isJsonObject(own) || !isCount(own['stamp'])) return undefined;
  const { stamp, revision, generation } = own;
  return isCount(revision) && typeof generation === 'string' ? { stamp, revision, generation } : { stamp };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/**
 * Returns the object for a client: the lists that it put, without markers and without `couchgate`.
 * It has `_id` as on Cloudant, unless it is empty: CouchDB shows `{}`.
 */
export function shownForm(document: unknown): JsonObject {
  const { members, admins, couchgate, ...rest } = isJsonObject(document) ? document : {};
  const own = isJsonObject(couchgate) ? couchgate : {};
  const shownMembers = own['members'] ?? withoutMarkers(members);
  const shownAdmins = own['admins'] ?? withoutMarkers(admins);
  const shown = {
    ...rest,
    ...(shownMembers === undefined ? {} : { members: shownMembers }),
    ...(shownAdmins === undefined ? {} : { admins: shownAdmins }),
  };
  return Object.keys(shown).length === 0 ? shown : { ...shown, _id: '_security' };
}

/** A stored list with a marker is not the client's, so it is not shown. */
function withoutMarkers(list: unknown): unknown {
  return rolesIn(list).some(isMarker) ? undefined : list;
}

function rolesIn(list: unknown): readonly string[] {
  const roles = isJsonObject(list) ? list['roles'] : undefined;
  return isTexts(roles) ? roles : [];
}

function isList(value: unknown): boolean {
  if (!isJsonObject(value)) return false;
  return (
    (value['names'] === undefined || isTexts(value['names'])) &&
    (value['roles'] === undefined || isTexts(value['roles']))
  );
}
