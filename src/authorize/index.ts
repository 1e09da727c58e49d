// The step that writes the decision. The rules are decide.ts's business, reading a body that has a say is inspect.ts's.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type NextFunction, type RequestHandler } from 'express';
import { type Context, contextOf, known, type Decision } from '../context.ts';
import { type Operation } from '../endpoints/operation.ts';
import {
  BadRequest,
  Forbidden,
  MethodNotAllowed,
  NotFound,
  Unauthorized,
  type HttpError,
} from '../http-errors.ts';
import { type Principal } from '../identity/principal.ts';
import { type DatabasePermissions } from '../permissions/grants.ts';
import { type SecurityStore } from '../permissions/security-store.ts';
import { decide, mustInspect } from './decide.ts';
import { decideByForm } from './form-database.ts';
import { inspectBody } from './inspect.ts';
import { createInspectionBudget, type HoldBytes } from './inspection-budget.ts';

export interface AuthorizeNeeds {
  readonly permissions: Pick<SecurityStore, 'permissionsOf'>;
  /** Name of Couchgate's own database, which a form may not name either. */
  readonly storeDatabase: string;
  /** Largest body that is read to decide, before and after gunzip. */
  readonly inspectLimitBytes: number;
}

interface Means extends AuthorizeNeeds {
  readonly budget: (res: ServerResponse) => HoldBytes;
}

/** All bodies that are inspected at once may take as much memory as this many of the largest. */
const BODIES_AT_ONCE = 8;

/**
 * Writes `context.decision`, then lets the request pass or refuses it. Answers at once while the permissions are cached and the body has
 * no say. Nothing of a body is read before the caller is known to hold a right that some body could use.
 */
export function authorizeOperation(needs: AuthorizeNeeds): RequestHandler {
  const means: Means = { ...needs, budget: createInspectionBudget(BODIES_AT_ONCE * needs.inspectLimitBytes) };
  return function authorizeOperationStep(req, res, next) {
    const context = contextOf(req);
    const operation = known(context.operation, 'operation');
    const { principal } = known(context.identified, 'identified');
    const database = databaseToAsk(principal, operation);
    const found = database === undefined ? undefined : needs.permissions.permissionsOf(database);
    if (found instanceof Promise) {
      found.then((permissions) => proceed(req, res, permissions, means, next)).catch(next);
    } else {
      proceed(req, res, found, means, next);
    }
  };
}

/** The database whose permissions are needed: none for rows that no role opens, nor for the owner where they could change nothing. */
function databaseToAsk(principal: Principal, { endpoint, database }: Operation): string | undefined {
  if (endpoint.permit.kind !== 'roles' || endpoint.permit.sets.length === 0) return undefined;
  const asksForMarker = endpoint.privilege === 'member' || endpoint.privilege === 'dbadmin';
  return principal.kind === 'owner' && !asksForMarker ? undefined : database;
}

function proceed(
  req: IncomingMessage,
  res: ServerResponse,
  permissions: DatabasePermissions | undefined,
  means: Means,
  next: NextFunction,
): void {
  const context = contextOf(req);
  const operation = known(context.operation, 'operation');
  const { principal } = known(context.identified, 'identified');
  const { bodyMatter } = operation;
  if (bodyMatter === 'form-database' && principal.kind !== 'nobody') {
    decideByForm(req, operation, principal, means)
      .then((decision) => settle(context, decision, next))
      .catch(next);
    return;
  }
  const decision = fromAllowedAddress(context, decide(principal, operation, permissions, undefined));
  if (
    bodyMatter === undefined ||
    bodyMatter === 'form-database' ||
    !(mustInspect(principal, operation, decision) || hidesIds(req, decision))
  ) {
    settle(context, decision, next);
    return;
  }
  inspectBody(req, means.inspectLimitBytes, bodyMatter, means.budget(res))
    .then(({ body, ids }) => {
      const final = decide(principal, operation, permissions, ids);
      settle(context, final.allow ? { ...final, body } : final, next);
    })
    .catch(next);
}

/** What streams by is looked at on its way for the ids that are closed to everybody (H10); in an encoded body they cannot be seen. */
function hidesIds(req: IncomingMessage, decision: Decision): boolean {
  return decision.allow && (req.headers['content-encoding'] ?? 'identity') !== 'identity';
}

function settle(context: Context, decision: Decision, next: NextFunction): void {
  const final = fromAllowedAddress(context, decision);
  context.decision = final;
  if (final.allow) next();
  else next(refusal(final));
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
