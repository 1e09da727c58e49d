// Answers GET and PUT of the security object, under CouchDB's and Cloudant's paths.
import { type Request, type Response } from 'express';
import { type OperationalLog } from '../config/operational-log.ts';
import { callerOf, type Context, known } from '../context.ts';
import { BadRequest, NotFound } from '../http-errors.ts';
import { describeChange } from '../permissions/permission-change.ts';
import {
  MAX_REASON_LENGTH,
  type PermissionKeeper,
  type RevisionName,
} from '../permissions/permission-keeper.ts';
import { preconditionOf, textOfRevision } from '../permissions/precondition.ts';
import { shownForm } from '../permissions/security-document.ts';
import { parseSecurityPut, warningsOn } from '../permissions/security-request.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';
import { type BodyReader } from '../body/read.ts';

export interface SecurityDeps {
  readonly bodies: BodyReader;
  readonly security: Pick<PermissionKeeper, 'inForce' | 'change'>;
  readonly log: OperationalLog;
}

/** Enough for 40 000 names. */
export const SECURITY_LIMIT_BYTES = 2_097_152;

/**
 * Creates the handlers. `/{db}/_security` and `/_api/v2/db/{db}/_security` are the same document.
 * Source: IBM Cloudant, "Authorization".
 */
export function securityHandlers(
  deps: SecurityDeps,
): Pick<Answers, 'security-get' | 'security-put' | 'api-security-get' | 'api-security-put'> {
  const show = async (_req: Request, res: Response, context: Context): Promise<void> => {
    const found = await deps.security.inForce(databaseOf(context), callerOf(context));
    if (found === undefined) throw new NotFound('Database does not exist.');
    sendJson(res, 200, shownForm(found.document), revisionHeaders(found));
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
 * Reads and validates the whole body before it changes anything. The response is sent after every cache of
 * this replica has the change. It has `warnings` if the object has parts without effect: programs for CouchDB
 * set `members`, and would close the database without a sign.
 */
async function replaceSecurity(
  { bodies, security, log }: SecurityDeps,
  req: Request,
  res: Response,
  context: Context,
): Promise<void> {
  const database = databaseOf(context);
  const { principal } = known(context.identified, 'identified');
  const ifMatch = preconditionOf(req.headers['if-match'], revIn(context));
  const reason = reasonOf(req.headers['x-couchgate-reason']);
  // Any Content-Type is accepted: CouchDB does not check it here, and `curl -d` sends a form type.
  const request = parseSecurityPut(
    await bodies.jsonObject(req, res, {
      limitBytes: SECURITY_LIMIT_BYTES,
      contentType: 'any',
      budget: 'parsed',
      exact: true,
    }),
  );
  const change = await security.change(database, principal, () => request, {
    via: 'api',
    ifMatch,
    reason,
    requestId: context.id,
  });
  context.outcome.change = describeChange(change);
  const warnings = warningsOn(request);
  if (warnings.length > 0) log.warn({ database, warnings }, 'security object has parts without effect');
  const body = { ok: true, revision: change.revision, ...(warnings.length > 0 ? { warnings } : {}) };
  sendJson(res, 200, body, revisionHeaders(change));
}

/**
 * The name of the state, twice: proxies weaken or remove ETag when they compress.
 */
export function revisionHeaders(name: RevisionName): Readonly<Record<string, string>> {
  const text = textOfRevision(name);
  return { ETag: `"${text}"`, 'X-Couchgate-Revision': text };
}

/** The parameter `rev`. Throws 400 if it is given twice: two readers could choose different ones. */
function revIn(context: Context): string | null {
  const [rev = null, second] = new URLSearchParams(known(context.target, 'target').query).getAll('rev');
  if (second !== undefined) throw new BadRequest('`rev` must be given once');
  return rev;
}

/** The words of the caller for the history. Throws 400 if they are too long. */
export function reasonOf(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined || typeof header !== 'string') return undefined;
  // Node reads header bytes as Latin-1; clients send UTF-8.
  const reason = Buffer.from(header, 'latin1').toString('utf8');
  if (reason.length > MAX_REASON_LENGTH)
    throw new BadRequest(`X-Couchgate-Reason must have at most ${MAX_REASON_LENGTH} characters`);
  return reason;
}

function databaseOf(context: Context): string {
  return known(known(context.operation, 'operation').database, 'operation.database');
}
