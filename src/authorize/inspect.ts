// Finds the kinds of document ids in a body, reading it as CouchDB's own JSON reader does (H10). What follows from them is decide.ts's business.
import { type IncomingMessage } from 'node:http';
import { classOfId, ORDINARY, type IdClass } from '../endpoints/document-id.ts';
import { BadContentType, BadRequest } from '../http-errors.ts';
import { type HoldBytes } from '../endpoints/body-budget.ts';
import { encodingOf, inflated, mediaTypeOf, readBytes } from '../endpoints/request-body.ts';

/** Where the ids stand: the `_id` of one document, or of every member of `docs`. */
export type IdPlace = 'document-id' | 'bulk-ids';

export interface Inspected {
  /** The bytes as they came: exactly these are forwarded. */
  readonly body: Buffer;
  readonly ids: IdClass;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads the body and says which kinds of ids it writes. Throws BadContentType for what is not JSON or not gzip, TooLarge past
 * `limitBytes` before or after gunzip, Unavailable when `hold` has no room, BadRequest for what is no JSON or names no id that can be read.
 */
export async function inspectBody(
  req: IncomingMessage,
  limitBytes: number,
  place: IdPlace,
  hold: HoldBytes,
): Promise<Inspected> {
  refuseOtherTypes(req);
  encodingOf(req);
  const body = await readBytes(req, limitBytes, hold);
  const json = await inflated(req, body, limitBytes);
  const refusal = json === body ? undefined : hold(json.length);
  if (refusal !== undefined) throw refusal;
  return { body, ids: idsIn(json, place) };
}

/** The kinds of ids that the JSON writes. */
export function idsIn(json: Buffer, place: IdPlace): IdClass {
  if (isSurelyOrdinary(json)) return ORDINARY;
  const value = parsed(json);
  return place === 'document-id' ? idOf(value) : idsOfDocs(value);
}

/**
 * True when no id can be other than ordinary: a prefix is neither there as it is nor behind an escape. Of JSON's escapes only `\u` and `\/`
 * can stand for one of its characters. Whether the rest is JSON at all is then CouchDB's business.
 */
function isSurelyOrdinary(json: Buffer): boolean {
  return !(
    json.includes('_design/') ||
    json.includes('_local/') ||
    json.includes('\\u') ||
    json.includes('\\/')
  );
}

/** Strict as jiffy: no byte order mark, no invalid UTF-8, nothing behind the value; the last of duplicate keys counts. */
function parsed(json: Buffer): unknown {
  try {
    return JSON.parse(strictUtf8.decode(json));
  } catch {
    throw new BadRequest('invalid UTF-8 JSON');
  }
}

function idOf(document: unknown): IdClass {
  if (!isObject(document)) throw new BadRequest('Document must be a JSON object');
  if (!Object.hasOwn(document, '_id')) return ORDINARY;
  const id = document['_id'];
  if (typeof id !== 'string') throw new BadRequest('Document id must be a string', 'illegal_docid');
  return classOfId(id);
}

function idsOfDocs(value: unknown): IdClass {
  if (!isObject(value)) throw new BadRequest('Request body must be a JSON object');
  const docs = Object.hasOwn(value, 'docs') ? value['docs'] : undefined;
  if (!Array.isArray(docs)) throw new BadRequest('`docs` parameter must be an array.');
  let ids: IdClass = 0;
  for (const document of docs) ids |= idOf(document);
  return ids;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** CouchDB takes a body without a Content-Type as JSON (couch_httpd:validate_ctype). */
function refuseOtherTypes(req: IncomingMessage): void {
  const media = mediaTypeOf(req);
  if (media !== undefined && media !== 'application/json') throw new BadContentType();
}
