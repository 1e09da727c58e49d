// Decides which headers CouchDB gets: an allow-list, so that nothing a client invents reaches it (H6). Whose token goes along is identity.ts's business.
import { type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { type Context, known } from '../context.ts';
import { BadRequest } from '../http-errors.ts';

/**
 * Headers that CouchDB may read from a client. They are taken from Node's one reading of the request, the same that the steps before
 * judged: of a repeated Content-Type the first, of a repeated Accept all. Absent on purpose: Authorization, Cookie, X-Auth-CouchDB-*,
 * X-HTTP-Method-Override, X-CouchDB-*, Forwarded and X-Forwarded-*, Origin, Expect, Upgrade, TE, Trailer, Host. Pinned by
 * test/hostile/h06-request-headers.test.ts.
 */
const PASSED = [
  'accept',
  'accept-encoding',
  'accept-language',
  'content-md5',
  'content-type',
  'if-match',
  'if-none-match',
  'last-event-id',
  'prefer',
  'range',
  'referer',
  'user-agent',
  'x-couch-full-commit',
  'x-couch-persist',
] as const;

const PASSED_NAMES: ReadonlySet<string> = new Set([
  ...PASSED,
  'content-encoding',
  'content-length',
  'transfer-encoding',
]);

/** What is sent as the request's body. */
export type RequestBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  /** `chunked` where the client did not say the length; the chunks are made anew, never copied (H15). */
  | { readonly kind: 'stream'; readonly length: string | undefined };

const NO_BODY: RequestBody = Object.freeze({ kind: 'none' });

/** The body of a request: the decoded bytes that were read, or the client's stream. */
export function bodyOf(headers: IncomingHttpHeaders, read: Buffer | undefined): RequestBody {
  if (read !== undefined) return { kind: 'bytes', bytes: read };
  if (headers['transfer-encoding'] !== undefined) return { kind: 'stream', length: undefined };
  const length = headers['content-length'];
  return length === undefined || Number(length) === 0 ? NO_BODY : { kind: 'stream', length };
}

/**
 * Headers for CouchDB, names in lower case, but for Host and Authorization, which belong to the attempt.
 * `encoding` is the Content-Encoding of an attachment; no other body has one (H20).
 * Throws BadRequest when `Connection` names a header of the list: taken literally, CouchDB would read another request than was judged.
 */
export function requestHeaders(
  headers: IncomingHttpHeaders,
  body: RequestBody,
  encoding: string | undefined,
  context: Context,
): OutgoingHttpHeaders {
  const { connection } = headers;
  if (connection !== undefined && connection !== 'keep-alive' && connection !== 'close')
    refuseListed(connection);
  const passed: Record<string, string | string[] | number> = {};
  for (const name of PASSED) {
    const value = headers[name];
    if (value !== undefined) passed[name] = value;
  }
  if (encoding !== undefined) passed['content-encoding'] = encoding;
  if (body.kind === 'bytes') passed['content-length'] = body.bytes.length;
  else if (body.kind === 'stream') {
    if (body.length === undefined) passed['transfer-encoding'] = 'chunked';
    else passed['content-length'] = body.length;
  }
  // One element, ours: CouchDB takes the last one for the peer, in its log and in its lockout (H12).
  passed['x-forwarded-for'] = known(context.client, 'client').ip;
  passed['x-couch-request-id'] = context.id;
  const { destination } = context;
  if (destination !== undefined) passed['destination'] = destination.header;
  return passed;
}

function refuseListed(connection: string): void {
  for (const option of connection.split(',')) {
    const name = option.trim().toLowerCase();
    if (PASSED_NAMES.has(name)) throw new BadRequest(`Connection must not name ${name}`);
  }
}

/**
 * The Referer for a form upload. CouchDB takes one only if Referer and Host agree, against forged forms on other sites (H10); it sees
 * our Host, so the comparison is made here, with the client's. Undefined = they disagree, and CouchDB refuses what has none.
 */
export function refererForForm(headers: IncomingHttpHeaders, nodeHost: string): string | undefined {
  const { referer, host } = headers;
  if (referer === undefined || host === undefined || !URL.canParse(referer)) return undefined;
  return new URL(referer).host === host.toLowerCase() ? `http://${nodeHost}/` : undefined;
}

/** True for the one kind of body on which CouchDB looks at Referer. */
export function isForm(headers: IncomingHttpHeaders): boolean {
  return headers['content-type']?.toLowerCase().startsWith('multipart/form-data') === true;
}
