// Finds the kinds of document ids in a request body, with the reading of CouchDB's JSON parser (H10).
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ORDINARY, type IdClass } from '../catalogue/document-id.ts';
import { BadContentType } from '../http-errors.ts';
import { mediaTypeOf } from './decode.ts';
import { DocumentIds, type IdPlace } from './document-ids.ts';
import { SCAN_PORTION_BYTES, scanInPortions } from '../json/portions.ts';
import { type BodyReader } from './read.ts';

export interface InspectRules {
  /** Largest body, before and after gunzip. */
  readonly limitBytes: number;
  readonly place: IdPlace;
}

/**
 * An id that is not ordinary contains one of these: a reserved prefix, or an escape for one of its
 * characters.
 */
const SUSPICIOUS = ['_design/', '_local/', '\\u', '\\/'];
const MAX_SUSPICIOUS_LENGTH = Math.max(...SUSPICIOUS.map(({ length }) => length));

/**
 * Reads the body and returns the kinds of ids that it writes. Throws BadContentType for a type other than
 * JSON, BadRequest for invalid JSON or an id that is not a string, and what `BodyReader.read` throws.
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
 * Returns the kinds of ids in the JSON. As strict as jiffy if an id may be hidden: no byte order mark, no
 * invalid UTF-8, nothing after the value. A body without suspicious bytes is not checked: CouchDB refuses it
 * if it is not JSON.
 */
export async function idsIn(json: Buffer, place: IdPlace): Promise<IdClass> {
  if (await hasOnlyOrdinaryIds(json)) return ORDINARY;
  const ids = new DocumentIds(json, place);
  await scanInPortions(json, ids);
  return ids.classes();
}

/** True if the JSON contains no suspicious bytes. */
async function hasOnlyOrdinaryIds(json: Buffer): Promise<boolean> {
  for (let at = 0; at < json.length; at += SCAN_PORTION_BYTES) {
    if (at > 0) await nextTurn();
    const portion = json.subarray(at, at + SCAN_PORTION_BYTES + MAX_SUSPICIOUS_LENGTH);
    if (SUSPICIOUS.some((text) => portion.includes(text))) return false;
  }
  return true;
}

/** CouchDB reads a body without a Content-Type as JSON (couch_httpd:validate_ctype). */
function refuseOtherTypes(req: IncomingMessage): void {
  const media = mediaTypeOf(req);
  if (media !== undefined && media !== 'application/json') throw new BadContentType();
}
