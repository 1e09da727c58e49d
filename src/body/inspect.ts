// Finds the kinds of document ids in a body, reading it as CouchDB's own JSON reader does (H10).
import { isUtf8 } from 'node:buffer';
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ORDINARY, type IdClass } from '../catalogue/document-id.ts';
import { BadContentType, BadRequest } from '../http-errors.ts';
import { mediaTypeOf } from './decode.ts';
import { DocumentIds, type IdPlace } from './document-ids.ts';
import { JsonScan } from './json-scan.ts';
import { type BodyReader } from './read.ts';

export interface InspectRules {
  /** Largest body, before and after gunzip. */
  readonly limitBytes: number;
  readonly place: IdPlace;
}

/** Bytes that are scanned before other requests have their turn. */
const PORTION_BYTES = 262_144;
/** An id that is not ordinary contains one of these: a prefix as it is, or an escape that can stand for one of its characters. */
const SUSPICIOUS = ['_design/', '_local/', '\\u', '\\/'];
const LONGEST = Math.max(...SUSPICIOUS.map(({ length }) => length));

/**
 * Reads the body and returns the kinds of ids that it writes. Throws BadContentType for what is not JSON, what
 * `BodyReader.read` throws, and BadRequest for what is not JSON or has an id that is no string.
 */
export async function inspectBody(
  bodies: BodyReader,
  req: IncomingMessage,
  res: ServerResponse,
  { limitBytes, place }: InspectRules,
): Promise<IdClass> {
  refuseOtherTypes(req);
  return idsIn(await bodies.read(req, res, { limitBytes }), place);
}

/**
 * The kinds of ids that the JSON writes. Strict as jiffy where an id may hide: no byte order mark, no invalid UTF-8,
 * nothing behind the value. A body without suspicious bytes is not checked: CouchDB refuses it if it is not JSON.
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
