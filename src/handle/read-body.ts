// Reads the bounded body of a request that Couchgate itself answers, as JSON or as a form. What the fields mean is each handler's business.
import { type IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { contextOf, type Context } from '../context.ts';
import { BadContentType, BadRequest, TooLarge } from '../http-errors.ts';

const inflate = promisify(gunzip);
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export interface BodyRules {
  /** Largest body, before and after gunzip. */
  readonly limitBytes: number;
  /** `json` (default) demands `application/json`; `any` reads JSON whatever it is called, as CouchDB does for `PUT /{db}/_security`. */
  readonly contentType?: 'json' | 'any';
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** True when the head announces a body. RFC 9112 section 6.3: one of these two headers, or there is none. */
export function announcesBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? '0') !== 0;
}

/** The media type in lower case without its parameters; empty when the header is missing. */
export function mediaTypeOf(req: IncomingMessage): string {
  const value = req.headers['content-type'] ?? '';
  const end = value.indexOf(';');
  return (end === -1 ? value : value.slice(0, end)).trim().toLowerCase();
}

/**
 * The body's bytes, gunzipped where `Content-Encoding: gzip` says so.
 * Throws 413 past the limit (of the gunzipped size too: a bomb), 415 for another encoding, 400 for a bad gzip stream or a body cut short.
 */
export async function readBytes(req: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const encoding = (req.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding !== 'identity' && encoding !== 'gzip') {
    throw new BadContentType('Content-Encoding must be gzip or identity');
  }
  const bytes = bytesReadToDecide(req) ?? (await collect(req, limitBytes));
  if (encoding === 'identity' || bytes.length === 0) return bytes;
  try {
    return await inflate(bytes, { maxOutputLength: limitBytes });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new TooLarge();
    throw new BadRequest('Request body is not properly gzipped.');
  }
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
  const bytes = await readBytes(req, rules.limitBytes);
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

/** Strict, unlike URLSearchParams, which turns bad bytes into U+FFFD: two different names would then read as one. */
export function parseForm(bytes: Buffer): URLSearchParams {
  const fields = new URLSearchParams();
  try {
    for (const pair of strictUtf8.decode(bytes).split('&')) {
      if (pair === '') continue;
      const equals = pair.indexOf('=');
      const name = equals === -1 ? pair : pair.slice(0, equals);
      fields.append(unescapeField(name), unescapeField(equals === -1 ? '' : pair.slice(equals + 1)));
    }
  } catch {
    throw new BadRequest('Request body is not a valid UTF-8 form');
  }
  return fields;
}

/** Strict UTF-8 and strict JSON. A lone surrogate is refused as CouchDB refuses it: it cannot be written back as UTF-8. */
export function parseJson(bytes: Buffer): unknown {
  try {
    const text = strictUtf8.decode(bytes);
    return /\\u[dD][89a-fA-F]/.test(text) ? JSON.parse(text, refuseLoneSurrogate) : JSON.parse(text);
  } catch {
    throw new BadRequest('invalid UTF-8 JSON');
  }
}

function refuseLoneSurrogate(key: string, value: unknown): unknown {
  encodeURIComponent(key); // throws URIError for a lone surrogate
  if (typeof value === 'string') encodeURIComponent(value);
  return value;
}

function unescapeField(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}

/** What authorize has already read, where the body had a say in the decision. */
function bytesReadToDecide(req: IncomingMessage): Buffer | undefined {
  const context = contextOf(req) as Context | undefined;
  return context?.decision?.allow === true ? context.decision.body : undefined;
}

function collect(req: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (Number(req.headers['content-length'] ?? '0') > limitBytes) {
      reject(new TooLarge());
      return;
    }
    if (req.destroyed || req.readableEnded) {
      reject(new BadRequest('Request body was cut short'));
      return;
    }
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (): void => {
      req.off('data', take).off('end', finish).off('close', fail).off('error', fail);
    };
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      if (size <= limitBytes) {
        chunks.push(chunk);
        return;
      }
      // Not drained: the answer closes the connection, so the sender cannot make us read for ever.
      settle();
      req.pause();
      reject(new TooLarge());
    };
    const finish = (): void => {
      settle();
      resolve(Buffer.concat(chunks, size));
    };
    const fail = (): void => {
      settle();
      reject(new BadRequest('Request body was cut short'));
    };
    req.on('data', take).on('end', finish).on('close', fail).on('error', fail);
  });
}
