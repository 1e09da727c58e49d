// Answers the endpoints of server grants: list, describe, write, revoke. For the owner.
import { type Request, type Response } from 'express';
import { type BodyReader } from '../body/read.ts';
import { type Context } from '../context.ts';
import { BadRequest, NotFound, Unavailable } from '../http-errors.ts';
import {
  MONITOR,
  problemsOfServerGrant,
  type ServerGrant,
  type ServerGrants,
} from '../permissions/server-grants.ts';
import { sendJson } from '../respond.ts';
import { type IsStillAuthenticated } from '../revocation/after-wait.ts';
import { type Answers } from './index.ts';
import { GRANT_BODY, grantChangeOptions, grantNameIn, originOf } from './owner-grant.ts';
import { type KnownNamesDeps, warningsOnUnknown } from './unknown-names.ts';

export interface ServerGrantsDeps {
  readonly bodies: BodyReader;
  readonly serverGrants: ServerGrants;
  /** For a warning on a principal that nobody is. */
  readonly names: KnownNamesDeps;
  readonly isStillAuthenticated: IsStillAuthenticated;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Creates the handlers. A change is answered after a quorum of the cluster has it and all workers of this
 * replica apply it. They are extensions of Couchgate.
 */
export function serverGrantHandlers(
  deps: ServerGrantsDeps,
): Pick<Answers, 'server-grants' | 'server-grant-get' | 'server-grant-put' | 'server-grant-revoke'> {
  const { serverGrants } = deps;
  return {
    'server-grants': (_req, res) => sendJson(res, 200, { server_grants: listed(serverGrants) }),
    'server-grant-get': (_req, res, context) => {
      const name = grantNameIn(context);
      const found = listed(serverGrants).find(({ principal }) => principal === name);
      if (found === undefined) throw noSuchGrant();
      sendJson(res, 200, found);
    },
    'server-grant-put': (req, res, context) => put(deps, req, res, context),
    'server-grant-revoke': async (req, res, context) => {
      const principal = grantNameIn(context);
      const origin = originOf(context, deps.now());
      const options = grantChangeOptions(req, context, deps.isStillAuthenticated);
      const change = await serverGrants.documents.revoke(principal, origin, options);
      if (change === undefined) throw noSuchGrant();
      context.outcome.change = {
        action: 'revoke server grant',
        principal,
        before: rolesOf(change.before),
        after: [],
      };
      sendJson(res, 200, { ok: true, principal });
    },
  };
}

async function put(
  { bodies, serverGrants, names, isStillAuthenticated, now }: ServerGrantsDeps,
  req: Request,
  res: Response,
  context: Context,
): Promise<void> {
  const principal = grantNameIn(context);
  const problems = problemsOfServerGrant(principal, await bodies.jsonObject(req, res, GRANT_BODY));
  if (problems.length > 0) throw new BadRequest(problems.join('; '));
  const fields = { roles: [MONITOR], ...originOf(context, now()) };
  const options = grantChangeOptions(req, context, isStillAuthenticated);
  const { before, after } = await serverGrants.documents.put(principal, fields, options);
  context.outcome.change = { action: 'server grant', principal, before: rolesOf(before), after: [MONITOR] };
  const warnings = await warningsOnUnknown(names, [principal]);
  const answer = {
    ok: true,
    principal,
    revision: after._rev,
    ...fields,
    ...(warnings.length > 0 ? { warnings } : {}),
  };
  sendJson(res, before === undefined ? 201 : 200, answer);
}

function listed(serverGrants: ServerGrants): readonly ServerGrant[] {
  if (!serverGrants.documents.isKnown)
    throw new Unavailable('The server grants are being read.', { retryAfterSeconds: 1 });
  return serverGrants.all;
}

function rolesOf(document: Readonly<Record<string, unknown>> | undefined): unknown {
  return document?.['roles'] ?? [];
}

function noSuchGrant(): NotFound {
  return new NotFound('The server grant does not exist.');
}
