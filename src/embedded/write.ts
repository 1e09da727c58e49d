// Writes documents. Every write passes the same checks: admin rule for design documents, rules of `_users`
// and `_replicator`, then validate_doc_update.
import { randomUUID } from 'node:crypto';
import { HttpError } from '../http-errors.ts';
import { requireDatabaseAdmin } from './access.ts';
import { type Database } from './database.ts';
import { checkDesignFunctions } from './design-check.ts';
import { errorOf, isMissing } from './errors.ts';
import { type Caller, type EmbeddedNode } from './exchange.ts';
import { type Document, type PouchError, type StoredDocument, type WriteRow } from './pouch.ts';
import { checkedReplication } from './replication-scheduler.ts';
import { checkedUser } from './users.ts';
import { without } from './json.ts';

/** Who writes, and where. */
export interface Writer {
  readonly node: EmbeddedNode;
  readonly database: Database;
  readonly caller: Caller;
  readonly isDatabaseAdmin: boolean;
}

/** The new revision of a document, or the error that refused it. */
export type WriteResult =
  { readonly id: string; readonly rev: string } | { readonly id: string; readonly error: HttpError };

/** A new random document id in CouchDB's format: 32 hexadecimal digits. */
export function newDocumentId(): string {
  return randomUUID().replaceAll('-', '');
}

/** Writes one document. Throws the HttpError that refuses it. */
export async function writeDocument(
  writer: Writer,
  doc: Document,
  newEdits = true,
): Promise<{ id: string; rev: string }> {
  const [result] = await writeDocuments(writer, [doc], newEdits);
  if (result === undefined) return { id: doc._id, rev: doc._rev ?? '' };
  if ('error' in result) throw result.error;
  return result;
}

/**
 * Writes documents that `checkedDocument` returned. Each one succeeds or fails by itself; the results keep
 * the order. Throws 412 for an attachment stub without its attachment, and unexpected errors.
 */
export async function writeDocuments(
  writer: Writer,
  docs: readonly Document[],
  newEdits: boolean,
): Promise<WriteResult[]> {
  const results: (WriteResult | undefined)[] = [];
  const accepted: { index: number; doc: Document }[] = [];
  for (const [index, doc] of docs.entries()) {
    try {
      accepted.push({ index, doc: await checkedForWrite(writer, doc, newEdits) });
    } catch (thrown) {
      const error = errorOf(thrown);
      if (!(error instanceof HttpError)) throw thrown;
      results[index] = { id: doc._id, error };
    }
  }
  const rows = await store(
    writer.database,
    accepted.map(({ doc }) => doc),
    newEdits,
  );
  for (const [k, { index, doc }] of accepted.entries()) {
    const row = rows[k];
    results[index] = row;
    if (writer.database.name === '_replicator' && row !== undefined && !('error' in row))
      writer.node.replications.onDocument(writer.database, doc);
  }
  return results.filter((result) => result !== undefined);
}

async function store(
  database: Database,
  docs: readonly Document[],
  newEdits: boolean,
): Promise<WriteResult[]> {
  if (docs.length === 0) return [];
  const rows = await bulkWrite(database, docs, newEdits);
  if (docs.some((doc) => doc._id.startsWith('_design/'))) database.invalidateDesigns();
  database.publishChange();
  // With new_edits=false PouchDB reports failures only. CouchDB's result is the revision of the request.
  if (!newEdits) return docs.map((doc) => ({ id: doc._id, rev: doc._rev ?? '' }));
  return rows.map((row, i) => {
    const id = docs[i]?._id ?? '';
    if ('ok' in row) return { id, rev: row.rev };
    const error = errorOf(row);
    return {
      id,
      error: error instanceof HttpError ? error : new HttpError(500, 'unknown_error', row.message ?? ''),
    };
  });
}

async function bulkWrite(
  database: Database,
  docs: readonly Document[],
  newEdits: boolean,
): Promise<WriteRow[]> {
  try {
    return await database.storage.bulkDocs(docs, { new_edits: newEdits });
  } catch (thrown) {
    if ((thrown as PouchError).status !== 412) throw thrown;
    // As in CouchDB, a stub without its attachment fails the whole request.
    for (const { _id: id, _attachments: attachments } of docs) {
      const stub = Object.entries(attachments ?? {}).find(([, { stub }]) => stub === true);
      if (stub !== undefined)
        throw new HttpError(412, 'missing_stub', `Invalid attachment stub in ${id} for ${stub[0]}`);
    }
    throw thrown;
  }
}

/** The document to store. Throws the HttpError that refuses it. The order of the checks is CouchDB's. */
async function checkedForWrite(writer: Writer, doc: Document, newEdits: boolean): Promise<Document> {
  const { database, isDatabaseAdmin } = writer;
  if (doc._id.startsWith('_local/')) return withLocalRevision(database, doc);
  if (doc._id.startsWith('_design/')) {
    requireDatabaseAdmin(isDatabaseAdmin);
    if (doc._deleted !== true) checkDesignFunctions(database.functions, doc);
    return doc;
  }
  if (newEdits) await requireCurrentDeletion(database, doc);
  const toStore = await applySystemRules(writer, doc);
  await validate(writer, toStore);
  return toStore;
}

async function applySystemRules({ database, caller }: Writer, doc: Document): Promise<Document> {
  if (database.name === '_users') return checkedUser(doc);
  if (database.name === '_replicator') return checkedReplication(doc, caller.name);
  return doc;
}

/** CouchDB overwrites local documents and ignores the given revision (couch_db:update_local_doc_revs). */
async function withLocalRevision(database: Database, doc: Document): Promise<Document> {
  const current = await currentDocument(database, doc._id);
  const rest = without(doc, '_rev');
  if (current === null) return { ...rest, _id: doc._id };
  return { ...rest, _id: doc._id, _rev: current._rev };
}

/** Throws 409 for a deletion of an existing document without its revision: PouchDB would accept it. */
async function requireCurrentDeletion(database: Database, doc: Document): Promise<void> {
  if (doc._deleted !== true || doc._rev !== undefined) return;
  if ((await currentDocument(database, doc._id)) !== null)
    throw new HttpError(409, 'conflict', 'Document update conflict.');
}

async function validate(writer: Writer, doc: Document): Promise<void> {
  const { database, caller } = writer;
  const functions = await database.validators();
  if (functions.length === 0) return;
  const old = await currentDocument(database, doc._id);
  const context = { db: database.name, name: caller.name, roles: caller.roles };
  for (const source of functions)
    database.functions.validate(source, doc, old, context, database.record.security);
}

/** The winning revision; null if the document is missing or deleted. */
export async function currentDocument(database: Database, id: string): Promise<StoredDocument | null> {
  try {
    return await database.storage.get(id);
  } catch (thrown) {
    if (isMissing(thrown)) return null;
    throw thrown;
  }
}
