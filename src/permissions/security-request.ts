// Checks the security object that a client puts.
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { writeJson } from '../json/exact-numbers.ts';
import { jsonPieces } from '../json/pieces.ts';
import { BadRequest } from '../http-errors.ts';
import { isMarker } from '../principal/marker.ts';
import { isRole, ROLES, type Role } from './role.ts';

/** The client's security object, every field checked. */
export interface SecurityRequest {
  readonly cloudant: ReadonlyMap<string, readonly Role[]> | undefined;
  readonly couchdbAuthOnly: boolean | undefined;
  readonly members: JsonObject | undefined;
  readonly admins: JsonObject | undefined;
  /** Fields without a meaning here; they are stored as they are. */
  readonly rest: JsonObject;
}

/**
 * Names and roles in all fields of an object together. Each change and each read works through all of them,
 * and must not block other requests (H15).
 */
export const MAX_NAMES = 10_000;

/** Throws 400 if a change adds names beyond MAX_NAMES. An object that had more may be changed. */
export function refuseManyNames(before: Readonly<Record<string, unknown>>, after: SecurityRequest): void {
  const { cloudant, members, admins } = after;
  const sizes = [cloudant?.size ?? 0, namesIn(members).length, namesIn(admins).length];
  if (sizes.reduce((sum, size) => sum + size, 0) <= MAX_NAMES) return;
  // Field by field: the lists of a stored object also hold what Couchgate itself puts there.
  const former = [
    isJsonObject(before['cloudant']) ? Object.keys(before['cloudant']).length : 0,
    ...[before['members'], before['admins']].map((list) => (isJsonObject(list) ? namesIn(list).length : 0)),
  ];
  if (sizes.some((size, at) => size > (former[at] ?? 0)))
    throw new BadRequest(`A security object may have at most ${MAX_NAMES} names`);
}

/**
 * Bytes of JSON beside names and roles: fields without a meaning here, and such members of `members` and
 * `admins`. They are written and compared with each change, too.
 */
export const MAX_OTHER_BYTES = 65_536;

/**
 * Throws 400 if an object has more than MAX_OTHER_BYTES beside names and roles; also if CouchDB has it
 * already, since each change would block other requests (H15). Such an object can be read, and is in force.
 */
export function refuseManyOthers(object: JsonObject): void {
  if (hasManyOthers(object))
    throw new BadRequest(
      `A security object may have at most ${MAX_OTHER_BYTES} bytes beside names and roles`,
    );
}

/** True if an object has more than MAX_OTHER_BYTES beside names and roles, or more than another limit. */
export function hasManyOthers(object: JsonObject, limit = MAX_OTHER_BYTES): boolean {
  const { members, admins } = object;
  return hasMoreBytes([withoutGrants(object), withoutNames(members), withoutNames(admins)], limit);
}

/** True if the JSON of the parts has more bytes together. Stops at the limit. */
export function hasMoreBytes(parts: readonly JsonObject[], limit: number): boolean {
  let bytes = 0;
  for (const part of parts)
    for (const piece of jsonPieces(part, MAX_OTHER_BYTES)) {
      bytes += Buffer.byteLength(piece);
      if (bytes > limit) return true;
    }
  return false;
}

function withoutGrants({ cloudant: _, members: __, admins: ___, ...rest }: JsonObject): JsonObject {
  return rest;
}

function withoutNames(list: unknown): JsonObject {
  return isJsonObject(list) ? othersOf(list) : {};
}

function othersOf({ names: _, roles: __, ...others }: JsonObject): JsonObject {
  return others;
}

/** Largest security object that a client may put: enough for MAX_NAMES names. */
export const SECURITY_LIMIT_BYTES = 2_097_152;

/** The permissions of a new database: only the owner has access. */
export const EMPTY_REQUEST: SecurityRequest = Object.freeze({
  cloudant: undefined,
  couchdbAuthOnly: undefined,
  members: undefined,
  admins: undefined,
  rest: Object.freeze({}),
});

/**
 * Sentences on parts of the object that have no effect. Without `couchdb_auth_only`, the roles in `cloudant`
 * decide, and CouchDB's lists do not.
 */
export function warningsOn(request: SecurityRequest): readonly string[] {
  if (request.couchdbAuthOnly === true) return [];
  const warnings = (['members', 'admins'] as const).flatMap((field) =>
    namesIn(request[field]).some((name) => name !== '_admin')
      ? [`\`${field}\` has no effect: roles in \`cloudant\` decide, unless \`couchdb_auth_only\` is true.`]
      : [],
  );
  // In CouchDB, `members` without a name makes a database public, and `_admin` alone closes it.
  const isMeantPublic = request.members !== undefined && namesIn(request.members).length === 0;
  if (grantsRoles(request) || (warnings.length === 0 && !isMeantPublic)) return warnings;
  return [...warnings, 'Only the owner has access to this database: `cloudant` grants no roles.'];
}

function namesIn(list: JsonObject | undefined): readonly string[] {
  return [list?.['names'], list?.['roles']].flatMap((entries) => (isTexts(entries) ? entries : []));
}

function grantsRoles({ cloudant }: SecurityRequest): boolean {
  return cloudant !== undefined && [...cloudant.values()].some((roles) => roles.length > 0);
}

// CouchDB accepts any text as a name. Control characters are refused because they are a mistake.
// eslint-disable-next-line no-control-regex
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/;

/**
 * Checks the body of `PUT /{db}/_security`. Throws a 400 that names the wrong value. Drops the client's `_id`
 * and keeps unknown fields. Source: IBM Cloudant, "Authorization", and
 * docs.couchdb.org/en/stable/api/database/security.html
 */
export function parseSecurityPut(body: JsonObject): SecurityRequest {
  refuseManyOthers(body);
  return parseSecurity(body);
}

/** As `parseSecurityPut`, of any size. */
export function parseSecurity(body: JsonObject): SecurityRequest {
  const { cloudant, couchdb_auth_only: authOnly, members, admins, couchgate, ...rest } = body;
  if (couchgate !== undefined) throw new BadRequest('`couchgate` is reserved in a security object');
  if (authOnly !== undefined && typeof authOnly !== 'boolean') {
    throw new BadRequest('`couchdb_auth_only` must be true or false');
  }
  return {
    cloudant: cloudant === undefined ? undefined : parseCloudant(cloudant),
    couchdbAuthOnly: authOnly,
    members: members === undefined ? undefined : parseList('members', members),
    admins: admins === undefined ? undefined : parseList('admins', admins),
    rest: Object.fromEntries(Object.entries(rest).filter(([field]) => field !== '_id')),
  };
}

function parseCloudant(value: unknown): ReadonlyMap<string, readonly Role[]> {
  if (!isJsonObject(value)) throw new BadRequest('`cloudant` must be an object of names and their roles');
  const grants = new Map<string, readonly Role[]>();
  for (const [name, roles] of Object.entries(value)) {
    if (name === '' || name.startsWith('_') || isMarker(name) || CONTROL_CHARACTER.test(name)) {
      throw new BadRequest(`${JSON.stringify(name)} in \`cloudant\` cannot be a name`);
    }
    if (!Array.isArray(roles)) throw new BadRequest(`The roles of ${JSON.stringify(name)} must be an array`);
    const unknown: unknown = roles.find((role) => !isRole(role));
    if (unknown !== undefined) {
      throw new BadRequest(
        `${writeJson(unknown)}, a role of ${JSON.stringify(name)}, is not one of ${ROLES.join(', ')}`,
      );
    }
    grants.set(name, [...new Set(roles as Role[])]);
  }
  return grants;
}

/**
 * Checks CouchDB's `members` or `admins`. Roles with a leading underscore are Cloudant's or reserved, except
 * `_admin`, which is CouchDB's own default.
 */
function parseList(field: string, value: unknown): JsonObject {
  if (!isJsonObject(value)) throw new BadRequest(`\`${field}\` must be an object`);
  for (const list of ['names', 'roles'] as const) {
    const entries = value[list];
    if (entries === undefined) continue;
    if (!isTexts(entries)) throw new BadRequest(`\`${field}.${list}\` must be an array of strings`);
    const bad = entries.find(
      (entry) => isMarker(entry) || (list === 'roles' && entry.startsWith('_') && entry !== '_admin'),
    );
    if (bad !== undefined) {
      throw new BadRequest(`${JSON.stringify(bad)} is reserved and cannot be in \`${field}.${list}\``);
    }
  }
  return value;
}

/** True for an array of strings. */
export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}
