// Plugs PouchDB together, once a process, and gives its databases the narrow type the rest of this folder uses.
import PouchDB from 'pouchdb-core';
import httpAdapter from 'pouchdb-adapter-http';
import leveldbAdapter from 'pouchdb-adapter-leveldb';
import memoryAdapter from 'pouchdb-adapter-memory';
import findPlugin from 'pouchdb-find';
import replicationPlugin from 'pouchdb-replication';
import { type Json } from './json.ts';

// A module is evaluated once: pouchdb-replication throws when it is plugged in a second time.
PouchDB.plugin(httpAdapter)
  .plugin(leveldbAdapter)
  .plugin(memoryAdapter)
  .plugin(replicationPlugin)
  .plugin(findPlugin);

export type Document = Json & {
  _id: string;
  _rev?: string;
  _deleted?: boolean;
  _attachments?: Record<string, Partial<Attachment>>;
};
export type StoredDocument = Document & { _rev: string; _attachments?: Record<string, Attachment> };

export interface Attachment {
  content_type: string;
  digest: string;
  length: number;
  revpos: number;
  data?: string;
  stub?: true;
  follows?: true;
}

export type WriteRow = { ok: true; id: string; rev: string } | (PouchError & { error: true; id?: string });

/** A leaf revision, as `open_revs` gives it. */
export type Leaf = { readonly ok: StoredDocument } | { readonly missing: string };

export interface PouchError {
  status?: number;
  name?: string;
  message?: string;
  reason?: string;
}

export interface ChangeRow {
  seq: number;
  id: string;
  changes: { rev: string }[];
  deleted?: boolean;
  doc?: StoredDocument;
}

export interface AllDocsRow {
  id?: string;
  key: unknown;
  value?: { rev: string; deleted?: boolean };
  doc?: StoredDocument | null;
  error?: string;
}

export interface Index {
  ddoc: string | null;
  name: string;
  type: string;
  def: Json;
}

/** What this folder calls of a PouchDB database. Options are PouchDB's own. */
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

/** Opens (and creates, where it is new) a local database. The adapter is named each time: a default would also catch http addresses. */
export function openStorage(path: string, adapter: 'leveldb' | 'memory'): Storage {
  const storage = new PouchDB(path, { adapter }) as Storage;
  storage.setMaxListeners(0);
  return storage;
}
