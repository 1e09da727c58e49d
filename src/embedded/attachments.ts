// Answers GET, PUT and DELETE of one attachment. Attachments are held in memory as a whole.
import { BadRequest, HttpError, NotFound, TooLarge } from '../http-errors.ts';
import { readBody } from './body.ts';
import {
  attachmentTooLarge,
  checkedDocument,
  MAX_ATTACHMENT_BYTES,
  requireDocumentId,
} from './document-check.ts';
import { documentId, requestedRevision, sendWritten } from './document-endpoints.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { isNotModified } from './if-none-match.ts';
import { type Attachment, type Document, type StoredDocument } from './pouch.ts';
import { currentDocument, writeDocument } from './write.ts';

/** The methods of `/{db}/{docid}/{attachment}`. */
export const attachmentMethods: Methods<DatabaseExchange> = {
  allow: 'DELETE,GET,HEAD,PUT',
  GET: getAttachment,
  PUT: putAttachment,
  DELETE: deleteAttachment,
};

function attachmentName(path: readonly string[]): string {
  return path.slice(path[1] === '_design' ? 3 : 2).join('/');
}

async function getAttachment(exchange: DatabaseExchange): Promise<void> {
  const { req, res, database, path, query } = exchange;
  const [id, name] = [documentId(path), attachmentName(path)];
  const rev = query.get('rev') === null ? undefined : requestedRevision(exchange);
  const doc = await database.storage.get(id, rev === undefined ? {} : { rev });
  const attachment = Object.hasOwn(doc._attachments ?? {}, name) ? doc._attachments?.[name] : undefined;
  if (attachment === undefined) throw new NotFound('Document is missing attachment');
  const headers = headersOf(attachment);
  if (isNotModified(req, headers.ETag)) {
    res.writeHead(304, headers);
    res.end();
    return;
  }
  if (req.method === 'HEAD') {
    res.writeHead(200, { ...headers, 'Content-Length': attachment.length });
    res.end();
    return;
  }
  const data = await database.storage.getAttachment(id, name, { rev: doc._rev });
  const range = headers['Accept-Ranges'] === 'bytes' ? rangeOf(req.headers.range, data.length) : undefined;
  if (range === undefined) {
    res.writeHead(200, { ...headers, 'Content-Length': data.length });
    res.end(data);
    return;
  }
  const [from, to] = range;
  res.writeHead(206, {
    ...headers,
    'Content-Range': `bytes ${from}-${to}/${data.length}`,
    'Content-Length': to - from + 1,
  });
  res.end(data.subarray(from, to + 1));
}

function headersOf(attachment: Attachment) {
  const md5 = attachment.digest.replace(/^md5-/, '');
  const isText = /^text\/|json|xml|javascript/.test(attachment.content_type);
  return {
    'Content-Type': headerValue(attachment.content_type),
    ETag: `"${md5}"`,
    'Content-MD5': md5,
    // CouchDB stores text compressed and does not serve ranges of compressed attachments.
    'Accept-Ranges': isText ? 'none' : 'bytes',
    'Cache-Control': 'must-revalidate',
    'Content-Security-Policy': 'sandbox',
  };
}

/** The stored content type, if it is valid in a header: line breaks would split the response (hazard H3). */
function headerValue(type: string): string {
  return /^[\t\x20-\x7e]+$/.test(type) ? type : 'application/octet-stream';
}

/** First and last byte of a single range; undefined without a valid one. Throws 416 if it is outside. */
function rangeOf(header: string | undefined, length: number): [number, number] | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  const [from, to] =
    match[1] === ''
      ? [Math.max(0, length - Number(match[2])), length - 1]
      : [Number(match[1]), match[2] === '' ? length - 1 : Math.min(Number(match[2]), length - 1)];
  if (from > to || from >= length)
    throw new HttpError(416, 'requested_range_not_satisfiable', 'Requested range not satisfiable');
  return [from, to];
}

async function putAttachment(exchange: DatabaseExchange): Promise<void> {
  const { req, path } = exchange;
  const name = attachmentName(path);
  if (name.startsWith('_')) throw new BadRequest("Attachment name can't start with '_'");
  const doc = await documentToChange(exchange);
  const data = await readAttachment(req, name);
  const type = req.headers['content-type'] ?? 'application/octet-stream';
  const attachments = { ...doc._attachments, [name]: { content_type: type, data: data.toString('base64') } };
  const changed = checkedDocument({ ...doc, _attachments: attachments }, doc._id);
  const location = path.slice(1).map(encodeURIComponent).join('/');
  sendWritten(exchange, await writeDocument(exchange, changed), 201, location);
}

async function readAttachment(req: DatabaseExchange['req'], name: string): Promise<Buffer> {
  try {
    return await readBody(req, MAX_ATTACHMENT_BYTES);
  } catch (error) {
    if (error instanceof TooLarge) throw attachmentTooLarge(name);
    throw error;
  }
}

async function deleteAttachment(exchange: DatabaseExchange): Promise<void> {
  const name = attachmentName(exchange.path);
  const doc = await documentToChange(exchange);
  const { [name]: removed, ...others } = doc._attachments ?? {};
  if (removed === undefined) throw new NotFound('Document is missing attachment');
  const changed = checkedDocument({ ...doc, _attachments: others }, doc._id);
  sendWritten(exchange, await writeDocument(exchange, changed), 200);
}

/**
 * The document at the given revision, or a new one for a PUT without revision. Throws 409 if the revision is
 * unknown or missing. The write of an outdated revision throws 409 later.
 */
async function documentToChange(
  exchange: DatabaseExchange,
): Promise<Document & Pick<StoredDocument, '_attachments'>> {
  const { database, method } = exchange;
  const id = documentId(exchange.path);
  requireDocumentId(id);
  const rev = requestedRevision(exchange);
  if (rev !== undefined) {
    const [doc] = await Promise.allSettled([database.storage.get(id, { rev })]);
    if (doc.status === 'fulfilled') return doc.value;
    throw new HttpError(409, 'conflict', 'Document update conflict.');
  }
  const current = await currentDocument(database, id);
  if (current !== null) throw new HttpError(409, 'conflict', 'Document update conflict.');
  if (method === 'DELETE') throw new NotFound();
  return { _id: id };
}
