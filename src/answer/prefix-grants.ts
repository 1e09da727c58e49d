// Answers the endpoints of prefix grants: list, describe, write, revoke. For the owner.
import { type Request, type Response } from 'express';
import { type BodyReader } from '../body/read.ts';
import { type Context } from '../context.ts';
import { BadRequest, NotFound, Unavailable } from '../http-errors.ts';
import { fieldsOfGrant, parsePrefixGrant } from '../permissions/prefix-grant.ts';
import { type DescribedPrefixGrant, type PrefixGrants } from '../permissions/prefix-grants.ts';
import { sendJson } from '../respond.ts';
import { type IsStillAuthenticated } from '../revocation/after-wait.ts';
import { type Answers } from './index.ts';
import { GRANT_BODY, grantChangeOptions, grantNameIn, originOf } from './owner-grant.ts';
import { type KnownNamesDeps, warningsOnUnknown } from './unknown-names.ts';

export interface PrefixGrantsDeps {
  readonly bodies: BodyReader;
  readonly prefixGrants: PrefixGrants;
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
export function prefixGrantHandlers(
  deps: PrefixGrantsDeps,
): Pick<Answers, 'prefix-grants' | 'prefix-grant-get' | 'prefix-grant-put' | 'prefix-grant-revoke'> {
  const { prefixGrants } = deps;
  return {
    'prefix-grants': (_req, res) => {
      sendJson(res, 200, { prefix_grants: described(prefixGrants).map(shownGrant) });
    },
    'prefix-grant-get': (_req, res, context) => {
      const id = grantNameIn(context);
      const found = described(prefixGrants).find((grant) => grant.id === id);
      if (found === undefined) throw noSuchGrant();
      sendJson(res, 200, shownGrant(found));
    },
    'prefix-grant-put': (req, res, context) => put(deps, req, res, context),
    'prefix-grant-revoke': async (req, res, context) => {
      const id = grantNameIn(context);
      const origin = originOf(context, deps.now());
      const options = grantChangeOptions(req, context, deps.isStillAuthenticated);
      const change = await prefixGrants.documents.revoke(id, origin, options);
      if (change === undefined) throw noSuchGrant();
      const before = withoutMeta(change.before);
      context.outcome.change = { action: 'revoke prefix grant', id, before, after: null };
      sendJson(res, 200, { ok: true, id });
    },
  };
}

async function put(
  { bodies, prefixGrants, names, isStillAuthenticated, now }: PrefixGrantsDeps,
  req: Request,
  res: Response,
  context: Context,
): Promise<void> {
  const id = grantNameIn(context);
  const body = await bodies.jsonObject(req, res, GRANT_BODY);
  const grant = parsePrefixGrant(id, body, prefixGrants.rules, originOf(context, now()));
  if (!('principal' in grant)) throw new BadRequest(grant.join('; '));
  const options = grantChangeOptions(req, context, isStillAuthenticated);
  const change = await prefixGrants.documents.put(id, fieldsOfGrant(grant), options);
  const [before, after] = [withoutMeta(change.before), withoutMeta(change.after)];
  context.outcome.change = { action: 'prefix grant', id, before, after };
  const warnings = await warningsOnUnknown(names, [grant.principal]);
  const { _rev: revision } = change.after;
  const answer = {
    ok: true,
    id,
    revision,
    ...fieldsOfGrant(grant),
    ...(warnings.length > 0 ? { warnings } : {}),
  };
  sendJson(res, before === null ? 201 : 200, answer);
}

function described(prefixGrants: PrefixGrants): readonly DescribedPrefixGrant[] {
  if (!prefixGrants.isKnown)
    throw new Unavailable('The prefix grants are being read.', { retryAfterSeconds: 1 });
  return prefixGrants.describeAll();
}

function shownGrant({ id, revision, fields, suspended }: DescribedPrefixGrant): object {
  return {
    id,
    revision,
    ...fields,
    ...(suspended === undefined ? {} : { in_force: false, reason: suspended }),
  };
}

/** The fields of a stored grant without those of CouchDB; `null` = no grant. */
function withoutMeta(
  document: Readonly<Record<string, unknown>> | undefined,
): Readonly<Record<string, unknown>> | null {
  if (document === undefined) return null;
  return Object.fromEntries(Object.entries(document).filter(([field]) => !field.startsWith('_')));
}

function noSuchGrant(): NotFound {
  return new NotFound('The prefix grant does not exist.');
}
