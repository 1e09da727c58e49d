// Collects and decodes a request's body, bounded: gzip, JSON and forms, each in one strict reading. What the fields mean is its readers' business.
import { type IncomingMessage } from 'node:http';
import { createGunzip } from 'node:zlib';
import { BadContentType, BadRequest, HttpError, TooLarge } from '../http-errors.ts';
import { type HoldBytes } from './budget.ts';

const INFLATED_AT_ONCE = 65_536;
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The body's bytes as they came. Throws TooLarge past the limit (at once where the head announces it), BadRequest when the client leaves
 * before the end: nothing of it is kept then. `hold` is told of every part before it is kept, and may answer with a refusal.
 */
export function readBytes(req: IncomingMessage, limitBytes: number, hold?: HoldBytes): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? '0') > limitBytes) return Promise.reject(new TooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const stop = (): void => {
      req.off('data', take).off('end', finish).off('close', fail).off('error', fail);
    };
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      const refusal = size > limitBytes ? new TooLarge() : hold?.(chunk.length);
      if (refusal === undefined) {
        chunks.push(chunk);
        return;
      }
      // Not drained: the answer closes the connection, so the sender cannot make us read for ever.
      stop();
      req.pause();
      reject(refusal);
    };
    const finish = (): void => {
      stop();
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size));
    };
    const fail = (): void => {
      stop();
      reject(new BadRequest('Request body was cut short'));
    };
    if (req.destroyed || req.readableEnded) fail();
    else req.on('data', take).on('end', finish).on('close', fail).on('error', fail);
  });
}

/**
 * What CouchDB will see in the body: it knows `gzip` and `identity`, in these spellings alone, and inflates every gzip member
 * (chttpd.erl, maybe_decompress; H10). The limit holds for the inflated size too, so a bomb ends early; `hold` is told of every part as in
 * readBytes: many small bodies that grow at once are a bomb, too (H15).
 */
export async function inflated(
  req: IncomingMessage,
  body: Buffer,
  limitBytes: number,
  hold?: HoldBytes,
): Promise<Buffer> {
  if (encodingOf(req) === 'identity') return body;
  const chunks: Buffer[] = [];
  let size = 0;
  const gunzip = createGunzip({ chunkSize: INFLATED_AT_ONCE });
  gunzip.end(body);
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      size += chunk.length;
      const refusal = size > limitBytes ? new TooLarge() : hold?.(chunk.length);
      if (refusal !== undefined) throw refusal;
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof HttpError ? error : new BadRequest('Request body is not properly gzipped.');
  }
  return Buffer.concat(chunks, size);
}

/** True when the head announces a body. RFC 9112 section 6.3: one of these two headers, or there is none. */
export function announcesBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? '0') !== 0;
}

/** The body's encoding; throws BadContentType for one that CouchDB does not know. */
export function encodingOf(req: IncomingMessage): 'gzip' | 'identity' {
  const encoding = req.headers['content-encoding'] ?? 'identity';
  if (encoding === 'gzip' || encoding === 'identity') return encoding;
  throw new BadContentType('Content-Encoding must be gzip or identity');
}

/** The media type in lower case without its parameters; undefined without a Content-Type. */
export function mediaTypeOf(req: IncomingMessage): string | undefined {
  const type = req.headers['content-type'];
  if (type === undefined) return undefined;
  const end = type.indexOf(';');
  return (end === -1 ? type : type.slice(0, end)).trim().toLowerCase();
}

/**
 * The fields of a form-encoded body in their order, repeated ones kept. Strict, unlike URLSearchParams alone, which turns bad bytes into
 * U+FFFD: two different names would then read as one. Throws BadRequest.
 */
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

/** Strict UTF-8 and strict JSON. A lone surrogate is refused as CouchDB refuses it: it cannot be written back as UTF-8. Throws BadRequest. */
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
