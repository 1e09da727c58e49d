// Creates and deletes databases, so that a new one has its markers before its creator hears of it, and nothing of a deleted one is remembered.
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
import { type Answers } from './index.ts';

export interface DatabaseDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly security: SecurityKeeper;
  /** The token that CouchDB gets for a permitted request: it logs who created and who deleted. */
  readonly tokenFor: (
    principal: Principal,
    scope: Extract<Decision, { allow: true }>,
    database: string | undefined,
  ) => string | undefined;
  /** Address in front of the path of a Location; empty = none. */
  readonly publicUrl: string;
  readonly log: OperationalLog;
  readonly wait?: (milliseconds: number) => Promise<unknown>;
}

/** CouchDB makes the shards of a database on every node before it answers. */
const TIMEOUT_MS = 60_000;

/** `PUT|DELETE /{db}`. Source: docs.couchdb.org/en/stable/api/database/common.html */
export function databaseHandlers(deps: DatabaseDeps): Pick<Answers, 'db-create' | 'db-delete'> {
  return {
    'db-create': (_req, res, context) => create(deps, res, context),
    'db-delete': (_req, res, context) => remove(deps, res, context),
  };
}

async function create(deps: DatabaseDeps, res: Response, context: Context): Promise<void> {
  const database = databaseOf(context);
  const answer = await deps.security.runExclusive(database, async () => {
    const made = await ask(deps, context, 'PUT');
    if (!isDone(made)) return made;
    await deps.security.forget(database);
    await mark(deps, database);
    return made;
  });
  if (isDone(answer)) context.change = { action: 'create database', database };
  const location = `${deps.publicUrl}${known(context.target, 'target').path}`;
  relay(res, answer, isDone(answer) ? { Location: location } : {});
}

async function remove(deps: DatabaseDeps, res: Response, context: Context): Promise<void> {
  const database = databaseOf(context);
  const answer = await deps.security.runExclusive(database, async () => {
    try {
      return await ask(deps, context, 'DELETE');
    } finally {
      // Whatever CouchDB said, or did not say any more: it may be gone.
      await deps.security.forget(database);
    }
  });
  if (isDone(answer)) context.change = { action: 'delete database', database };
  relay(res, answer, {});
}

/**
 * Puts the markers on a database that was just made. Until then CouchDB's own default lets server admins in alone, and it stays so
 * where this fails: closed to all but the owner (H4).
 */
async function mark({ security, log, wait = delay }: DatabaseDeps, database: string): Promise<void> {
  // Not every node knows a new database at once.
  for (const pauseMs of [50, 100, 200, 400, 800, 0]) {
    try {
      const document = await security.documentOf(database);
      if (document !== undefined) {
        // Somebody's grants were quicker.
        if (versionOf(document) === 0) await security.write(database, document, EMPTY_REQUEST);
        return;
      }
    } catch (error) {
      const detail = error instanceof HttpError ? (error.detail ?? error.reason) : 'unexpected failure';
      log.warn(
        { database, detail },
        'a new database could not be marked: it is closed to all but the owner until a grant',
      );
      return;
    }
    await wait(pauseMs);
  }
  log.warn(
    { database },
    'a new database was not found again: it is closed to all but the owner until a grant',
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
  // Written anew from its fields: what is sent has one spelling.
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

/** CouchDB's answer as it came. That it refuses our token is a fault of the set-up, not of the client's credentials. */
function relay(
  res: Response,
  { status, body }: CouchAnswer,
  headers: Readonly<Record<string, string>>,
): void {
  if (status === 401 || status === 403) {
    throw new Unavailable('The cluster cannot do this at present.', { detail: `CouchDB answered ${status}` });
  }
  sendJson(res, status, body, headers);
}

function databaseOf(context: Context): string {
  return known(known(context.operation, 'operation').database, 'operation.database');
}
