// Answers GET and PUT of the security object, under CouchDB's and Cloudant's paths.
import { type Request, type Response } from 'express';
import { type OperationalLog } from '../config/operational-log.ts';
import { callerOf, type Context, databaseOf, known } from '../context.ts';
import { NotFound } from '../http-errors.ts';
import { writeInPortions } from '../json/portions.ts';
import { type DatabasePermissions } from '../permissions/grants.ts';
import { type Edit } from '../permissions/change.ts';
import { describeChange } from '../permissions/permission-change.ts';
import { type PermissionStore } from '../permissions/permission-store.ts';
import { type PrefixGrants } from '../permissions/prefix-grants.ts';
import { shownForm } from '../permissions/security-document.ts';
import { parseSecurityChange } from '../permissions/security-change.ts';
import { MAX_NAMES, SECURITY_LIMIT_BYTES, warningsOn } from '../permissions/security-request.ts';
import { sendJson, sendJsonText } from '../respond.ts';
import { type IsStillAuthenticated, refuseEnded, standingOf } from '../revocation/after-wait.ts';
import { type Answers } from './index.ts';
import { conditionsOf, revisionHeaders } from './security-conditions.ts';
import { type KnownNamesDeps, warningsOnNames } from './unknown-names.ts';
import { type BodyReader } from '../body/read.ts';

export interface SecurityDeps {
  readonly bodies: BodyReader;
  readonly permissions: Pick<PermissionStore, 'inForce' | 'change'>;
  readonly log: OperationalLog;
  /** Setting `security_write`: a change must name the revision that it replaces. */
  readonly requiresPrecondition: boolean;
  /** For warnings on names that nobody has. */
  readonly names: KnownNamesDeps;
  readonly prefixGrants: Pick<PrefixGrants, 'grantsOn' | 'isKnown'>;
  readonly isStillAuthenticated: IsStillAuthenticated;
}

/** Room for objects with more names, which may shrink. */
const MAX_MEMBERS = 4 * MAX_NAMES;

/**
 * Creates the handlers. `/{db}/_security` and `/_api/v2/db/{db}/_security` are the same document.
 * Source: IBM Cloudant, "Authorization".
 */
export function securityHandlers(
  deps: SecurityDeps,
): Pick<Answers, 'security-get' | 'security-put' | 'api-security-get' | 'api-security-put'> {
  const show = async (_req: Request, res: Response, context: Context): Promise<void> => {
    const found = await deps.permissions.inForce(databaseOf(context), callerOf(context));
    refuseEnded(context);
    if (found === undefined) throw new NotFound('Database does not exist.');
    const headers = { ...revisionHeaders(found), ...prefixGrantsHeader(deps, found.permissions) };
    // Written past Couchgate, it may have megabytes.
    const json = await writeInPortions(shownForm(found.document));
    sendJsonText(res, 200, json, headers);
  };
  const replace = (req: Request, res: Response, context: Context): Promise<void> =>
    replaceSecurity(deps, req, res, context);
  return {
    'security-get': show,
    'api-security-get': show,
    'security-put': replace,
    'api-security-put': replace,
  };
}

/**
 * Says how many prefix grants add roles on the database. The document cannot name them: clients put it back.
 */
function prefixGrantsHeader(
  { prefixGrants }: SecurityDeps,
  { database, couchdbAuthOnly }: DatabasePermissions,
): Readonly<Record<string, string>> {
  const count = couchdbAuthOnly || !prefixGrants.isKnown ? 0 : prefixGrants.grantsOn(database).length;
  return count === 0 ? {} : { 'X-Couchgate-Prefix-Grants': String(count) };
}

/**
 * Reads and validates the whole body before it changes anything. The response is sent after every cache of
 * this replica has the change. It has `warnings` if the object has parts without effect: programs for CouchDB
 * set `members`, and would close the database without a sign.
 */
async function replaceSecurity(
  { bodies, permissions, log, requiresPrecondition, names, isStillAuthenticated }: SecurityDeps,
  req: Request,
  res: Response,
  context: Context,
): Promise<void> {
  const database = databaseOf(context);
  const { principal } = known(context.identified, 'identified');
  const { ifMatch, reason } = conditionsOf(req, context, requiresPrecondition);
  // Any Content-Type is accepted: CouchDB does not check it here, and `curl -d` sends a form type.
  const { request, refuseFor } = parseSecurityChange(
    await bodies.jsonObject(req, res, {
      limitBytes: SECURITY_LIMIT_BYTES,
      contentType: 'any',
      budget: 'parsed',
      exact: true,
      members: MAX_MEMBERS,
    }),
  );
  const edit: Edit = (inForce) => {
    refuseFor(shownForm(inForce));
    return request;
  };
  const change = await permissions.change(database, principal, edit, {
    via: 'api',
    ifMatch,
    reason,
    requestId: context.id,
    standing: standingOf(isStillAuthenticated, context),
  });
  context.outcome.change = describeChange(change);
  const withoutEffect = warningsOn(request);
  if (withoutEffect.length > 0)
    log.warn({ database, warnings: withoutEffect }, 'security object has parts without effect');
  const onNames = principal.kind === 'owner' ? await warningsOnNames(names, change.before, change.after) : [];
  const warnings = [...withoutEffect, ...onNames];
  const body = { ok: true, revision: change.revision, ...(warnings.length > 0 ? { warnings } : {}) };
  sendJson(res, 200, body, revisionHeaders(change));
}
