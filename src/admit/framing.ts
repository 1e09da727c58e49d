// Refuses requests whose head can be read in two ways: repeated headers of which others may take another one than we do, and doubtful body lengths (H6, H15).
import { type RequestHandler } from 'express';
import { BadRequest, HttpError, TooLarge } from '../http-errors.ts';

export interface FramingLimits {
  /** Largest announced body. */
  readonly maxBodyBytes: number;
}

/**
 * Headers that may come once only: Node keeps the first or joins them, CouchDB joins them, so a second one is a second reading.
 * Their bits tell a repetition.
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

/** By length first: most headers are told apart from all of ONCE without a lower-case copy. */
const LENGTHS = new Uint8Array(64);
for (const name of ONCE.keys()) LENGTHS[name.length] = 1;

/**
 * Refuses with 400 a repeated header of ONCE, both Transfer-Encoding and Content-Length, any transfer coding but `chunked` (RFC 9112
 * sections 6.1 and 6.3); with 413 an announced body past the limit; with 417 an expectation other than `100-continue`. An `Upgrade` header is taken off: no protocol but HTTP/1.1 is spoken.
 */
export function refuseAmbiguousFraming(limits: FramingLimits): RequestHandler {
  return function refuseAmbiguousFramingStep(req, _res, next) {
    const seen = headersSeen(req.rawHeaders);
    if ((seen & TRANSFER_ENCODING) !== 0) {
      if ((seen & CONTENT_LENGTH) !== 0) {
        throw new BadRequest('Transfer-Encoding and Content-Length must not come together.');
      }
      if (req.headers['transfer-encoding']?.toLowerCase() !== 'chunked') {
        throw new BadRequest('Transfer-Encoding must be chunked.');
      }
    } else if ((seen & CONTENT_LENGTH) !== 0) {
      refuseLength(req.headers['content-length'] ?? '', limits);
    }
    const { expect } = req.headers;
    if (expect !== undefined && expect.toLowerCase() !== '100-continue')
      throw new HttpError(417, 'expectation_failed', 'Only Expect: 100-continue is understood');
    if (req.headers.upgrade !== undefined) delete req.headers.upgrade;
    next();
  };
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

/** Digits only: `+11` and `0x1` are lengths to some readers. */
function refuseLength(text: string, limits: FramingLimits): void {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 48 || code > 57) throw new BadRequest('Content-Length must be a number.');
  }
  if (text === '') throw new BadRequest('Content-Length must be a number.');
  if (Number(text) > limits.maxBodyBytes) throw new TooLarge();
}
