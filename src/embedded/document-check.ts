// Validates the format of a document from a client as CouchDB does, before PouchDB receives it.
import { BadRequest, HttpError } from '../http-errors.ts';
import { isObject, type Json } from './json.ts';
import { requireRevision } from './parameters.ts';
import { type Document } from './pouch.ts';

/** Limit for one attachment, decoded. */
export const MAX_ATTACHMENT_BYTES = 32 * 1024 * 1024;

/** Special members that CouchDB accepts and does not store (couch_doc:transfer_fields). */
const DROPPED = new Set(['_revs_info', '_local_seq', '_conflicts', '_deleted_conflicts']);
/** Special members that CouchDB stores (couch_doc:transfer_fields). */
const KEPT = new Set([
  '_id',
  '_rev',
  '_deleted',
  '_revisions',
  '_attachments',
  '_access',
  '_replication_state',
  '_replication_state_time',
  '_replication_state_reason',
  '_replication_id',
  '_replication_stats',
]);
/** PouchDB refuses this member; drop it. */
const NOT_STORED = '_access';

/** A validated copy of the document with this id. Throws CouchDB's 400 or 413 for an invalid document. */
export function checkedDocument(body: unknown, id: string): Document {
  if (!isObject(body)) throw new BadRequest('Document must be a JSON object');
  requireDocumentId(id);
  const doc: Document = { _id: id };
  for (const [name, value] of Object.entries(body)) {
    if (name.startsWith('_') && !KEPT.has(name) && !DROPPED.has(name))
      throw new BadRequest(`Bad special document member: ${name}`, 'doc_validation');
    // PouchDB copies members by assignment. Assigning `__proto__` would replace the prototype.
    if (name !== '_id' && name !== '__proto__' && !DROPPED.has(name) && name !== NOT_STORED)
      doc[name] = value;
  }
  checkSpecialMembers(doc);
  return doc;
}

/** Throws CouchDB's 400 `illegal_docid` for an invalid id (couch_doc:validate_docid). */
export function requireDocumentId(id: unknown): asserts id is string {
  if (typeof id !== 'string') throw illegalId('Document id must be a string');
  if (id === '') throw illegalId('Document id must not be empty');
  if (id === '_design/' || id === '_local/') throw illegalId(`Illegal document id \`${id}\``);
  if (id.startsWith('_') && !id.startsWith('_design/') && !id.startsWith('_local/'))
    throw illegalId('Only reserved document ids may start with underscore.');
  if (/\p{Surrogate}/u.test(id)) throw illegalId('Document id must be valid UTF-8');
}

function illegalId(reason: string): BadRequest {
  return new BadRequest(reason, 'illegal_docid');
}

function checkSpecialMembers(doc: Document): void {
  if (doc._rev !== undefined) requireRevision(doc._rev);
  if (doc._deleted !== undefined && typeof doc._deleted !== 'boolean')
    throw new BadRequest('Bad special document member: _deleted', 'doc_validation');
  const revisions = doc['_revisions'];
  if (revisions !== undefined) checkRevisions(revisions);
  const attachments = doc['_attachments'];
  if (attachments === undefined) return;
  if (!isObject(attachments))
    throw new BadRequest('Bad special document member: _attachments', 'doc_validation');
  for (const [name, attachment] of Object.entries(attachments)) checkAttachment(name, attachment);
}

function checkRevisions(revisions: unknown): void {
  if (!isObject(revisions)) throw new BadRequest('Bad special document member: _revisions', 'doc_validation');
  if (!Number.isSafeInteger(revisions['start']))
    throw new BadRequest("_revisions.start isn't an integer.", 'doc_validation');
  const ids = revisions['ids'];
  if (!Array.isArray(ids)) throw new BadRequest("_revisions.ids isn't a array.", 'doc_validation');
  if (!ids.every((id) => typeof id === 'string' && id !== ''))
    throw new BadRequest("RevId isn't a string", 'doc_validation');
  if (ids.length === 0 || ids.length > Number(revisions['start']))
    throw new BadRequest(
      '_revisions.ids must have between 1 and _revisions.start elements',
      'doc_validation',
    );
}

function checkAttachment(name: string, attachment: unknown): void {
  if (name === '' || name === '__proto__' || name.startsWith('_'))
    throw new BadRequest("Attachment name can't start with '_'");
  if (!isObject(attachment)) throw new BadRequest('Attachment must be a JSON object');
  const type = attachment['content_type'];
  if (type !== undefined && typeof type !== 'string')
    throw new BadRequest('Attachment content_type must be a string');
  // Without a content type, PouchDB writes a warning with the document to the console.
  if (type === undefined || type === '') attachment['content_type'] = 'application/octet-stream';
  const data = attachment['data'];
  if (data === undefined && attachment['stub'] === true) return;
  if (typeof data !== 'string') throw new BadRequest('Invalid attachment data for ' + name);
  if (!isBase64(data)) throw new BadRequest('Invalid attachment data for ' + name);
  if (data.length * 0.75 > MAX_ATTACHMENT_BYTES + 2) throw attachmentTooLarge(name);
}

/** CouchDB's 413 for an attachment above the limit; the reason is its name. */
export function attachmentTooLarge(name: string): HttpError {
  return new HttpError(413, 'attachment_too_large', name);
}

/** Whether a text is padded base64, the only form that CouchDB accepts. */
export function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

/** A copy with CouchDB's order of members: `_id`, `_rev` and `_deleted` first. */
export function inCouchOrder(doc: Json): Json {
  const { _id, _rev, _deleted, ...rest } = doc;
  return {
    _id,
    ...(_rev === undefined ? {} : { _rev }),
    ...(_deleted === true ? { _deleted } : {}),
    ...rest,
  };
}
