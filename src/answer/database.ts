// Creates and deletes databases. A new database gets its markers before the response is sent; a deletion
// clears the caches.
import { setTimeout as delay } from 'node:timers/promises';
import { type Response } from 'express';
import { type OperationalLog } from '../config/operational-log.ts';
import { type Context, type Decision, known } from '../context.ts';
import { type Couch, type CouchAnswer } from '../couch/couch.ts';
import { HttpError, Unavailable } from '../http-errors.ts';
import { type Principal } from '../principal/principal.ts';
import { versionOf } from '../permissions/security-document.ts';
import { EMPTY_REQUEST } from '../permissions/security-request.ts';
import { type SecurityKeeper } from '../permissions/security-store.ts';
import { sendJson } from '../respond.ts';
import { type IsStillPermitted, requireStillPermitted } from '../revocation/after-wait.ts';
import { type Answers } from './index.ts';

export interface DatabaseDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly security: SecurityKeeper;
  /** Token for the request to CouchDB, so that its log names the caller. */
  readonly tokenFor: (
    principal: Principal,
    scope: Extract<Decision, { allow: true }>,
    database: string | undefined,
  ) => string | undefined;
  /** Origin for the Location header; empty = a path alone. */
  readonly publicUrl: string;
  readonly log: OperationalLog;
  readonly isStillPermitted: IsStillPermitted;
  readonly wait?: (milliseconds: number) => Promise<unknown>;
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
  const answer = await deps.security.runExclusive(database, async () => {
    // Other changes of this database ran first, and may have revoked the permission (H19).
    await requireStillPermitted(deps.isStillPermitted, context);
    const made = await ask(deps, context, 'PUT');
    if (!isDone(made)) return made;
    await deps.security.discard(database);
    await mark(deps, database);
    return made;
  });
  if (isDone(answer)) context.outcome.change = { action: 'create database', database };
  const location = `${deps.publicUrl}${known(context.target, 'target').path}`;
  relay(res, answer, isDone(answer) ? { Location: location } : {});
}

async function remove(deps: DatabaseDeps, res: Response, context: Context): Promise<void> {
  const database = databaseOf(context);
  const answer = await deps.security.runExclusive(database, async () => {
    // Other changes of this database ran first, and may have revoked the permission (H19).
    await requireStillPermitted(deps.isStillPermitted, context);
    try {
      return await ask(deps, context, 'DELETE');
    } finally {
      // The database may be deleted even if the response is an error or is lost.
      await deps.security.discard(database);
    }
  });
  if (isDone(answer)) context.outcome.change = { action: 'delete database', database };
  relay(res, answer, {});
}

/**
 * Sets the markers of a new database. Before that, CouchDB's default admits server admins only. If it fails,
 * the database stays usable by the owner only (H4).
 */
async function mark({ security, log, wait = delay }: DatabaseDeps, database: string): Promise<void> {
  // A new database is not visible on every node immediately.
  for (const pauseMs of [50, 100, 200, 400, 800, 0]) {
    try {
      const document = await security.documentOf(database);
      if (document !== undefined) {
        // Another request may have set permissions already.
        if (versionOf(document) === 0) await security.write(database, document, EMPTY_REQUEST);
        return;
      }
    } catch (error) {
      const detail = error instanceof HttpError ? (error.detail ?? error.reason) : 'unexpected failure';
      log.warn(
        { database, detail },
        'new database has no markers: only the owner can use it until permissions are set',
      );
      return;
    }
    await wait(pauseMs);
  }
  log.warn(
    { database },
    'new database was not found after its creation: only the owner can use it until permissions are set',
  );
}

function ask(
  { couch, tokenFor }: DatabaseDeps,
  context: Context,
  method: 'PUT' | 'DELETE',
): Promise<CouchAnswer> {
  const decision = known(context.decision, 'decision');
  if (!decision.allow) throw new Error('a refused request reached its handler');
  const { path, query } = known(context.target, 'target');
  const { principal } = known(context.identified, 'identified');
  const token = tokenFor(principal, decision, databaseOf(context));
  if (token === undefined) throw new Error('a database cannot be made or deleted anonymously');
  // Encodes the query again, so that CouchDB gets the canonical spelling.
  const fields = new URLSearchParams(query).toString();
  return couch.ask({
    method,
    path: fields === '' ? path : `${path}?${fields}`,
    headers: { Authorization: `Bearer ${token}` },
    timeoutMs: TIMEOUT_MS,
  });
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

function databaseOf(context: Context): string {
  return known(known(context.operation, 'operation').database, 'operation.database');
}
