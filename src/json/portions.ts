// Builds the value of large JSON in portions, and writes it, so that it does not block the event loop (H20).
import { isUtf8 } from 'node:buffer';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BadRequest } from '../http-errors.ts';
import { ANSWER_LIMITS, BODY_LIMITS, JsonBuilder, type JsonLimits } from './builder.ts';
import { parseStored } from './parse.ts';
import { jsonPieces } from './pieces.ts';
import { type JsonListener, JsonScan } from './scan.ts';

/** JSON.parse stops every other request while it runs. */
export const AT_ONCE_BYTES = 262_144;
/** Bytes that are scanned before the event loop handles other requests. */
export const SCAN_PORTION_BYTES = 262_144;
/** As SCAN_PORTION_BYTES, where values are built or written, which takes longer. */
const VALUE_PORTION_BYTES = 65_536;

/**
 * As `parseJson`, in portions whatever the size. Pinned to it by test/property/built-json.test.ts. Throws
 * TooLarge for more values than the limits allow.
 */
export async function buildInPortions(
  bytes: Buffer,
  exact: boolean,
  limits: JsonLimits = BODY_LIMITS,
): Promise<unknown> {
  const builder = new JsonBuilder(bytes, exact, limits);
  await scanInPortions(bytes, builder, VALUE_PORTION_BYTES, limits.depth);
  return builder.result;
}

/**
 * Passes the JSON to a listener, so many bytes in one turn of the event loop. Throws BadRequest for what is
 * no JSON, and what the listener throws.
 */
export async function scanInPortions(
  json: Buffer,
  listener: JsonListener,
  portionBytes = SCAN_PORTION_BYTES,
  depth?: number,
): Promise<void> {
  if (!isUtf8(json)) throw new BadRequest('invalid UTF-8 JSON');
  const scan = new JsonScan(json, listener, depth);
  while (scan.read(portionBytes)) await nextTurn();
}

/**
 * The value of an answer of CouchDB, without the limits of what clients send; every number keeps its value.
 * Throws BadRequest for what is no JSON.
 */
export async function buildAnswer(bytes: Buffer): Promise<unknown> {
  if (bytes.length > AT_ONCE_BYTES) return await buildInPortions(bytes, true, ANSWER_LIMITS);
  return parseStored(bytes);
}

/** As `writeJson`, for a value that was parsed; lets other requests run after each portion. */
export async function writeInPortions(value: unknown): Promise<string> {
  let text = '';
  for (const piece of jsonPieces(value, VALUE_PORTION_BYTES)) {
    if (text !== '') await nextTurn();
    text += piece;
  }
  return text;
}
