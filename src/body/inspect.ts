// Finds the kinds of document ids in a body, reading it as CouchDB's own JSON reader does (H10). What follows from them is decide.ts's business.
import { isUtf8 } from 'node:buffer';
import { type IncomingMessage } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type HoldBytes } from './budget.ts';
import { ORDINARY, type IdClass } from '../catalogue/document-id.ts';
import { encodingOf, inflated, mediaTypeOf, readBytes } from './decode.ts';
import { BadContentType, BadRequest } from '../http-errors.ts';
import { DocumentIds, type IdPlace } from './document-ids.ts';
import { JsonScan } from './json-scan.ts';

export interface Inspected {
  /** The bytes as they came: exactly these are forwarded. */
  readonly body: Buffer;
  readonly ids: IdClass;
}

/** So much is read before other requests have their turn. */
const PORTION_BYTES = 262_144;
/** What an id can be other than ordinary by: a prefix as it is, or an escape that can stand for one of its characters. Of JSON's only these can. */
const SUSPICIOUS = ['_design/', '_local/', '\\u', '\\/'];
const LONGEST = Math.max(...SUSPICIOUS.map(({ length }) => length));

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
  return { body, ids: await idsIn(await inflated(req, body, limitBytes, hold), place) };
}

/**
 * The kinds of ids that the JSON writes. Strict as jiffy where an id may hide: no byte order mark, no invalid UTF-8, nothing behind the value.
 * Whether other bodies are JSON at all is CouchDB's business.
 */
export async function idsIn(json: Buffer, place: IdPlace): Promise<IdClass> {
  if (await isSurelyOrdinary(json)) return ORDINARY;
  if (!isUtf8(json)) throw new BadRequest('invalid UTF-8 JSON');
  const ids = new DocumentIds(json, place);
  const scan = new JsonScan(json, ids);
  while (scan.read(PORTION_BYTES)) await nextTurn();
  return ids.classes();
}

/** True when nothing in it is suspicious. */
async function isSurelyOrdinary(json: Buffer): Promise<boolean> {
  for (let at = 0; at < json.length; at += PORTION_BYTES) {
    if (at > 0) await nextTurn();
    const portion = json.subarray(at, at + PORTION_BYTES + LONGEST);
    if (SUSPICIOUS.some((text) => portion.includes(text))) return false;
  }
  return true;
}

/** CouchDB takes a body without a Content-Type as JSON (couch_httpd:validate_ctype). */
function refuseOtherTypes(req: IncomingMessage): void {
  const media = mediaTypeOf(req);
  if (media !== undefined && media !== 'application/json') throw new BadContentType();
}
