// The step that writes `context.decision`: finds the permissions, reads the body where it has a say, and decides on
// the permissions that are in force after the last wait (H19). The rules are in decide.ts.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type NextFunction, type RequestHandler } from 'express';
import { inspectBody } from '../body/inspect.ts';
import { type BodyReader } from '../body/read.ts';
import { type Operation } from '../catalogue/operation.ts';
import { callerOf, type Context, contextOf, type Decision, known } from '../context.ts';
import {
  BadRequest,
  Forbidden,
  MethodNotAllowed,
  NotFound,
  TooBusy,
  Unauthorized,
  type HttpError,
} from '../http-errors.ts';
import { type DatabasePermissions } from '../permissions/grants.ts';
import { type SecurityStore } from '../permissions/security-store.ts';
import { type Principal } from '../principal/principal.ts';
import { type RevocationWatch } from '../revocation/revocation-watch.ts';
import { watchUpload } from '../revocation/watch-upload.ts';
import { readDatabaseFromForm } from './database-from-form.ts';
import { decide, mustInspect } from './decide.ts';

export interface AuthorizeDeps {
  readonly permissions: Pick<SecurityStore, 'permissionsOf'>;
  /** Name of Couchgate's own database, which a form may not name either. */
  readonly storeDatabase: string;
  readonly bodies: BodyReader;
  /** Largest body that is read to decide, before and after gunzip. */
  readonly inspectLimitBytes: number;
  /** Watches a request whose body is still on its way. */
  readonly revocationWatch: Pick<RevocationWatch, 'register'>;
}

interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly context: Context;
}

type Permissions = DatabasePermissions | undefined;

/** Delay of the 503 for a caller with too many reads. */
const TOO_BUSY_DELAY_MS = 1000;

/**
 * Writes `context.decision`, then passes the request on or refuses it. Decides without a promise while the permissions
 * are in memory and the body has no say. No byte of a body is read before the caller holds a right that some body
 * could use.
 */
export function authorizeOperation(deps: AuthorizeDeps): RequestHandler {
  return function authorizeOperationStep(req, res, next) {
    const exchange: Exchange = { req, res, context: contextOf(req) };
    const found = currentPermissions(deps, exchange.context);
    if (!(found instanceof Promise)) {
      const decision = decideUnread(exchange.context, found);
      if (!bodyHasSay(exchange, decision)) {
        finish(deps, exchange, decision, next);
        return;
      }
    }
    decideAfterWaits(deps, exchange, found).then(
      (decision) => finish(deps, exchange, decision, next),
      (error: unknown) => fail(error, next),
    );
  };
}

/** The permissions that the operation depends on, as they are now. */
function currentPermissions(deps: AuthorizeDeps, context: Context): Permissions | Promise<Permissions> {
  const operation = known(context.operation, 'operation');
  const caller = callerOf(context);
  const database = databaseToRead(caller.principal, operation);
  return database === undefined ? undefined : deps.permissions.permissionsOf(database, caller);
}

/**
 * No permissions are needed for endpoints that no role opens, nor for the owner where they could change nothing. For a mistake they say
 * whether the caller is told what is wrong.
 */
function databaseToRead(principal: Principal, { endpoint, database }: Operation): string | undefined {
  if (endpoint.permit.kind === 'blocked') {
    return principal.kind === 'nobody' || endpoint.permit.toldTo !== 'holders' ? undefined : database;
  }
  if (endpoint.permit.kind !== 'roles' || endpoint.permit.sets.length === 0) return undefined;
  const needsMarker = endpoint.privilege === 'member' || endpoint.privilege === 'dbadmin';
  return principal.kind === 'owner' && !needsMarker ? undefined : database;
}

/** The decision while the body is unread: whether any endpoint that the body could choose is open to the caller. */
function decideUnread(context: Context, permissions: Permissions): Decision {
  const operation = known(context.operation, 'operation');
  const { principal } = known(context.identified, 'identified');
  return restrictOwner(context, decide(principal, operation, permissions, undefined));
}

/** True when the body has to be read before the decision is final. */
function bodyHasSay({ req, context }: Exchange, decision: Decision): boolean {
  const operation = known(context.operation, 'operation');
  const { principal } = known(context.identified, 'identified');
  if (operation.decidedByBody === undefined) return false;
  if (operation.decidedByBody === 'database-from-form') return principal.kind !== 'nobody';
  return mustInspect(principal, operation, decision) || hidesIds(req, decision);
}

/** A streamed body is scanned for the ids that are closed to everybody (H10). In an encoded body they cannot be seen. */
function hidesIds(req: IncomingMessage, decision: Decision): boolean {
  return decision.allow && (req.headers['content-encoding'] ?? 'identity') !== 'identity';
}

async function decideAfterWaits(
  deps: AuthorizeDeps,
  exchange: Exchange,
  found: Permissions | Promise<Permissions>,
): Promise<Decision> {
  const { context } = exchange;
  const operation = known(context.operation, 'operation');
  const unread = decideUnread(context, await found);
  if (!bodyHasSay(exchange, unread)) return unread;
  return operation.decidedByBody === 'database-from-form'
    ? decideByForm(deps, exchange, operation)
    : decideByIds(deps, exchange, operation, unread);
}

/** `POST /api/set_permissions`: the form names the database. */
async function decideByForm(
  { revocationWatch, bodies, storeDatabase, permissions }: AuthorizeDeps,
  { req, res, context }: Exchange,
  operation: Operation,
): Promise<Decision> {
  const caller = callerOf(context);
  watchUpload(revocationWatch, { req, res }, { endpoint: operation.endpoint, identity: 'marker' });
  const named = await readDatabaseFromForm(req, res, operation, { bodies, storeDatabase });
  const found = named.isGrantable
    ? await permissions.permissionsOf(named.operation.database, caller)
    : undefined;
  return restrictOwner(context, decide(caller.principal, named.operation, found, undefined));
}

/** The body may take long to arrive, so the permissions are read again after it. Pinned by h19-decisions.test.ts. */
async function decideByIds(
  deps: AuthorizeDeps,
  exchange: Exchange,
  operation: Operation,
  unread: Decision,
): Promise<Decision> {
  const { req, res, context } = exchange;
  const { decidedByBody } = operation;
  if (decidedByBody !== 'document-id' && decidedByBody !== 'bulk-ids') return unread;
  if (unread.allow) watchUpload(deps.revocationWatch, exchange, unread);
  const ids = await inspectBody(deps.bodies, req, res, {
    limitBytes: deps.inspectLimitBytes,
    place: decidedByBody,
  });
  const { principal } = known(context.identified, 'identified');
  const permissions = await currentPermissions(deps, context);
  return restrictOwner(context, decide(principal, operation, permissions, ids));
}

/** The owner's rights can be limited to some addresses (the whitelist's list for owner operations). */
function restrictOwner(context: Context, decision: Decision): Decision {
  if (!decision.allow || decision.rule !== 'owner' || context.client?.mayAdminister !== false)
    return decision;
  return {
    allow: false,
    status: 403,
    reason: 'The server admin may not act from this address.',
    rule: 'owner address',
    needed: 'an address for owner operations',
  };
}

function finish(deps: AuthorizeDeps, exchange: Exchange, decision: Decision, next: NextFunction): void {
  exchange.context.decision = decision;
  if (!decision.allow) {
    next(refusal(decision));
    return;
  }
  watchUpload(deps.revocationWatch, exchange, decision);
  next();
}

/**
 * Delays the 503 of a caller with too many reads: thousands of connections that retry at once would starve the event
 * loop (H15).
 */
function fail(error: unknown, next: NextFunction): void {
  if (error instanceof TooBusy) setTimeout(() => next(error), TOO_BUSY_DELAY_MS);
  else next(error);
}

function refusal({ status, error, reason }: Decision & { readonly allow: false }): HttpError {
  if (status === 401) return new Unauthorized(reason);
  if (status === 403) return new Forbidden(reason);
  if (status === 404) return new NotFound(reason, error);
  if (status === 405) return new MethodNotAllowed(reason);
  return new BadRequest(reason, error);
}
