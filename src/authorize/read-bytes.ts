// Collects a request's body for inspection, bounded. What its bytes say is inspect.ts's business.
import { type IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { BadContentType, BadRequest, TooLarge } from '../http-errors.ts';

const inflate = promisify(gunzip);

/**
 * The body's bytes as they came. Throws TooLarge past the limit (at once where the head announces it), BadRequest when the client leaves
 * before the end: nothing of it is kept then.
 */
export function readBytes(req: IncomingMessage, limitBytes: number): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? '0') > limitBytes) return Promise.reject(new TooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const stop = (): void => {
      req.off('data', take).off('end', finish).off('close', fail).off('error', fail);
    };
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      if (size <= limitBytes) {
        chunks.push(chunk);
        return;
      }
      stop();
      req.pause();
      reject(new TooLarge());
    };
    const finish = (): void => {
      stop();
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size));
    };
    const fail = (): void => {
      stop();
      reject(new BadRequest('Request body was cut short'));
    };
    if (req.destroyed) fail();
    else req.on('data', take).on('end', finish).on('close', fail).on('error', fail);
  });
}

/**
 * What CouchDB will see in the body: it knows `gzip` and `identity`, in these spellings alone, and inflates every gzip member
 * (chttpd.erl, maybe_decompress; H10). The limit holds for the inflated size too, so a bomb ends early.
 */
export async function inflated(req: IncomingMessage, body: Buffer, limitBytes: number): Promise<Buffer> {
  const encoding = encodingOf(req);
  if (encoding === 'identity') return body;
  try {
    return await inflate(body, { maxOutputLength: limitBytes });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new TooLarge();
    throw new BadRequest('Request body is not properly gzipped.');
  }
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
