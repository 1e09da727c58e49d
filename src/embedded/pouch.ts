// Registers the PouchDB plugins once per process, and declares the types of the PouchDB calls in this folder.
import PouchDB from 'pouchdb-core';
import httpAdapter from 'pouchdb-adapter-http';
import leveldbAdapter from 'pouchdb-adapter-leveldb';
import memoryAdapter from 'pouchdb-adapter-memory';
import findPlugin from 'pouchdb-find';
import replicationPlugin from 'pouchdb-replication';
import { type Json } from './json.ts';

// At module level, because pouchdb-replication throws if it is registered twice.
PouchDB.plugin(httpAdapter)
  .plugin(leveldbAdapter)
  .plugin(memoryAdapter)
  .plugin(replicationPlugin)
  .plugin(findPlugin);

/** A document with CouchDB's special members. */
export type Document = Json & {
  _id: string;
  _rev?: string;
  _deleted?: boolean;
  _attachments?: Record<string, Partial<Attachment>>;
};
/** A document as PouchDB returns it. */
export type StoredDocument = Document & { _rev: string; _attachments?: Record<string, Attachment> };

/** Metadata of an attachment; `length` is in bytes, `data` is base64. */
export interface Attachment {
  content_type: string;
  digest: string;
  length: number;
  revpos: number;
  data?: string;
  stub?: true;
  follows?: true;
}

/** One row of the result of `bulkDocs`. */
export type WriteRow = { ok: true; id: string; rev: string } | (PouchError & { error: true; id?: string });

/** A leaf revision, as `open_revs` returns it. */
export type Leaf = { readonly ok: StoredDocument } | { readonly missing: string };

/** The fields of PouchDB's errors; `status` is an HTTP status. */
export interface PouchError {
  status?: number;
  name?: string;
  message?: string;
  reason?: string;
}

/** One row of `changes`. */
export interface ChangeRow {
  seq: number;
  id: string;
  changes: { rev: string }[];
  deleted?: boolean;
  doc?: StoredDocument;
}

/** One row of `allDocs`. */
export interface AllDocsRow {
  id?: string;
  key: unknown;
  value?: { rev: string; deleted?: boolean };
  doc?: StoredDocument | null;
  error?: string;
}

/** A Mango index; `ddoc` is null for the built-in index on `_id`. */
export interface Index {
  ddoc: string | null;
  name: string;
  type: string;
  def: Json;
}

/** The methods of a PouchDB database that this folder calls. Options are PouchDB's. pouchdb.com/api.html */
export interface Storage {
  readonly name: string;
  info(): Promise<{ doc_count: number; update_seq: number }>;
  get(id: string, options: Json & { open_revs: readonly string[] | 'all' }): Promise<Leaf[]>;
  get(id: string, options?: Json): Promise<StoredDocument>;
  bulkDocs(docs: readonly Document[], options?: Json): Promise<WriteRow[]>;
  bulkGet(options: Json): Promise<{
    results: { id: string; docs: ({ ok: StoredDocument } | { error: PouchError & { rev?: string } })[] }[];
  }>;
  allDocs(options?: Json): Promise<{ total_rows: number; offset: number; rows: AllDocsRow[] }>;
  changes(options?: Json): Promise<{ results: ChangeRow[]; last_seq: number }>;
  revsDiff(revs: Json): Promise<Record<string, { missing: string[]; possible_ancestors?: string[] }>>;
  getAttachment(id: string, name: string, options?: Json): Promise<Buffer>;
  compact(): Promise<unknown>;
  find(request: Json): Promise<{ docs: Json[]; warning?: string }>;
  explain(request: Json): Promise<Json>;
  createIndex(request: Json): Promise<{ result: string; id: string; name: string }>;
  getIndexes(): Promise<{ indexes: Index[] }>;
  deleteIndex(index: Json): Promise<unknown>;
  close(): Promise<void>;
  destroy(): Promise<unknown>;
  setMaxListeners(count: number): void;
}

/** Behind every id in the order of the store, which is that of UTF-8 bytes. */
const BEHIND_ALL_IDS = '\u{10ffff}';

/**
 * A listing without an upper bound ends for PouchDB's store at the character U+00FF: ids in Cyrillic or
 * Chinese would be missing.
 */
function withUpperBound(options: Json): Json {
  if ('keys' in options || 'key' in options) return options;
  const name = options['descending'] === true ? 'startkey' : 'endkey';
  return options[name] === undefined ? { ...options, [name]: BEHIND_ALL_IDS } : options;
}

/**
 * Opens a local database and creates it if it is new. The adapter is a parameter of each call: a default
 * adapter would also apply to HTTP URLs.
 */
export function openStorage(path: string, adapter: 'leveldb' | 'memory'): Storage {
  const storage = new PouchDB(path, { adapter }) as Storage;
  const list = storage.allDocs.bind(storage);
  // eslint-disable-next-line no-restricted-syntax -- made once for each database
  storage.allDocs = (options = {}) => list(withUpperBound(options));
  storage.setMaxListeners(0);
  return storage;
}
