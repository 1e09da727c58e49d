// Decides which headers CouchDB gets: an allow-list, so that no other client header reaches it (H6).
import { type IncomingHttpHeaders } from 'node:http';
import { PASSED_HEADERS } from '../catalogue/request-headers.ts';
import { type Context, known } from '../context.ts';
import { BadRequest, HeaderTooLong } from '../http-errors.ts';

/** Headers whose loss would change what was decided; `Connection` must not name them. */
const KEPT_NAMES: ReadonlySet<string> = new Set([
  ...PASSED_HEADERS,
  'content-encoding',
  'content-length',
  'transfer-encoding',
]);

/**
 * CouchDB answers a header line of more than 8,191 bytes with an empty 400: the receive buffer of mochiweb
 * holds name, `: `, value and line end. Pinned by test/integration/limits.test.ts.
 */
export const MAX_HEADER_LENGTH = 8191 - ': \r\n'.length;

/** The type of a body that a guard has written: CouchDB must not choose its reading by the client's type. */
export const GUARDED_TYPE = 'application/json';

/** Headers for CouchDB, by their names in lower case. */
export type CouchHeaders = Record<string, string | string[]>;

/** The body of the request to CouchDB. */
export type RequestBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  /** Without `length` the body is chunked. The client's chunk framing is not copied (H15). */
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
 * Returns the headers for CouchDB, with lower-case names, without Host and Authorization, which depend on the
 * attempt. Values come from Node's parsed headers, which the earlier steps used too: the first of a repeated
 * Content-Type, all of a repeated Accept. Throws HeaderTooLong for a line that CouchDB cannot read, and
 * BadRequest if `Connection` names an allowed header: a proxy that obeys it removes that header, and
 * CouchDB would get another request than was authorized.
 */
export function requestHeaders(
  headers: IncomingHttpHeaders,
  body: RequestBody,
  encoding: string | undefined,
  context: Context,
): CouchHeaders {
  const { connection } = headers;
  if (connection !== undefined && connection !== 'keep-alive' && connection !== 'close')
    refuseNamedHeaders(connection);
  const passed: CouchHeaders = {};
  for (const name of PASSED_HEADERS) {
    const value = headers[name];
    if (value === undefined) continue;
    if (name.length + value.length > MAX_HEADER_LENGTH) throw new HeaderTooLong(name);
    passed[name] = value;
  }
  if (context.guardedBody !== undefined) passed['content-type'] = GUARDED_TYPE;
  if (encoding !== undefined) passed['content-encoding'] = encoding;
  if (body.kind === 'bytes') passed['content-length'] = String(body.bytes.length);
  else if (body.kind === 'stream') {
    if (body.length === undefined) passed['transfer-encoding'] = 'chunked';
    else passed['content-length'] = body.length;
  }
  // One address only: CouchDB uses the last one as peer address in its log and its lockout (H12).
  passed['x-forwarded-for'] = known(context.client, 'client').ip;
  passed['x-couch-request-id'] = context.id;
  const { destination } = context;
  if (destination !== undefined) {
    const { header } = destination;
    if ('destination'.length + header.length > MAX_HEADER_LENGTH) throw new HeaderTooLong('destination');
    passed['destination'] = header;
  }
  return passed;
}

function refuseNamedHeaders(connection: string): void {
  for (const option of connection.split(',')) {
    const name = option.trim().toLowerCase();
    if (KEPT_NAMES.has(name)) throw new BadRequest(`Connection must not name ${name}`);
  }
}

/**
 * The Referer for a form upload, or undefined if it does not match Host. CouchDB requires that Referer and
 * Host agree, against cross-site request forgery (H10). It gets our Host, so the client's Host is compared
 * here. CouchDB refuses an upload without Referer.
 */
export function refererForForm(headers: IncomingHttpHeaders, sentHost: string): string | undefined {
  const { referer, host } = headers;
  if (referer === undefined || host === undefined || !URL.canParse(referer)) return undefined;
  return new URL(referer).host === host.toLowerCase() ? `http://${sentHost}/` : undefined;
}

/** True for form uploads: CouchDB checks Referer for this type only. */
export function isFormUpload(headers: IncomingHttpHeaders): boolean {
  return headers['content-type']?.toLowerCase().startsWith('multipart/form-data') === true;
}
