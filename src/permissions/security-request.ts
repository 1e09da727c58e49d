// Checks what a client puts as a security object. What CouchDB then stores is security-document.ts's business.
import { BadRequest } from '../http-errors.ts';
import { isMarker } from '../principal/marker.ts';
import { isRole, ROLES, type Role } from './role.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** What a client put, every field checked. */
export interface SecurityRequest {
  readonly cloudant: ReadonlyMap<string, readonly Role[]> | undefined;
  readonly couchdbAuthOnly: boolean | undefined;
  readonly members: JsonObject | undefined;
  readonly admins: JsonObject | undefined;
  /** Fields that mean nothing here; they are kept. */
  readonly rest: JsonObject;
}

/** Nothing put at all: what a new database gets. Only the owner gets in. */
export const EMPTY_REQUEST: SecurityRequest = Object.freeze({
  cloudant: undefined,
  couchdbAuthOnly: undefined,
  members: undefined,
  admins: undefined,
  rest: Object.freeze({}),
});

// CouchDB takes any text for a name; what cannot be a name in any store is refused so that a slip is noticed.
// eslint-disable-next-line no-control-regex
const NOT_IN_A_NAME = /[\u0000-\u001f\u007f]/;

/**
 * Checks the body of `PUT /{db}/_security`. Throws a 400 that names what is wrong; the client's `_id` is dropped, unknown fields are kept.
 * Source: IBM Cloudant, "Authorization", and docs.couchdb.org/en/stable/api/database/security.html
 */
export function parseSecurityPut(body: JsonObject): SecurityRequest {
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
  if (!isObject(value)) throw new BadRequest('`cloudant` must be an object of names and their roles');
  const grants = new Map<string, readonly Role[]>();
  for (const [name, roles] of Object.entries(value)) {
    if (name === '' || name.startsWith('_') || isMarker(name) || NOT_IN_A_NAME.test(name)) {
      throw new BadRequest(`${JSON.stringify(name)} in \`cloudant\` cannot be a name`);
    }
    if (!Array.isArray(roles)) throw new BadRequest(`The roles of ${JSON.stringify(name)} must be an array`);
    const unknown: unknown = roles.find((role) => !isRole(role));
    if (unknown !== undefined) {
      throw new BadRequest(
        `${JSON.stringify(unknown)}, a role of ${JSON.stringify(name)}, is not one of ${ROLES.join(', ')}`,
      );
    }
    grants.set(name, [...new Set(roles as Role[])]);
  }
  return grants;
}

/** A list of names and roles in CouchDB's sense. Roles with a leading underscore are Cloudant's or reserved; `_admin` alone is CouchDB's own default. */
function parseList(field: string, value: unknown): JsonObject {
  if (!isObject(value)) throw new BadRequest(`\`${field}\` must be an object`);
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

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}
