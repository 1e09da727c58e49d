// The step that writes the decision. The rules are decide.ts's business, reading a body that has a say is inspect.ts's.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type NextFunction, type RequestHandler } from 'express';
import { callerOf, type Context, contextOf, known, type Decision } from '../context.ts';
import { type BodyBudget, createBodyBudget } from '../body/budget.ts';
import { type Operation } from '../catalogue/operation.ts';
import {
  BadRequest,
  Forbidden,
  MethodNotAllowed,
  NotFound,
  TooBusy,
  Unauthorized,
  type HttpError,
} from '../http-errors.ts';
import { type RevocationWatch } from '../revocation/revocation-watch.ts';
import { type Principal } from '../principal/principal.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type DatabasePermissions } from '../permissions/grants.ts';
import { type SecurityStore } from '../permissions/security-store.ts';
import { decide, mustInspect } from './decide.ts';
import { decideByForm } from './database-from-form.ts';
import { inspectBody } from '../body/inspect.ts';
import { watchBody } from '../revocation/watch-upload.ts';

export interface AuthorizeDeps {
  readonly permissions: Pick<SecurityStore, 'permissionsOf'>;
  /** Name of Couchgate's own database, which a form may not name either. */
  readonly storeDatabase: string;
  /** Largest body that is read to decide, before and after gunzip. */
  readonly inspectLimitBytes: number;
  /** Watches a request whose body is still on its way. */
  readonly revocationWatch: Pick<RevocationWatch, 'register'>;
}

interface Means extends AuthorizeDeps {
  readonly budget: BodyBudget;
}

/** All bodies that are inspected at once may take as much memory as this many of the largest. */
const BODIES_AT_ONCE = 8;
const TOO_BUSY_MS = 1000;

/**
 * Writes `context.decision`, then lets the request pass or refuses it. Answers at once while the permissions are cached and the body has
 * no say. Nothing of a body is read before the caller is known to hold a right that some body could use.
 */
export function authorizeOperation(needs: AuthorizeDeps): RequestHandler {
  const means: Means = { ...needs, budget: createBodyBudget(BODIES_AT_ONCE * needs.inspectLimitBytes) };
  return function authorizeOperationStep(req, res, next) {
    const context = contextOf(req);
    const operation = known(context.operation, 'operation');
    const caller = callerOf(context);
    const database = databaseToAsk(caller.principal, operation);
    const found = database === undefined ? undefined : needs.permissions.permissionsOf(database, caller);
    if (found instanceof Promise) {
      found.then((permissions) => proceed(permissions, { req, res, means, next })).catch(slowly(next));
    } else {
      proceed(found, { req, res, means, next });
    }
  };
}

/**
 * Who has too many reads hears so as late as Retry-After would have it come back: five thousand connections that ask again at once would
 * keep this process from everything else, which they cannot while their reads wait (H15).
 */
function slowly(next: NextFunction): (error: unknown) => void {
  return (error) => {
    if (error instanceof TooBusy) setTimeout(() => next(error), TOO_BUSY_MS);
    else next(error);
  };
}

/** The database whose permissions are needed: none for rows that no role opens, nor for the owner where they could change nothing. */
function databaseToAsk(principal: Principal, { endpoint, database }: Operation): string | undefined {
  if (endpoint.permit.kind !== 'roles' || endpoint.permit.sets.length === 0) return undefined;
  const asksForMarker = endpoint.privilege === 'member' || endpoint.privilege === 'dbadmin';
  return principal.kind === 'owner' && !asksForMarker ? undefined : database;
}

interface Asked {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly means: Means;
  readonly next: NextFunction;
}

function proceed(permissions: DatabasePermissions | undefined, asked: Asked): void {
  const { req, res, means, next } = asked;
  const context = contextOf(req);
  const operation = known(context.operation, 'operation');
  const { principal } = known(context.identified, 'identified');
  const { decidedByBody } = operation;
  if (decidedByBody === 'database-from-form' && principal.kind !== 'nobody') {
    watchBody(means.revocationWatch, asked, { endpoint: operation.endpoint, identity: 'marker' });
    decideByForm(req, operation, callerOf(context), means)
      .then((decision) => settle(asked, decision))
      .catch(next);
    return;
  }
  const decision = fromAllowedAddress(context, decide(principal, operation, permissions, undefined));
  if (
    decidedByBody === undefined ||
    decidedByBody === 'database-from-form' ||
    !(mustInspect(principal, operation, decision) || hidesIds(req, decision))
  ) {
    settle(asked, decision);
    return;
  }
  if (decision.allow) watchBody(means.revocationWatch, asked, decision);
  const caller = quotaKeyOf(callerOf(context));
  inspectBody(req, means.inspectLimitBytes, decidedByBody, means.budget(res, caller))
    .then(({ body, ids }) => {
      const final = decide(principal, operation, permissions, ids);
      settle(asked, final.allow ? { ...final, body } : final);
    })
    .catch(next);
}

/** What streams by is looked at on its way for the ids that are closed to everybody (H10); in an encoded body they cannot be seen. */
function hidesIds(req: IncomingMessage, decision: Decision): boolean {
  return decision.allow && (req.headers['content-encoding'] ?? 'identity') !== 'identity';
}

function settle(asked: Asked, decision: Decision): void {
  const { req, means, next } = asked;
  const context = contextOf(req);
  const final = fromAllowedAddress(context, decision);
  context.decision = final;
  if (!final.allow) {
    next(refusal(final));
    return;
  }
  watchBody(means.revocationWatch, asked, final);
  next();
}

/** The owner's rights can be narrowed to some addresses (the whitelist's list for owner operations). */
function fromAllowedAddress(context: Context, decision: Decision): Decision {
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

function refusal({ status, reason, rule }: Decision & { readonly allow: false }): HttpError {
  if (status === 401) return new Unauthorized(reason);
  if (status === 403) return new Forbidden(reason);
  if (status === 404) return new NotFound(reason);
  if (status === 405) return new MethodNotAllowed(reason);
  return new BadRequest(reason, rule === 'blocked' ? 'bad_request' : rule);
}
