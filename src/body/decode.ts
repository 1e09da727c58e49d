// Reads the headers that describe the body of a request, and decodes gzip within a limit.
import { type IncomingMessage } from 'node:http';
import { createGunzip } from 'node:zlib';
import { BadContentType, BadRequest, HttpError, TooLarge } from '../http-errors.ts';
import { type Reserve } from './budget.ts';

const GUNZIP_CHUNK_BYTES = 65_536;
/** Usual JSON compresses to a tenth. A decompression bomb of 60 KiB would expand to 64 MiB. */
const INFLATED_BYTES = 16_777_216;
const INFLATED_PER_BYTE = 8;

/** Returns the largest decoded size of a gzip body of so many bytes (H20). */
export function inflatedLimit(receivedBytes: number): number {
  return INFLATED_BYTES + INFLATED_PER_BYTE * receivedBytes;
}

/** True when the head announces a body. RFC 9112 section 6.3: one of these two headers, or there is none. */
export function announcesBody(req: Pick<IncomingMessage, 'headers'>): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? '0') !== 0;
}

/**
 * The encoding of the body. Throws BadContentType for an encoding that CouchDB does not accept: it accepts
 * only `gzip` and `identity`, in lower case (chttpd.erl, maybe_decompress; H10).
 */
export function encodingOf(req: IncomingMessage): 'gzip' | 'identity' {
  const encoding = req.headers['content-encoding'] ?? 'identity';
  if (encoding === 'gzip' || encoding === 'identity') return encoding;
  throw new BadContentType('Content-Encoding must be gzip or identity');
}

/** True for a body with a Content-Encoding that changes its bytes. */
export function isEncoded(req: Pick<IncomingMessage, 'headers'>): boolean {
  return announcesBody(req) && (req.headers['content-encoding'] ?? 'identity') !== 'identity';
}

/** True for the kinds of body that CouchDB reads part by part. */
export function isMultipart(req: Pick<IncomingMessage, 'headers'>): boolean {
  return req.headers['content-type']?.toLowerCase().startsWith('multipart/') === true;
}

/** The refusal of a multipart body with a Content-Encoding: its parts have encodings of their own. */
export function encodedMultipart(): BadContentType {
  return new BadContentType('A multipart body must not have a Content-Encoding');
}

/**
 * True if the body of a document is read as JSON. For PUT, CouchDB checks no type and only reads
 * `multipart/related` in another way (chttpd_db.erl, db_doc_req); `curl -d` sends a form type. A form of
 * another site cannot send a PUT, but it can send a POST of other types (H22).
 */
export function isReadAsJson(req: Pick<IncomingMessage, 'headers' | 'method'>): boolean {
  return req.method === 'PUT' ? !isMultipart(req) : mediaTypeOf(req) === 'application/json';
}

/** The media type in lower case without its parameters; undefined without a Content-Type. */
export function mediaTypeOf(req: Pick<IncomingMessage, 'headers'>): string | undefined {
  const type = req.headers['content-type'];
  if (type === undefined) return undefined;
  const end = type.indexOf(';');
  return (end === -1 ? type : type.slice(0, end)).trim().toLowerCase();
}

/**
 * Decodes all members of a gzip body, as CouchDB does (H10). Throws BadRequest for invalid gzip, TooLarge
 * beyond `limitBytes` of decoded size, and the refusal that `reserve` returns: many small bodies that
 * decompress at once are a decompression bomb too (H15).
 */
export async function gunzip(body: Buffer, limitBytes: number, reserve?: Reserve): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  const stream = createGunzip({ chunkSize: GUNZIP_CHUNK_BYTES });
  stream.end(body);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      const refusal = size > limitBytes ? new TooLarge() : reserve?.(chunk.length);
      if (refusal !== undefined) throw refusal;
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof HttpError ? error : new BadRequest('Request body is not properly gzipped.');
  }
  return Buffer.concat(chunks, size);
}
