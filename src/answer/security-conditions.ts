// Reads what a change of permissions may carry: its condition (If-Match, `?rev=`) and its reason.
import { type IncomingMessage } from 'node:http';
import { type Context, known } from '../context.ts';
import { BadRequest, HttpError } from '../http-errors.ts';
import { MAX_REASON_LENGTH, type Precondition, type RevisionName } from '../permissions/change.ts';
import { preconditionOf, textOfRevision } from '../permissions/precondition.ts';

export interface ChangeConditions {
  readonly ifMatch: Precondition | undefined;
  readonly reason: string | undefined;
}

/**
 * Reads the condition and the reason of a change. Throws 400 for malformed ones, and 428 if a condition is
 * missing and the setting `security_write` requires one.
 */
export function conditionsOf(
  req: Pick<IncomingMessage, 'headers'>,
  context: Context,
  requiresPrecondition: boolean,
): ChangeConditions {
  const ifMatch = preconditionOf(req.headers['if-match'], revIn(context));
  if (ifMatch === undefined && requiresPrecondition)
    throw new HttpError(
      428,
      'precondition_required',
      'Send If-Match with the ETag of the security object, or `?rev=` with its X-Couchgate-Revision.',
    );
  return { ifMatch, reason: reasonOf(req.headers['x-couchgate-reason']) };
}

/** The name of a state, twice: proxies weaken or remove ETag when they compress. */
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
function reasonOf(header: string | readonly string[] | undefined): string | undefined {
  if (typeof header !== 'string' || header === '') return undefined;
  // Node reads header bytes as Latin-1; clients send UTF-8.
  const reason = Buffer.from(header, 'latin1').toString('utf8');
  if (reason.length > MAX_REASON_LENGTH)
    throw new BadRequest(`X-Couchgate-Reason must have at most ${MAX_REASON_LENGTH} characters`);
  return reason;
}
