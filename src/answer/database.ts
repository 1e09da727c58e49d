// Creates and deletes databases, and writes that into their permission records before the response is sent.
import { type Response } from 'express';
import { type OperationalLog } from '../config/operational-log.ts';
import { type Allowed, type Context, databaseOf, known } from '../context.ts';
import { type Couch, type CouchAnswer } from '../couch/couch.ts';
import { Forbidden, HttpError, NotFound, Unavailable } from '../http-errors.ts';
import { type CreationLimit } from '../permissions/creation-limit.ts';
import { type PrefixGrants } from '../permissions/prefix-grants.ts';
import { type Principal } from '../principal/principal.ts';
import { type PermissionStore } from '../permissions/permission-store.ts';
import { sendJson } from '../respond.ts';
import { type IsStillAuthenticated, requireStillPermitted } from '../revocation/after-wait.ts';
import { type IsStillPermitted } from '../revocation/revocation-watch.ts';
import { credentialOf } from '../revocation/watched-exchange.ts';
import { type Answers } from './index.ts';

export interface DatabaseDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly permissions: Pick<
    PermissionStore,
    'permissionsOf' | 'runExclusive' | 'recordCreation' | 'recordDeletion'
  >;
  /** Token for the request to CouchDB, so that its log names the caller. */
  readonly tokenFor: (
    principal: Principal,
    scope: Allowed,
    database: string | undefined,
  ) => string | undefined;
  /** Origin for the Location header; empty = a path alone. */
  readonly publicUrl: string;
  readonly log: OperationalLog;
  readonly isStillPermitted: IsStillPermitted;
  readonly isStillAuthenticated: IsStillAuthenticated;
  readonly prefixGrants: Pick<PrefixGrants, 'grantsOf'>;
  readonly creationLimit: Pick<CreationLimit, 'reserve'>;
}

/** CouchDB creates the shards on every node before it answers. */
const TIMEOUT_MS = 60_000;

/**
 * Creates the handlers of `PUT|DELETE /{db}`.
 * Source: docs.couchdb.org/en/stable/api/database/common.html
 */
export function databaseHandlers(
  deps: DatabaseDeps,
): Pick<Answers, 'db-create' | 'db-delete' | 'global-changes-create-delete'> {
  return {
    'db-create': (_req, res, context) => create(deps, res, context),
    'db-delete': (_req, res, context) => remove(deps, res, context),
    'global-changes-create-delete': (req, res, context) =>
      req.method === 'PUT' ? create(deps, res, context) : remove(deps, res, context),
  };
}

async function create(deps: DatabaseDeps, res: Response, context: Context): Promise<void> {
  const database = databaseOf(context);
  const { principal } = known(context.identified, 'identified');
  const { query } = known(context.target, 'target');
  const fields = principal.kind === 'owner' ? reencoded(query) : fieldsOfHolder(query);
  const make = async (): Promise<CouchAnswer> => {
    if (principal.kind !== 'owner') await reservePlace(deps, principal, database);
    // Other changes of this database ran first, and may have revoked the permission (H19).
    await requireStillPermitted(deps.isStillPermitted, context);
    const made = await ask(deps, context, 'PUT', fields);
    if (!isDone(made)) return made;
    await recordCreation(deps, database, context);
    return made;
  };
  const answer = await deps.permissions.runExclusive(database, make, principal);
  if (isDone(answer)) context.outcome.change = { action: 'create database', database };
  const location = `${deps.publicUrl}${known(context.target, 'target').path}`;
  relay(res, answer, isDone(answer) ? { Location: location } : {});
}

/**
 * The query of a creation by a prefix grant. `partitioned` is its only parameter: `q` and `n` set the number
 * of files and copies, and `q=50000` hurts a cluster. Throws 403.
 */
function fieldsOfHolder(query: string): string {
  const parameters = [...new URLSearchParams(query)];
  const [[name, value] = ['partitioned', 'false'], second] = parameters;
  if (second !== undefined || name !== 'partitioned' || (value !== 'true' && value !== 'false'))
    throw new Forbidden(
      'A prefix grant creates databases with no parameter but `partitioned`, true or false.',
    );
  return value === 'true' ? 'partitioned=true' : '';
}

/** Takes a place in one of the prefix grants with `create`; the one with the longest prefix first. */
async function reservePlace(
  { prefixGrants, creationLimit }: DatabaseDeps,
  { name }: Principal,
  database: string,
): Promise<void> {
  const grants = prefixGrants
    .grantsOf(name)
    .filter(({ create: creates, prefix }) => creates && database.startsWith(prefix))
    .toSorted((a, b) => b.prefix.length - a.prefix.length);
  for (const grant of grants) if ((await creationLimit.reserve(grant, database)) === 'reserved') return;
  const limits = grants.map(({ prefix, maxDatabases }) => `${prefix}* has ${maxDatabases}`).join(', ');
  throw new Forbidden(
    grants.length === 0
      ? 'The prefix grant was revoked.'
      : `The prefix grant permits no more databases: \`max_databases\` of ${limits}.`,
  );
}

async function remove(deps: DatabaseDeps, res: Response, context: Context): Promise<void> {
  const database = databaseOf(context);
  const { principal } = known(context.identified, 'identified');
  const drop = (): Promise<CouchAnswer> =>
    deps.permissions.recordDeletion(database, principal, context.id, async () => {
      await refuseMissing(deps, context, database);
      // Other changes ran first, and the record was read: the permission may be revoked (H19).
      await requireStillPermitted(deps.isStillPermitted, context);
      const { query } = known(context.target, 'target');
      const deleted = await ask(deps, context, 'DELETE', reencoded(query));
      return { result: deleted, isDeleted: isDone(deleted) };
    });
  const answer = await deps.permissions.runExclusive(database, drop, principal);
  if (isDone(answer)) context.outcome.change = { action: 'delete database', database };
  relay(res, answer, {});
}

/**
 * Throws the 404 that a later request gets, if another request has deleted the database meanwhile: a caller
 * that is still valid would be told that its grants were revoked. The owner gets CouchDB's 404.
 */
async function refuseMissing(
  { permissions, isStillAuthenticated }: DatabaseDeps,
  context: Context,
  database: string,
): Promise<void> {
  const isOwner = known(context.identified, 'identified').principal.kind === 'owner';
  if (isOwner || (await permissions.permissionsOf(database)) !== undefined) return;
  if (!(await isStillAuthenticated(credentialOf(context)))) return;
  const reason = 'Database does not exist.';
  context.outcome.refuse('no database', reason);
  throw new NotFound(reason);
}

/**
 * If it fails, the database stays usable by the owner only: CouchDB's default admits server admins only (H4).
 */
async function recordCreation(
  { permissions, log }: DatabaseDeps,
  database: string,
  context: Context,
): Promise<void> {
  const { principal } = known(context.identified, 'identified');
  try {
    await permissions.recordCreation(database, principal, context.id);
  } catch (error) {
    const detail = error instanceof HttpError ? (error.detail ?? error.reason) : 'unexpected failure';
    log.warn(
      { database, detail },
      'new database has no permission record: only the owner can use it until permissions are set',
    );
  }
}

function ask(
  { couch, tokenFor }: DatabaseDeps,
  context: Context,
  method: 'PUT' | 'DELETE',
  fields: string,
): Promise<CouchAnswer> {
  const decision = known(context.decision, 'decision');
  if (!decision.allow) throw new Error('a refused request reached its handler');
  const { path } = known(context.target, 'target');
  const { principal } = known(context.identified, 'identified');
  const token = tokenFor(principal, decision, databaseOf(context));
  if (token === undefined) throw new Error('a database cannot be made or deleted anonymously');
  return couch.ask({
    method,
    path: fields === '' ? path : `${path}?${fields}`,
    headers: { Authorization: `Bearer ${token}` },
    timeoutMs: TIMEOUT_MS,
  });
}

/** Encodes the query again, so that CouchDB gets the canonical spelling. */
function reencoded(query: string): string {
  return new URLSearchParams(query).toString();
}

function isDone({ status }: CouchAnswer): boolean {
  return status >= 200 && status < 300;
}

/**
 * Sends the response of CouchDB. If CouchDB refuses the token, the configuration is at fault, not the client,
 * so the client gets 503.
 */
function relay(
  res: Response,
  { status, body }: CouchAnswer,
  headers: Readonly<Record<string, string>>,
): void {
  if (status === 401 || status === 403) {
    throw new Unavailable('The cluster cannot serve this request at present.', {
      detail: `CouchDB answered ${status}`,
    });
  }
  sendJson(res, status, body, headers);
}
