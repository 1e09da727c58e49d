// Answers GET, PUT, POST, DELETE and COPY of one document, and POST /{db}.
import { BadRequest, HttpError, NotFound } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { accepts } from './accept.ts';
import { readBody, readJsonObject, requireJsonType, parseJson, mediaType } from './body.ts';
import { checkedDocument, requireDocumentId, inCouchOrder } from './document-check.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { isNotModified } from './if-none-match.ts';
import { isObject, type Json, without } from './json.ts';
import { parseRelated } from './multipart-read.ts';
import { sendLeavesAsMultipart, sendRelated } from './multipart-write.ts';
import { isSet, jsonParameter, requireRevision, revisionParameter } from './parameters.ts';
import { type Document } from './pouch.ts';
import { currentDocument, newDocumentId, writeDocument } from './write.ts';

export const documentMethods: Methods<DatabaseExchange> = {
  allow: 'DELETE,GET,HEAD,POST,PUT,COPY',
  GET: getDocument,
  PUT: putDocument,
  POST: refuseFormUpload,
  DELETE: deleteDocument,
  COPY: copyDocument,
};

/** The document id of a path: `x`, `_design/x` or `_local/x`. */
export function documentId(path: readonly string[]): string {
  const [, second = '', third = ''] = path;
  return second === '_design' || second === '_local' ? `${second}/${third}` : second;
}

/** The revision in `rev` or If-Match; undefined without both. Throws 400 if they differ or are malformed. */
export function requestedRevision({ req, query }: DatabaseExchange): string | undefined {
  const header = req.headers['if-match'];
  const tag =
    header === undefined || header === '*' ? undefined : header.replace(/^W\//, '').replaceAll('"', '');
  const rev = query.get('rev') ?? undefined;
  if (rev !== undefined && tag !== undefined && rev !== tag)
    throw new BadRequest('Document rev and etag have different values');
  return revisionParameter(rev ?? tag);
}

/** Sends CouchDB's answer to a write. `batch=ok` gets CouchDB's 202, although the write is complete. */
export function sendWritten(
  exchange: DatabaseExchange,
  written: { id: string; rev: string },
  status: number,
  location = encodeURIComponent(written.id),
): void {
  const { req, res, query, database } = exchange;
  const url = `http://${req.headers.host ?? ''}/${encodeURIComponent(database.name)}/${location}`;
  if (query.get('batch') === 'ok') {
    sendJson(res, 202, { ok: true, id: written.id }, { Location: url });
    return;
  }
  sendJson(
    res,
    status,
    { ok: true, id: written.id, rev: written.rev },
    { ETag: `"${written.rev}"`, ...(status === 201 ? { Location: url } : {}) },
  );
}

async function getDocument(exchange: DatabaseExchange): Promise<void> {
  const { req, res, query, database, path } = exchange;
  if (path[1] === '_local' && path[3] !== undefined)
    throw new BadRequest('_local documents do not accept attachments.');
  const id = documentId(path);
  requireDocumentId(id);
  if (query.has('open_revs')) return getLeaves(exchange, id);
  const doc = await database.storage.get(id, readOptions(exchange));
  const tag = `"${doc._rev}"`;
  const headers = id.startsWith('_local/') ? {} : { ETag: tag };
  if (isNotModified(req, tag) && !id.startsWith('_local/')) {
    res.writeHead(304, headers);
    res.end();
    return;
  }
  if (isSet(query, 'attachments') && accepts(req, 'multipart/related')) sendRelated(res, doc, headers);
  else sendJson(res, 200, inCouchOrder(doc), headers);
}

/** PouchDB's options from the query. */
function readOptions(exchange: DatabaseExchange): Json {
  const { query } = exchange;
  const options: Json = {};
  for (const name of ['revs', 'revs_info', 'conflicts', 'latest', 'attachments', 'local_seq'])
    if (isSet(query, name)) options[name] = true;
  if (isSet(query, 'meta')) Object.assign(options, { revs_info: true, conflicts: true });
  const since = query.get('atts_since');
  if (since !== null) requireRevisions(jsonParameter(since));
  const rev = requestedRevision(exchange);
  if (rev !== undefined) options['rev'] = rev;
  return options;
}

function requireRevisions(list: unknown): asserts list is string[] {
  if (!Array.isArray(list)) throw new BadRequest('Invalid list of revisions');
  for (const rev of list) requireRevision(rev);
}

/** Answers `open_revs` with JSON rows, or with multipart/mixed, which CouchDB's replicator requests. */
async function getLeaves(exchange: DatabaseExchange, id: string): Promise<void> {
  const { req, res, query, database } = exchange;
  const given = query.get('open_revs');
  const revs = given === 'all' ? 'all' : jsonParameter(given ?? '');
  if (revs !== 'all') requireRevisions(revs);
  if (id.startsWith('_local/')) throw new NotFound();
  const multipart = accepts(req, 'multipart/mixed');
  const options = {
    revs: isSet(query, 'revs'),
    latest: isSet(query, 'latest'),
    attachments: multipart || isSet(query, 'attachments'),
  };
  const leaves = await database.storage.get(id, { ...options, open_revs: revs });
  if (multipart) sendLeavesAsMultipart(res, leaves);
  else
    sendJson(
      res,
      200,
      leaves.map((leaf) => ('ok' in leaf ? { ok: inCouchOrder(leaf.ok) } : { missing: leaf.missing })),
    );
}

async function putDocument(exchange: DatabaseExchange): Promise<void> {
  const { req, query, path } = exchange;
  if (path[1] === '_local' && path[3] !== undefined)
    throw new BadRequest('_local documents do not accept attachments.');
  const id = documentId(path);
  requireDocumentId(id);
  const rev = requestedRevision(exchange);
  const body = mediaType(req) === 'multipart/related' ? await parseRelated(req) : await readDocumentBody(req);
  const doc = checkedDocument(body, id);
  if (rev !== undefined && doc._rev !== undefined && doc._rev !== rev)
    throw new BadRequest('Document rev from request body and query string have different values');
  if (rev !== undefined) doc._rev = rev;
  const newEdits = query.get('new_edits') !== 'false';
  if (!newEdits) requireRevision(doc._rev);
  sendWritten(exchange, await writeDocument(exchange, doc, newEdits), 201);
}

async function readDocumentBody(req: DatabaseExchange['req']): Promise<unknown> {
  const body = await readBody(req);
  const value = parseJson(body);
  if (!isObject(value)) throw new BadRequest('Document must be a JSON object');
  return value;
}

/** POST /{db}: writes a document under the id of its body, or under a new id. */
export async function createDocument(exchange: DatabaseExchange): Promise<void> {
  requireJsonType(exchange.req);
  const body = await readJsonObject(exchange.req, 'required');
  const doc = checkedDocument(body, (body['_id'] ?? newDocumentId()) as string);
  sendWritten(exchange, await writeDocument(exchange, doc), 201);
}

async function deleteDocument(exchange: DatabaseExchange): Promise<void> {
  const id = documentId(exchange.path);
  requireDocumentId(id);
  const rev = requestedRevision(exchange);
  if ((await currentDocument(exchange.database, id)) === null && rev === undefined) throw new NotFound();
  const doc: Document = { _id: id, _deleted: true, ...(rev === undefined ? {} : { _rev: rev }) };
  sendWritten(exchange, await writeDocument(exchange, doc), 200);
}

/** Destination header: the percent-encoded target id, with `?rev=` if the target exists. */
async function copyDocument(exchange: DatabaseExchange): Promise<void> {
  const { req, database, path } = exchange;
  const destination = req.headers['destination'];
  if (typeof destination !== 'string') throw new BadRequest('Destination header is mandatory for COPY.');
  if (/^https?:\/\//i.test(destination)) throw new BadRequest('Destination URL must be relative.');
  const [target = '', parameters] = destination.split('?', 2);
  const id = decodeDestination(target);
  const source = await database.storage.get(documentId(path), {
    ...(requestedRevision(exchange) === undefined ? {} : { rev: requestedRevision(exchange) }),
    attachments: true,
  });
  const doc = checkedDocument(without(source, '_rev'), id);
  const rev = revisionParameter(new URLSearchParams(parameters).get('rev'));
  if (rev !== undefined) doc._rev = rev;
  sendWritten(exchange, await writeDocument(exchange, doc), 201);
}

function decodeDestination(target: string): string {
  try {
    return decodeURIComponent(target.replaceAll('+', ' '));
  } catch {
    throw new BadRequest('Destination header is not well encoded');
  }
}

function refuseFormUpload(): never {
  throw new HttpError(
    501,
    'not_implemented',
    'The embedded node does not support form uploads; PUT the attachment.',
  );
}
