// Reads request bodies: limits their size, decompresses gzip and parses JSON.
import { type IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { parseJson as parseStrictly } from '../json/parse.ts';
import { BadContentType, BadRequest, TooLarge } from '../http-errors.ts';
import { isObject, type Json } from './json.ts';

const MAX_BODY_BYTES = 64 * 1024 * 1024;
/**
 * PouchDB recurses into documents. Deeper JSON would overflow the stack in a callback, where nothing catches.
 */
const MAX_JSON_DEPTH = 200;
const unzip = promisify(gunzip);

/**
 * The whole body, decompressed if Content-Encoding is gzip. Throws 413 above `limit` bytes (compressed or
 * decompressed), 415 for other encodings, 400 for invalid gzip.
 */
export async function readBody(req: IncomingMessage, limit = MAX_BODY_BYTES): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > limit) throw new TooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw new TooLarge();
    chunks.push(chunk);
  }
  const raw = Buffer.concat(chunks, size);
  const encoding = req.headers['content-encoding'] ?? 'identity';
  if (encoding === 'identity') return raw;
  if (encoding !== 'gzip') throw new BadContentType(`${encoding} is not a supported content encoding.`);
  return unzipWithin(raw, limit);
}

async function unzipWithin(raw: Buffer, limit: number): Promise<Buffer> {
  try {
    return await unzip(raw, { maxOutputLength: limit });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new TooLarge();
    throw new BadRequest('Invalid gzip body');
  }
}

/**
 * The body as any JSON value. CouchDB requires the JSON content type on POST only. With `exact`, a number
 * that a double does not hold is an `ExactNumber`. Throws 400, 413 or 415.
 */
export async function readJson(
  req: IncomingMessage,
  contentType: 'required' | 'any',
  exact = false,
): Promise<unknown> {
  if (contentType === 'required') requireJsonType(req);
  const body = await readBody(req);
  if (body.length === 0) throw new BadRequest('invalid UTF-8 JSON');
  return parseJson(body, exact);
}

/** The body as a JSON object. Throws CouchDB's 400 for another JSON value, and as `readJson` does. */
export async function readJsonObject(
  req: IncomingMessage,
  contentType: 'required' | 'any',
  exact = false,
): Promise<Json> {
  const value = await readJson(req, contentType, exact);
  if (!isObject(value)) throw new BadRequest('Request body must be a JSON object');
  return value;
}

/** Throws CouchDB's 415 if Content-Type is not `application/json`, in lower case as CouchDB compares it. */
export function requireJsonType(req: IncomingMessage): void {
  const [type = ''] = (req.headers['content-type'] ?? '').split(';', 1);
  if (type.trim() !== 'application/json') throw new BadContentType();
}

/** The content type in lower case, without parameters; empty if there is none. */
export function mediaType(req: IncomingMessage): string {
  return (req.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

/** Parses bytes as JSON. Throws CouchDB's 400 for invalid UTF-8 or JSON, and 400 above 200 nested levels. */
export function parseJson(bytes: Buffer, exact = false): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (depthOf(text) > MAX_JSON_DEPTH) throw new BadRequest('JSON is nested too deeply');
    if (exact) return parseStrictly(bytes, true);
    return MAY_OVERFLOW.test(text) ? JSON.parse(text, refuseInfinity) : JSON.parse(text);
  } catch (error) {
    if (error instanceof BadRequest) throw error;
    throw new BadRequest('invalid UTF-8 JSON');
  }
}

/** Matches every text that has a number beyond the range of a double. */
const MAY_OVERFLOW = /[0-9][eE]\+?[0-9]{3}|[0-9]{200}/u;

/** PouchDB stores doubles, and would store null for a number beyond their range. */
function refuseInfinity(_key: string, value: unknown): unknown {
  if (value === Infinity || value === -Infinity) throw new BadRequest('invalid UTF-8 JSON');
  return value;
}

/** Deepest nesting of brackets in a JSON text. It reads the text before JSON.parse, and skips strings. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inText = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (inText) {
      if (c === 0x5c) i += 1;
      else if (c === 0x22) inText = false;
    } else if (c === 0x22) inText = true;
    else if (c === 0x5b || c === 0x7b) deepest = Math.max(deepest, (depth += 1));
    else if (c === 0x5d || c === 0x7d) depth -= 1;
  }
  return deepest;
}
