// Refuses ambiguous request heads: repeated headers, and unclear body lengths (H6, H15).
import { type RequestHandler } from 'express';
import { BadRequest, HttpError, TooLarge } from '../http-errors.ts';

export interface FramingLimits {
  /** Largest announced body in bytes. */
  readonly maxBodyBytes: number;
}

/**
 * Headers that must not be repeated, as bits. Node keeps the first value or joins all, CouchDB joins all, so
 * the two would disagree.
 */
const ONCE: ReadonlyMap<string, number> = new Map(
  [
    'content-length',
    'transfer-encoding',
    'host',
    'destination',
    'authorization',
    'content-type',
    'content-encoding',
  ].map((name, index) => [name, 1 << index]),
);
const CONTENT_LENGTH = ONCE.get('content-length') ?? 0;
const TRANSFER_ENCODING = ONCE.get('transfer-encoding') ?? 0;

/** Lengths of these names: a quick filter, so that most headers need no lower-case copy. */
const LENGTHS = new Uint8Array(64);
for (const name of ONCE.keys()) LENGTHS[name.length] = 1;

/**
 * Makes the step that refuses ambiguous framing:
 * 400 for a repeated header of ONCE, for Transfer-Encoding with Content-Length or with HTTP/1.0, and for a
 * transfer coding other than `chunked` (RFC 9112 sections 6.1 and 6.3);
 * 400 for X-HTTP-Method-Override with another method, and for a PUT with Content-Range, which CouchDB would
 * store as the whole (RFC 9110 section 14.5);
 * 413 for an announced body above the limit; 417 for an expectation other than `100-continue`.
 * It removes an `Upgrade` header, because Couchgate supports HTTP/1.1 only.
 */
export function refuseAmbiguousFraming(limits: FramingLimits): RequestHandler {
  return function refuseAmbiguousFramingStep(req, _res, next) {
    const seen = headersSeen(req.rawHeaders);
    if ((seen & TRANSFER_ENCODING) !== 0) {
      if ((seen & CONTENT_LENGTH) !== 0) {
        throw new BadRequest('Transfer-Encoding and Content-Length must not be combined.');
      }
      if (req.httpVersionMinor === 0) throw new BadRequest('HTTP/1.0 has no Transfer-Encoding.');
      if (req.headers['transfer-encoding']?.toLowerCase() !== 'chunked') {
        throw new BadRequest('Transfer-Encoding must be chunked.');
      }
    } else if ((seen & CONTENT_LENGTH) !== 0) {
      refuseLength(req.headers['content-length'] ?? '', limits);
    }
    const { expect } = req.headers;
    if (expect !== undefined && expect.toLowerCase() !== '100-continue')
      throw new HttpError(417, 'expectation_failed', 'Only Expect: 100-continue is supported');
    refuseOtherMethod(req.method, req.headers['x-http-method-override']);
    if (req.method === 'PUT' && req.headers['content-range'] !== undefined)
      throw new BadRequest('Content-Range is not supported; send the whole body.');
    if (req.headers.upgrade !== undefined) delete req.headers.upgrade;
    next();
  };
}

/**
 * CouchDB lets this header replace the method of a POST. If Couchgate dropped it, a read would become a write
 * (H6). It may repeat the method of the request.
 */
function refuseOtherMethod(method: string | undefined, override: string | string[] | undefined): void {
  if (override !== undefined && override !== method)
    throw new BadRequest('X-HTTP-Method-Override is not supported; send the method itself.');
}

function headersSeen(rawHeaders: readonly string[]): number {
  let seen = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (LENGTHS[name.length] !== 1) continue;
    const bit = ONCE.get(name) ?? ONCE.get(name.toLowerCase());
    if (bit === undefined) continue;
    if ((seen & bit) !== 0) throw new BadRequest(`The header ${name.toLowerCase()} must not be repeated.`);
    seen |= bit;
  }
  return seen;
}

/** Only digits are allowed: some parsers accept `+11` and `0x1`. */
function refuseLength(text: string, limits: FramingLimits): void {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 48 || code > 57) throw new BadRequest('Content-Length must be a number.');
  }
  if (text === '') throw new BadRequest('Content-Length must be a number.');
  if (Number(text) > limits.maxBodyBytes) throw new TooLarge();
}
