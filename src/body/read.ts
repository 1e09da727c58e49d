// Reads the bounded body of a request that Couchgate itself answers, as a JSON object or as a form. Collecting and decoding its bytes is
// request-body.ts's business, what the fields mean each handler's.
import { type IncomingMessage } from 'node:http';
import { type HoldBytes } from './budget.ts';
import {
  announcesBody,
  encodingOf,
  inflated,
  mediaTypeOf,
  parseForm,
  parseJson,
  readBytes as collect,
} from './decode.ts';
import { BadContentType, BadRequest } from '../http-errors.ts';

export { announcesBody, mediaTypeOf, parseForm, parseJson };

export interface BodyRules {
  /** Largest body, before and after gunzip. */
  readonly limitBytes: number;
  /** `json` (default) demands `application/json`; `any` reads JSON whatever it is called, as CouchDB does for `PUT /{db}/_security`. */
  readonly contentType?: 'json' | 'any';
  /** Counts what is kept; for bodies so large that many of them would be too much. */
  readonly hold?: HoldBytes;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The body's bytes, gunzipped where `Content-Encoding: gzip` says so.
 * Throws 413 past the limit (of the gunzipped size too: a bomb), 415 for another encoding, 400 for a bad gzip stream or a body cut short,
 * 503 where `hold` has no room.
 */
export async function readBytes(req: IncomingMessage, limitBytes: number, hold?: HoldBytes): Promise<Buffer> {
  encodingOf(req);
  const bytes = await collect(req, limitBytes, hold);
  return bytes.length === 0 ? bytes : inflated(req, bytes, limitBytes, hold);
}

/** A JSON object from the body; CouchDB's own sentences for what is not one. */
export async function readJsonObject(req: IncomingMessage, rules: BodyRules): Promise<JsonObject> {
  const object = await readOptionalJsonObject(req, rules);
  if (object === undefined) throw new BadRequest('Missing request body');
  return object;
}

/** As readJsonObject, but `undefined` for a request without a body, whatever its Content-Type says. */
export async function readOptionalJsonObject(
  req: IncomingMessage,
  rules: BodyRules,
): Promise<JsonObject | undefined> {
  if (!announcesBody(req)) return undefined;
  if (rules.contentType !== 'any' && mediaTypeOf(req) !== 'application/json') throw new BadContentType();
  const bytes = await readBytes(req, rules.limitBytes, rules.hold);
  if (bytes.length === 0) return undefined;
  const value = parseJson(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BadRequest('Request body must be a JSON object');
  }
  return value as JsonObject;
}

/** The fields of a form-encoded body in their order, repeated ones kept. Throws 415, 413, and 400 for what is not UTF-8. */
export async function readForm(req: IncomingMessage, limitBytes: number): Promise<URLSearchParams> {
  if (mediaTypeOf(req) !== 'application/x-www-form-urlencoded') {
    throw new BadContentType('Content-Type must be application/x-www-form-urlencoded');
  }
  return parseForm(await readBytes(req, limitBytes));
}
