// The step that writes `context.decision`. It finds the permissions, and reads the body if the decision
// depends on it. It decides on the permissions that are in force after the last wait (H19).
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type NextFunction, type RequestHandler } from 'express';
import { type BodyBudget } from '../body/budget.ts';
import { type AtomGate } from '../body/erlang-terms.ts';
import { inspectBody } from '../body/inspect.ts';
import { rulesOfRead, type BodyLimits } from '../body/limits.ts';
import { type BodyReader, type BodyRules } from '../body/read.ts';
import { createShortBodyBudget, shortBodyLength } from '../body/short-body.ts';
import { INTERNAL } from '../catalogue/document-id.ts';
import { type Endpoint } from '../catalogue/endpoint.ts';
import { type Operation } from '../catalogue/operation.ts';
import { type Allowed, callerOf, type Context, contextOf, type Decision, known } from '../context.ts';
import { TooLarge, Unauthorized } from '../http-errors.ts';
import { type DatabasePermissions } from '../permissions/grants.ts';
import { NO_ROLES } from '../permissions/role.ts';
import { type PermissionReader } from '../permissions/permission-store.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type Principal } from '../principal/principal.ts';
import { type IsStillAuthenticated } from '../revocation/after-wait.ts';
import { type RevocationWatch } from '../revocation/revocation-watch.ts';
import { watchUpload } from '../revocation/watch-upload.ts';
import { credentialOf, withoutToken } from '../revocation/watched-exchange.ts';
import { isTooLong, mustRead, refuseByHead, refuseReadStructure } from './body-checks.ts';
import { readDatabaseFromForm } from './database-from-form.ts';
import { mustInspect } from './decide.ts';
import { decideNow, type OtherGrants } from './decide-now.ts';
import { decideOwnUser, type UserSettings } from './own-user.ts';
import { fail, refusal } from './refusal.ts';
import { restrict } from './restrict.ts';

export interface AuthorizeDeps extends BodyLimits, UserSettings {
  readonly permissions: Pick<PermissionReader, 'permissionsOf'>;
  readonly grants: OtherGrants;
  /** Writes the markers of a database that has none. Until then, CouchDB refuses our tokens. */
  readonly markDatabase: (database: string) => Promise<void>;
  /** Name of Couchgate's own database. A form must not name it. */
  readonly storeDatabase: string;
  readonly bodies: BodyReader;
  readonly valueBudget: BodyBudget;
  /** Counts the atoms of bookmarks (H20). */
  readonly atoms: AtomGate;
  /** Largest body that is read to decide, before and after gunzip. */
  readonly inspectLimitBytes: number;
  /** Ends a request if its right is revoked while its body is still arriving. */
  readonly revocationWatch: Pick<RevocationWatch, 'register'>;
  readonly isStillAuthenticated: IsStillAuthenticated;
}

type Deps = AuthorizeDeps & { readonly shortBodies: BodyBudget };

/** The stated length of a kept body was checked before. */
const KEPT: BodyRules = Object.freeze({ limitBytes: Infinity, budget: 'reserved' });

interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly context: Context;
}

type Permissions = DatabasePermissions | undefined;

/**
 * Writes `context.decision`, then continues with the request or refuses it. Creates no promise if the
 * permissions are in memory and no body is read. Reads no byte of a body before the caller holds a right that
 * some body could use.
 */
export function authorizeOperation(parameters: AuthorizeDeps): RequestHandler {
  const deps: Deps = { ...parameters, shortBodies: createShortBodyBudget() };
  return function authorizeOperationStep(req, res, next) {
    const exchange: Exchange = { req, res, context: contextOf(req) };
    const found = currentPermissions(deps, exchange.context);
    if (!(found instanceof Promise)) {
      const decision = decideWithoutBody(deps, exchange.context, found);
      if (!mustWait(deps, exchange, decision, found)) {
        finish(deps, exchange, decision, next);
        return;
      }
    }
    decideAsync(deps, exchange, found).then(
      (decision) => finish(deps, exchange, decision, next),
      (error: unknown) => fail(error, next),
    );
  };
}

/** True if the body or the markers come before the decision or the request. */
function mustWait(deps: Deps, exchange: Exchange, decision: Decision, permissions: Permissions): boolean {
  return (
    needsBody(exchange, decision) ||
    needsMarkers(deps, exchange.context, decision, permissions) ||
    (decision.allow && shortBodyLength(exchange.req, decision.endpoint) > 0)
  );
}

/** Reserves memory for a short body; false for another one, or if there is no room. */
function reserveShortBody(
  { shortBodies }: Deps,
  { req, res, context }: Exchange,
  endpoint: Endpoint,
): boolean {
  const length = context.body === undefined ? shortBodyLength(req, endpoint) : 0;
  return length > 0 && shortBodies(res, quotaKeyOf(callerOf(context)))(length) === undefined;
}

/**
 * Reads a body that is forwarded as a whole. The decision does not depend on it, but the body may arrive
 * slowly, so it is decided again after it (H19).
 */
async function decideKept(deps: Deps, exchange: Exchange, unread: Allowed): Promise<Decision> {
  const { req, res, context } = exchange;
  refuseByHead(deps, req, unread.endpoint);
  watchUpload(deps.revocationWatch, exchange, withoutToken(unread));
  await deps.bodies.read(req, res, KEPT);
  await refuseReadStructure(deps, req, res, unread.endpoint);
  await stillAuthenticated(deps, context);
  const permissions = await currentPermissions(deps, context);
  const decision = decideWithoutBody(deps, context, permissions);
  // Other roles than before may make the decision depend on the body.
  return needsBody(exchange, decision) ? decideAsync(deps, exchange, permissions) : decision;
}

/** The current permissions that the operation depends on. */
function currentPermissions(deps: Deps, context: Context): Permissions | Promise<Permissions> {
  const operation = known(context.operation, 'operation');
  const caller = callerOf(context);
  const database = databaseToRead(caller.principal, operation);
  return database === undefined ? undefined : deps.permissions.permissionsOf(database, caller);
}

/**
 * The database whose permissions the decision needs. None for endpoints that no role opens, nor for the owner
 * if the endpoint needs no marker. For a mistake, the permissions decide whether the caller gets the reason.
 */
function databaseToRead(principal: Principal, { endpoint, database }: Operation): string | undefined {
  if (endpoint.permit.kind === 'blocked') {
    return principal.kind === 'nobody' || endpoint.permit.explainedTo !== 'holders' ? undefined : database;
  }
  if (endpoint.permit.kind !== 'roles' || endpoint.permit.sets.length === 0) return undefined;
  const needsMarker = endpoint.privilege === 'member' || endpoint.privilege === 'dbadmin';
  return principal.kind === 'owner' && !needsMarker ? undefined : database;
}

/** The decision before the body is read: whether an endpoint that it could select is open to the caller. */
function decideWithoutBody(deps: AuthorizeDeps, context: Context, permissions: Permissions): Decision {
  const operation = known(context.operation, 'operation');
  const { principal } = known(context.identified, 'identified');
  const decision = decideNow(deps.grants, principal, operation, permissions, undefined);
  const own = decision.allow ? undefined : decideOwnUser(deps, principal, operation);
  return restrict(context, own ?? decision);
}

/**
 * True if CouchDB would refuse the token of a permitted request: roles of a prefix grant reach databases
 * whose permissions nobody has set yet, so they have no markers.
 */
function needsMarkers(
  { grants }: AuthorizeDeps,
  { operation, identified }: Context,
  decision: Decision,
  permissions: Permissions,
): boolean {
  if (permissions === undefined || permissions.marked || permissions.couchdbAuthOnly) return false;
  if (!decision.allow || decision.endpoint.servedBy === 'couchgate') return false;
  if (decision.privilege !== 'member' && decision.privilege !== 'dbadmin') return false;
  const { principal } = known(identified, 'identified');
  const access = grants.prefixGrants.accessOf(principal, operation?.database);
  return access !== undefined && access.roles !== NO_ROLES;
}

/** True if the body must be read: the decision depends on it, or what CouchDB gets does. */
function needsBody({ req, context }: Exchange, decision: Decision): boolean {
  const operation = known(context.operation, 'operation');
  const { principal } = known(context.identified, 'identified');
  if (operation.decidedByBody === 'database-from-form') return principal.kind !== 'nobody';
  return mustInspect(principal, operation, decision) || mustRead(req, decision);
}

async function decideAsync(
  deps: Deps,
  exchange: Exchange,
  found: Permissions | Promise<Permissions>,
): Promise<Decision> {
  const { context } = exchange;
  const operation = known(context.operation, 'operation');
  let permissions = await found;
  const authenticated = stillAuthenticated(deps, context);
  if (authenticated instanceof Promise) {
    await authenticated;
    permissions = await currentPermissions(deps, context);
  }
  let withoutBody = decideWithoutBody(deps, context, permissions);
  if (needsMarkers(deps, context, withoutBody, permissions)) {
    await deps.markDatabase(known(operation.database, 'operation.database'));
    await stillAuthenticated(deps, context);
    permissions = await currentPermissions(deps, context);
    withoutBody = decideWithoutBody(deps, context, permissions);
  }
  const reads = needsBody(exchange, withoutBody);
  const isDecidedByBody = reads && operation.decidedByBody !== undefined;
  if (withoutBody.allow && !isDecidedByBody && reserveShortBody(deps, exchange, withoutBody.endpoint)) {
    return decideKept(deps, exchange, withoutBody);
  }
  if (!reads) return withoutBody;
  if (operation.decidedByBody === 'database-from-form') return decideByForm(deps, exchange, operation);
  if (withoutBody.allow) {
    refuseByHead(deps, exchange.req, withoutBody.endpoint);
    watchUpload(deps.revocationWatch, exchange, withoutToken(withoutBody));
  }
  return operation.decidedByBody === undefined
    ? decideAfterBody(deps, exchange, withoutBody)
    : decideByIds(deps, exchange, operation, withoutBody);
}

/** Reads the body only to check or decode it. The permissions are read again after it. */
async function decideAfterBody(
  deps: Deps,
  { req, res, context }: Exchange,
  unread: Decision,
): Promise<Decision> {
  if (!unread.allow) return unread;
  const { endpoint } = unread;
  await deps.bodies.read(req, res, rulesOfRead(endpoint, deps));
  await refuseReadStructure(deps, req, res, endpoint);
  await stillAuthenticated(deps, context);
  return decideWithoutBody(deps, context, await currentPermissions(deps, context));
}

/** `POST /api/set_permissions`: the form names the database. */
async function decideByForm(
  deps: Deps,
  { req, res, context }: Exchange,
  operation: Operation,
): Promise<Decision> {
  const { revocationWatch, bodies, storeDatabase, permissions } = deps;
  const caller = callerOf(context);
  watchUpload(revocationWatch, { req, res }, { endpoint: operation.endpoint, identity: 'marker' });
  const named = await readDatabaseFromForm(req, res, operation, { bodies, storeDatabase });
  await stillAuthenticated(deps, context);
  const found = named.isGrantable
    ? await permissions.permissionsOf(named.operation.database, caller)
    : undefined;
  const { grants } = deps;
  return restrict(context, decideNow(grants, caller.principal, named.operation, found, undefined));
}

/** Reads the permissions again after the body, which may arrive slowly. See test/hostile/h19-*.test.ts. */
async function decideByIds(
  deps: Deps,
  exchange: Exchange,
  operation: Operation,
  withoutBody: Decision,
): Promise<Decision> {
  const { req, res, context } = exchange;
  const { decidedByBody } = operation;
  if (decidedByBody !== 'document-id' && decidedByBody !== 'bulk-ids') return withoutBody;
  const ids = await inspectBody(deps.bodies, req, res, {
    limitBytes: Math.min(deps.inspectLimitBytes, deps.maxJsonBody),
    place: decidedByBody,
  });
  // Such ids are denied below, for everybody, by a rule of their own.
  if ((ids & INTERNAL) === 0) await refuseReadStructure(deps, req, res, operation.endpoint);
  await stillAuthenticated(deps, context);
  const { principal } = known(context.identified, 'identified');
  const permissions = await currentPermissions(deps, context);
  return restrict(context, decideNow(deps.grants, principal, operation, permissions, ids));
}

/** Throws 401, or rejects with it, when the credential became invalid during a wait (H19). */
function stillAuthenticated(deps: Deps, context: Context): undefined | Promise<void> {
  const valid = deps.isStillAuthenticated(credentialOf(context));
  if (valid instanceof Promise) return valid.then((isValid) => requireValid(isValid, context));
  requireValid(valid, context);
  return undefined;
}

function requireValid(isValid: boolean, { outcome }: Context): void {
  if (isValid) return;
  const error = new Unauthorized('The credentials became invalid during the request.');
  outcome.refuseBy(error, 'revoked');
  throw error;
}

function finish(deps: Deps, exchange: Exchange, decision: Decision, next: NextFunction): void {
  exchange.context.decision = decision;
  if (!decision.allow) {
    next(refusal(decision));
    return;
  }
  if (isTooLong(deps, exchange.req, decision.endpoint)) {
    next(new TooLarge());
    return;
  }
  watchUpload(deps.revocationWatch, exchange, decision);
  next();
}
