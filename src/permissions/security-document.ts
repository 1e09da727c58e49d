// Writes and reads the security object that CouchDB stores: what stands for a client's wish, what of it decides, and what a client is
// shown. Checking a client's wish is security-request.ts's business, talking to CouchDB security-store.ts's.
import { type DatabasePermissions } from './grants.ts';
import { isMarker, markersOf } from '../principal/marker.ts';
import { isRole, NO_ROLES, roleSet, type RoleSet } from './role.ts';
import { isObject, isTexts, type JsonObject, type SecurityRequest } from './security-request.ts';

/** The security object as CouchDB holds it; `couchgate` is ours. */
export type StoredSecurity = JsonObject;

/** CouchDB's own default: server admins only. A list without names and roles would be public (H4). */
const CLOSED: JsonObject = Object.freeze({ roles: ['_admin'] });

/**
 * What CouchDB is given to store. The live `members` and `admins` are the database's markers, and what the client put there is kept
 * aside, unless `couchdb_auth_only` hands the decision to CouchDB; a list that is missing then is closed, not public (H4).
 * `stamp` must be greater than that of the object it replaces: an older copy on another shard is known by it.
 */
export function storedForm(request: SecurityRequest, database: string, stamp: number): StoredSecurity {
  const { cloudant, couchdbAuthOnly, members, admins, rest } = request;
  const common = {
    ...rest,
    ...(cloudant === undefined ? {} : { cloudant: Object.fromEntries(cloudant) }),
    ...(couchdbAuthOnly === undefined ? {} : { couchdb_auth_only: couchdbAuthOnly }),
  };
  if (couchdbAuthOnly === true) {
    return { ...common, members: closedIfSilent(members), admins: admins ?? CLOSED, couchgate: { stamp } };
  }
  const markers = markersOf(database);
  return {
    ...common,
    members: { names: [], roles: [markers.member] },
    admins: { names: [], roles: [markers.dbadmin] },
    couchgate: {
      stamp,
      ...(members === undefined ? {} : { members }),
      ...(admins === undefined ? {} : { admins }),
    },
  };
}

/** `{}` says nothing about who is a member, and CouchDB would take that for everybody; two empty arrays do say everybody. */
function closedIfSilent(members: JsonObject | undefined): JsonObject {
  const silent = members?.['names'] === undefined && members?.['roles'] === undefined;
  return silent ? { ...members, ...CLOSED } : members;
}

/** What of a stored object decides. What is malformed grants nothing: the owner alone gets in. */
export function permissionsIn(document: unknown, database: string): DatabasePermissions {
  const stored = isObject(document) ? document : {};
  const markers = markersOf(database);
  const grants = new Map<string, RoleSet>();
  if (isObject(stored['cloudant'])) {
    for (const [name, roles] of Object.entries(stored['cloudant'])) {
      const set = Array.isArray(roles) ? roleSet(roles.filter(isRole)) : NO_ROLES;
      if (set !== NO_ROLES && name !== '') grants.set(name, set);
    }
  }
  return {
    database,
    grants,
    // CouchDB can be trusted with the decision only on lists that it can read: it takes a missing or a broken one for no restriction.
    couchdbAuthOnly:
      stored['couchdb_auth_only'] === true && isList(stored['members']) && isList(stored['admins']),
    marked:
      rolesIn(stored['members']).includes(markers.member) &&
      rolesIn(stored['admins']).includes(markers.dbadmin),
  };
}

/** The stamp of a stored object; 0 where Couchgate never wrote it. */
export function versionOf(document: unknown): number {
  const ours = isObject(document) ? document['couchgate'] : undefined;
  const stamp = isObject(ours) ? ours['stamp'] : undefined;
  return typeof stamp === 'number' && Number.isSafeInteger(stamp) ? stamp : 0;
}

/** What a client is shown: what it put, with `_id`, without markers and without what is ours. */
export function shownForm(document: unknown): JsonObject {
  const { members, admins, couchgate, ...rest } = isObject(document) ? document : {};
  const aside = isObject(couchgate) ? couchgate : {};
  const shownMembers = aside['members'] ?? withoutMarkers(members);
  const shownAdmins = aside['admins'] ?? withoutMarkers(admins);
  return {
    ...rest,
    ...(shownMembers === undefined ? {} : { members: shownMembers }),
    ...(shownAdmins === undefined ? {} : { admins: shownAdmins }),
    _id: '_security',
  };
}

/** A live list that holds a marker is not the client's and is not shown. */
function withoutMarkers(list: unknown): unknown {
  return rolesIn(list).some(isMarker) ? undefined : list;
}

function rolesIn(list: unknown): readonly string[] {
  const roles = isObject(list) ? list['roles'] : undefined;
  return isTexts(roles) ? roles : [];
}

function isList(value: unknown): boolean {
  if (!isObject(value)) return false;
  return (
    (value['names'] === undefined || isTexts(value['names'])) &&
    (value['roles'] === undefined || isTexts(value['roles']))
  );
}
