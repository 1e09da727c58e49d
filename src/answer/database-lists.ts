// Answers /_all_dbs and /_dbs_info: the owner gets all databases, other callers those that they may use.
import { type Request, type Response } from 'express';
import { type BodyReader } from '../body/read.ts';
import { endpoint } from '../catalogue/catalogue.ts';
import { kindOfName, mayHaveGrants } from '../catalogue/database-name.ts';
import { isPermitted } from '../catalogue/is-permitted.ts';
import { callerOf, type Context, known } from '../context.ts';
import { type Couch, type CouchRequest } from '../couch/couch.ts';
import { BadRequest, Forbidden, HttpError, Unavailable } from '../http-errors.ts';
import { writeJson } from '../json/exact-numbers.ts';
import { isMember } from '../permissions/couchdb-members.ts';
import { type ExistingDatabases } from '../permissions/existing-databases.ts';
import { type PermissionIndex } from '../permissions/permission-index.ts';
import { type PrefixGrants } from '../permissions/prefix-grants.ts';
import { NO_ROLES, type RoleSet } from '../permissions/role.ts';
import { type ServerReader } from '../permissions/server-grants.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type Caller, ownName } from '../principal/principal.ts';
import { drained, sendJson } from '../respond.ts';
import { requireStillPermitted } from '../revocation/after-wait.ts';
import { type IsStillPermitted } from '../revocation/revocation-watch.ts';
import { type Answers } from './index.ts';
import { type ListRange, parseListRange } from './list-range.ts';

export interface DatabaseListsDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly bodies: BodyReader;
  readonly index: PermissionIndex;
  readonly existing: ExistingDatabases;
  readonly prefixGrants: Pick<PrefixGrants, 'grantsOf' | 'accessOf'>;
  readonly serverGrants: ServerReader;
  /** Databases of Couchgate, which no list contains. */
  readonly reservedDatabases: readonly string[];
  readonly isStillPermitted: IsStillPermitted;
}

/** CouchDB's default limit (`max_db_number_for_dbs_info_req`). */
const MAX_KEYS = 100;
const INFO = endpoint('db-info');
const KEYS_LIMIT_BYTES = 65_536;

/**
 * Creates the handlers. Source: docs.couchdb.org/en/stable/api/server/common.html#all-dbs, and answers of
 * CouchDB 3.5.
 */
export function databaseListHandlers(
  deps: DatabaseListsDeps,
): Pick<Answers, 'all-dbs' | 'dbs-info' | 'dbs-info-keys'> {
  return {
    async 'all-dbs'(_req, res, context) {
      sendJson(res, 200, await listed(deps, context, () => true));
    },
    async 'dbs-info'(_req, res, context) {
      await sendInfo(deps, res, context, await listed(deps, context, mayReadInfo));
    },
    'dbs-info-keys': (req, res, context) => answerKeys(deps, req, res, context),
  };
}

type Fits = (roles: RoleSet) => boolean;

/** `GET /{db}` shows the same facts, so the same roles permit it. */
const mayReadInfo: Fits = (roles) => isPermitted(INFO, roles);

/** The names of the list that the query selects. */
async function listed(deps: DatabaseListsDeps, context: Context, fits: Fits): Promise<readonly string[]> {
  const range = parseListRange(known(context.target, 'target').query);
  if (isOwner(context)) return ownersList(deps, range);
  const names = await deps.existing.filter(await held(deps, callerOf(context), fits));
  return range.select(names);
}

/**
 * The databases on which the caller has roles that fit, and those where CouchDB decides and names it. Throws
 * 503 while the permissions are not in memory.
 */
async function held(
  { index, reservedDatabases, existing, prefixGrants, serverGrants }: DatabaseListsDeps,
  { principal }: Caller,
  fits: Fits,
): Promise<string[]> {
  const isMonitor = serverGrants.isMonitor(principal);
  const isKnown =
    index.isLoaded && isMonitor !== undefined && prefixGrants.accessOf(principal, 'any') !== undefined;
  if (!isKnown)
    throw new Unavailable('The permissions are being read; databases cannot be listed yet.', {
      retryAfterSeconds: 1,
    });
  if (ownName(principal) === undefined) return [];
  if (isMonitor) {
    const all = await existing.withPrefix('');
    return all.filter(
      (name) =>
        kindOfName(name) === 'ordinary' && !reservedDatabases.includes(name) && !index.isDeleted(name),
    );
  }
  const prefixes = principal.kind === 'nobody' ? [] : prefixGrants.grantsOf(principal.name);
  const matching = new Set<string>();
  for (const { prefix, roles } of prefixes)
    if (roles !== NO_ROLES) for (const database of await existing.withPrefix(prefix)) matching.add(database);
  // No wait from here on: what was read of the grants is in force.
  const rolesOf = new Map(index.databasesOf(principal.name));
  // A database without a record is not one that was deleted through Couchgate.
  for (const database of matching)
    if (!index.isDeleted(database)) rolesOf.set(database, rolesOf.get(database) ?? NO_ROLES);
  const found: string[] = [];
  const isListed = (database: string): boolean => mayHaveGrants(database, reservedDatabases);
  const caller = {
    name: principal.name,
    isNobody: principal.kind === 'nobody',
    roles: 'roles' in principal ? principal.roles : [],
  };
  // Roles have no effect where CouchDB decides.
  const leftToCouchdb = index.couchdbAuthOnly();
  for (const [database, own] of rolesOf) {
    const roles = own | (prefixGrants.accessOf(principal, database)?.roles ?? NO_ROLES);
    if (roles !== NO_ROLES && fits(roles) && isListed(database) && !leftToCouchdb.has(database))
      found.push(database);
  }
  for (const database of leftToCouchdb)
    if (isListed(database) && isMember(caller, index.couchdbMembersOf(database))) found.push(database);
  return found;
}

/** CouchDB's list without Couchgate's own databases. */
async function ownersList(
  { couch, reservedDatabases }: DatabaseListsDeps,
  range: ListRange,
): Promise<readonly string[]> {
  // Couchgate's databases may be among the names that CouchDB skips or counts.
  const count = range.skip + range.limit + reservedDatabases.length;
  const query = new URLSearchParams(range.parameters);
  if (Number.isSafeInteger(count)) query.set('limit', String(count));
  const body = await askList(couch, { method: 'GET', path: `/_all_dbs?${query.toString()}` });
  return range.select((body as readonly string[]).filter((name) => !reservedDatabases.includes(name)));
}

/**
 * Reads the information about the names in parts of at most MAX_KEYS, so that memory does not grow with the
 * list. Decides again before each part.
 */
async function sendInfo(
  deps: DatabaseListsDeps,
  res: Response,
  context: Context,
  names: readonly string[],
): Promise<void> {
  if (res.req.method === 'HEAD' || names.length <= MAX_KEYS) {
    const rows = res.req.method === 'HEAD' ? [] : await infoOf(deps, context, names);
    sendJson(res, 200, rows.filter(hasInfo));
    return;
  }
  for (let at = 0; at < names.length && !res.destroyed; at += MAX_KEYS) {
    await requireStillPermitted(deps.isStillPermitted, context);
    const rows = (await infoOf(deps, context, names.slice(at, at + MAX_KEYS))).filter(hasInfo);
    if (!res.headersSent)
      res.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'must-revalidate' });
    const text = rows.map((row) => writeJson(row)).join(',\n');
    const isFirst = at === 0;
    if (!res.write(`${isFirst ? '[' : text === '' ? '' : ',\n'}${text}`)) await drained(res);
  }
  res.end(']\n');
}

interface InfoRow {
  readonly key: unknown;
  readonly info?: unknown;
  readonly error?: string;
}

function hasInfo(row: InfoRow): boolean {
  return row.info !== undefined;
}

/**
 * Asks CouchDB about the names that the caller may use at this moment. A row of every other name has the
 * error of a database that does not exist.
 */
async function infoOf(
  deps: DatabaseListsDeps,
  context: Context,
  keys: readonly unknown[],
): Promise<readonly InfoRow[]> {
  const caller = callerOf(context);
  const open = isOwner(context) ? undefined : new Set(await held(deps, caller, mayReadInfo));
  const mayAsk = (key: unknown): key is string =>
    typeof key === 'string' && !deps.reservedDatabases.includes(key) && (open?.has(key) ?? true);
  const names = [...new Set(keys.filter(mayAsk))];
  const quota = isOwner(context) ? {} : { caller: quotaKeyOf(caller) };
  const rows = names.length === 0 ? [] : await askInfo(deps.couch, names, quota);
  const byName = new Map(rows.map((row) => [row.key, row]));
  return keys.map((key) => byName.get(key) ?? { key, error: 'not_found' });
}

async function askInfo(
  couch: Pick<Couch, 'ask'>,
  names: readonly string[],
  quota: { readonly caller?: string },
): Promise<readonly InfoRow[]> {
  try {
    const request = { method: 'POST', path: '/_dbs_info', body: { keys: names }, ...quota } as const;
    return (await askList(couch, { ...request, exact: true, repeatable: true })) as readonly InfoRow[];
  } catch (error) {
    // An operator may have lowered CouchDB's limit.
    const isTooMany = error instanceof HttpError && error.reason === 'too_many_keys';
    if (!isTooMany || names.length === 1) throw error;
    const half = Math.ceil(names.length / 2);
    return [
      ...(await askInfo(couch, names.slice(0, half), quota)),
      ...(await askInfo(couch, names.slice(half), quota)),
    ];
  }
}

async function answerKeys(
  deps: DatabaseListsDeps,
  req: Request,
  res: Response,
  context: Context,
): Promise<void> {
  const { keys } = await deps.bodies.jsonObject(req, res, { limitBytes: KEYS_LIMIT_BYTES, exact: true });
  if (keys === undefined) throw new BadRequest('`keys` member must exist.');
  if (!Array.isArray(keys)) throw new BadRequest('`keys` member must be an array.');
  if (keys.length > MAX_KEYS) throw new BadRequest('too_many_keys');
  // The body may have arrived slowly (H19).
  await requireStillPermitted(deps.isStillPermitted, context);
  sendJson(res, 200, await infoOf(deps, context, keys));
}

/** Sends a request whose answer is an array. Throws CouchDB's 400, or `Unavailable`. */
async function askList(couch: Pick<Couch, 'ask'>, request: CouchRequest): Promise<readonly unknown[]> {
  const { status, body } = await couch.ask(request);
  if (status === 200 && Array.isArray(body)) return body as readonly unknown[];
  const { error, reason } = (body ?? {}) as { readonly error?: unknown; readonly reason?: unknown };
  if (status === 400 && typeof error === 'string' && typeof reason === 'string')
    throw new BadRequest(reason, error);
  throw new Unavailable('The databases cannot be listed at present.', {
    detail: `${request.path.split('?')[0] ?? ''} answered ${status}`,
  });
}

/**
 * True for the owner. With `public_all_dbs` the endpoint is public, and authorize has not checked the address
 * of the owner.
 */
function isOwner(context: Context): boolean {
  if (known(context.identified, 'identified').principal.kind !== 'owner') return false;
  if (known(context.client, 'client').mayAdminister) return true;
  context.outcome.refuse('owner address');
  throw new Forbidden('server_admin access is not permitted from this address');
}
