// Decides whether a caller may use a path or a database, as CouchDB 3.5 does (chttpd_auth_request.erl).
import { BadRequest, Forbidden, Unauthorized } from '../http-errors.ts';
import { type Database, type Security, type SecurityList } from './database.ts';
import { type Caller } from './exchange.ts';
import { isObject, type Json } from './json.ts';

const OPEN_SERVER_PATHS = new Set(['_up', '_uuids', '_session']);
/** Sub-paths of a node that the role `_metrics` opens. */
const METRICS_PATHS = new Set(['_stats', '_system', '_prometheus']);
/** Second path segments that require a server admin in every database. */
const SERVER_ADMIN_PATHS = new Set(['_purge', '_sync_shards', '_purged_infos_limit']);
/** Second path segments that require a server admin in `_users` and `_replicator`. */
const SYSTEM_ADMIN_PATHS = new Set(['_all_docs', '_changes']);

/** Whether the caller is a server admin: the owner, or a caller whose token or user document has `_admin`. */
function isServerAdmin(caller: Caller): boolean {
  return caller.roles.includes('_admin');
}

/** Throws CouchDB's 401 if the caller is not a server admin; an authenticated caller gets 401 too. */
export function requireServerAdmin(caller: Caller): void {
  if (!isServerAdmin(caller)) throw new Unauthorized('You are not a server admin.');
}

/**
 * Decides access to paths without a database: a few are public, `_replicate` requires an authenticated
 * caller, and the others require a server admin. Throws 401.
 */
export function authorizeServerPath(caller: Caller, path: readonly string[]): void {
  const [first, second] = path;
  if (
    first === undefined ||
    first === 'favicon.ico' ||
    first === '_utils' ||
    (second === undefined && OPEN_SERVER_PATHS.has(first))
  )
    return;
  if (first === '_replicate' && second === undefined) {
    if (caller.name === null) throw new Unauthorized('You are not an authenticated user');
    return;
  }
  const [, , topic = ''] = path;
  if (first === '_node' && METRICS_PATHS.has(topic) && caller.roles.includes('_metrics')) return;
  requireServerAdmin(caller);
}

/** Throws 401 or 403 if the caller may not use this path. Returns whether it is an admin of the database. */
export function authorizeDatabasePath(
  caller: Caller,
  database: Database,
  method: string,
  path: readonly string[],
): boolean {
  const second = path[1] ?? '';
  const isSystem = database.name.startsWith('_');
  if (SERVER_ADMIN_PATHS.has(second)) requireServerAdmin(caller);
  if (isSystem && (SYSTEM_ADMIN_PATHS.has(second) || (path.length === 1 && isCreateOrDelete(method))))
    requireServerAdmin(caller);
  if (!isSystem && path.length === 1 && isCreateOrDelete(method)) requireServerAdmin(caller);
  const security = database.record.security;
  const isAdmin = isDatabaseAdmin(caller, security);
  if (!isAdmin && (second === '_compact' || (second === '_view_cleanup' && path.length === 2)))
    throw new Unauthorized('You are not a server or db admin.');
  if (!isAdmin) requireMember(caller, security);
  return isAdmin;
}

/** Throws CouchDB's 403 if the caller is not an admin of the database. */
export function requireDatabaseAdmin(isAdmin: boolean): void {
  if (!isAdmin) throw new Forbidden('You are not a db or server admin.');
}

/** Whether the caller is a server admin, or `admins` of the security object lists its name or a role. */
function isDatabaseAdmin(caller: Caller, security: Security): boolean {
  return isServerAdmin(caller) || isListed(caller, security.admins);
}

function isCreateOrDelete(method: string): boolean {
  return method === 'PUT' || method === 'DELETE';
}

/** A database with empty `members` is public. docs.couchdb.org/en/stable/api/database/security.html */
function requireMember(caller: Caller, security: Security): void {
  const members = security.members;
  const isPublic = (members?.names ?? []).length === 0 && (members?.roles ?? []).length === 0;
  if (isPublic || isListed(caller, members)) return;
  if (caller.name === null) throw new Unauthorized('You are not authorized to access this db.');
  throw new Forbidden('You are not allowed to access this db.');
}

function isListed(caller: Caller, list: SecurityList | undefined): boolean {
  if (caller.name !== null && (list?.names ?? []).includes(caller.name)) return true;
  return (list?.roles ?? []).some((role) => caller.roles.includes(role));
}

/**
 * The security object of a PUT. Throws 400 if `admins` or `members` has the wrong type; keeps unknown fields.
 * CouchDB 3.5 answers 500 there.
 */
export function checkedSecurity(body: Json): Security {
  for (const part of ['admins', 'members']) {
    const list = body[part];
    if (list === undefined) continue;
    if (!isObject(list)) throw new BadRequest(`${part} must be a JSON object`);
    for (const kind of ['names', 'roles']) {
      const entries = list[kind];
      if (entries === undefined) continue;
      if (!Array.isArray(entries) || !entries.every((entry) => typeof entry === 'string'))
        throw new BadRequest(`${kind} must be a JSON list of strings`);
    }
  }
  return body;
}
