// The one way by which documents are written: design rule, user rule, validate_doc_update, then storage. Reading requests is the endpoints' business.
import { randomUUID } from 'node:crypto';
import { Forbidden, HttpError, Unauthorized } from '../http-errors.ts';
import { requireDatabaseAdmin } from './access.ts';
import { type Database } from './database.ts';
import { checkDesignFunctions } from './design-check.ts';
import { errorOf, isMissing } from './errors.ts';
import { type Caller, type EmbeddedNode } from './exchange.ts';
import { type Document, type PouchError, type StoredDocument, type WriteRow } from './pouch.ts';
import { checkedReplication } from './replication-scheduler.ts';
import { checkedUser } from './users.ts';
import { without } from './json.ts';

export interface Writer {
  readonly node: EmbeddedNode;
  readonly database: Database;
  readonly caller: Caller;
  readonly isDatabaseAdmin: boolean;
}

export type WriteResult =
  { readonly id: string; readonly rev: string } | { readonly id: string; readonly error: HttpError };

/** A new document id, as CouchDB makes them: 32 hexadecimal digits. */
export function newDocumentId(): string {
  return randomUUID().replaceAll('-', '');
}

/** Writes one document; throws what refuses it. */
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

/** Writes documents independently of one another; the results have their order. Documents are in checked form. */
export async function writeDocuments(
  writer: Writer,
  docs: readonly Document[],
  newEdits: boolean,
): Promise<WriteResult[]> {
  const results: (WriteResult | undefined)[] = [];
  const accepted: { at: number; doc: Document }[] = [];
  for (const [at, doc] of docs.entries()) {
    try {
      accepted.push({ at, doc: await permitted(writer, doc, newEdits) });
    } catch (thrown) {
      const error = errorOf(thrown);
      if (!(error instanceof HttpError)) throw thrown;
      results[at] = { id: doc._id, error };
    }
  }
  const rows = await store(
    writer.database,
    accepted.map(({ doc }) => doc),
    newEdits,
  );
  for (const [k, { at, doc }] of accepted.entries()) {
    const row = rows[k];
    results[at] = row;
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
  if (docs.some((doc) => doc._id.startsWith('_design/'))) database.forgetDesigns();
  database.changed();
  // Without new edits PouchDB names only what failed, and CouchDB's answer for the others is the revision that came in.
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
    // A stub without its attachment fails the whole request, in CouchDB too.
    for (const { _id: id, _attachments: attachments } of docs) {
      const stub = Object.entries(attachments ?? {}).find(([, { stub }]) => stub === true);
      if (stub !== undefined)
        throw new HttpError(412, 'missing_stub', `Invalid attachment stub in ${id} for ${stub[0]}`);
    }
    throw thrown;
  }
}

/** The document as it is stored; throws what refuses it. Order as in CouchDB: design rule, database's own rule, validation functions. */
async function permitted(writer: Writer, doc: Document, newEdits: boolean): Promise<Document> {
  const { database, isDatabaseAdmin } = writer;
  if (doc._id.startsWith('_local/')) return withLocalRevision(database, doc);
  if (doc._id.startsWith('_design/')) {
    requireDatabaseAdmin(isDatabaseAdmin);
    if (doc._deleted !== true) checkDesignFunctions(database.functions, doc);
    return doc;
  }
  if (newEdits) await requireCurrentDeletion(database, doc);
  const toStore = await inItsForm(writer, doc);
  await validate(writer, toStore);
  return toStore;
}

/** The document as its database wants it: users and replications have rules of their own. */
async function inItsForm({ database, caller }: Writer, doc: Document): Promise<Document> {
  if (database.name === '_users') return checkedUser(doc);
  if (database.name === '_replicator') return checkedReplication(doc, caller.name);
  return doc;
}

/** CouchDB overwrites local documents whatever revision the client names (couch_db:update_local_doc_revs). */
async function withLocalRevision(database: Database, doc: Document): Promise<Document> {
  const current = await currentDocument(database, doc._id);
  const rest = without(doc, '_rev');
  if (current === null) return { ...rest, _id: doc._id };
  return { ...rest, _id: doc._id, _rev: current._rev };
}

/** Deleting what is not there, or without naming the revision, is refused before PouchDB would let it pass. */
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

/** The winning revision; null when the document is not there or deleted. */
export async function currentDocument(database: Database, id: string): Promise<StoredDocument | null> {
  try {
    return await database.storage.get(id);
  } catch (thrown) {
    if (isMissing(thrown)) return null;
    throw thrown;
  }
}

/** A refusal that CouchDB reports in the row of a batch, not for the whole request. */
export function isRefusal(error: HttpError): boolean {
  return error instanceof Forbidden || error instanceof Unauthorized;
}
