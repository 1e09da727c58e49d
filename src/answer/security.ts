// Answers GET and PUT of the security object, under CouchDB's and Cloudant's paths.
import { type Request, type Response } from 'express';
import { type OperationalLog } from '../config/operational-log.ts';
import { callerOf, type Context, known } from '../context.ts';
import { NotFound } from '../http-errors.ts';
import { describeChange } from '../permissions/permission-change.ts';
import { shownForm } from '../permissions/security-document.ts';
import { parseSecurityPut, warningsOn } from '../permissions/security-request.ts';
import { type SecurityKeeper } from '../permissions/security-store.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';
import { type BodyReader } from '../body/read.ts';

export interface SecurityDeps {
  readonly bodies: BodyReader;
  readonly security: Pick<SecurityKeeper, 'documentOf' | 'change'>;
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
    const document = await deps.security.documentOf(databaseOf(context), callerOf(context));
    if (document === undefined) throw new NotFound('Database does not exist.');
    sendJson(res, 200, shownForm(document));
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
  // Any Content-Type is accepted: CouchDB does not check it here, and `curl -d` sends a form type.
  const request = parseSecurityPut(
    await bodies.jsonObject(req, res, {
      limitBytes: SECURITY_LIMIT_BYTES,
      contentType: 'any',
      budget: 'parsed',
      exact: true,
    }),
  );
  const change = await security.change(database, principal, () => request);
  context.outcome.change = describeChange(change);
  const warnings = warningsOn(request);
  if (warnings.length > 0) log.warn({ database, warnings }, 'security object has parts without effect');
  sendJson(res, 200, { ok: true, ...(warnings.length > 0 ? { warnings } : {}) });
}

function databaseOf(context: Context): string {
  return known(known(context.operation, 'operation').database, 'operation.database');
}
