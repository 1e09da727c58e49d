// Builds the multipart/related body of a document with attachments, as a stream of known length.
// docs.couchdb.org/en/stable/api/document/common.html#creating-multiple-attachments
import { randomBytes } from 'node:crypto';

export interface AttachmentPart {
  readonly length: number;
  /** Opens the content from its beginning. */
  readonly open: () => AsyncIterable<Buffer>;
}

export interface MultipartBody {
  readonly contentType: string;
  readonly contentLength: number;
  readonly open: () => AsyncIterable<Buffer>;
}

/**
 * `json` is the document, in which every attachment has `follows: true`. The parts are in the order of
 * `_attachments`, by which CouchDB tells them apart.
 */
export function multipartBody(json: string, parts: readonly AttachmentPart[]): MultipartBody {
  const boundary = randomBytes(24).toString('hex');
  const head = Buffer.from(`--${boundary}\r\nContent-Type: application/json\r\n\r\n${json}`);
  const between = Buffer.from(`\r\n--${boundary}\r\n\r\n`);
  // Nothing follows the closing boundary: CouchDB would take it for the next request (H2).
  const tail = Buffer.from(`\r\n--${boundary}--`);
  const content = parts.reduce((sum, { length }) => sum + between.length + length, 0);
  return {
    contentType: `multipart/related; boundary="${boundary}"`,
    contentLength: head.length + content + tail.length,
    async *open() {
      yield head;
      for (const part of parts) {
        yield between;
        yield* part.open();
      }
      yield tail;
    },
  };
}
