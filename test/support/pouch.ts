// PouchDB as an application uses it: in-memory and remote databases. Own types: see
// src/embedded/pouchdb.d.ts.
import PouchDB from 'pouchdb-core';
// Registers the adapters and the replication on the shared constructor; they cannot be registered twice.
import '../../src/embedded/pouch.ts';
import { type Credentials } from './couchgate.ts';

export interface PouchDocument {
  readonly _id: string;
  readonly _rev?: string;
  readonly _deleted?: boolean;
  readonly [field: string]: unknown;
}

export interface Sync {
  on(event: 'error' | 'denied' | 'complete' | 'paused' | 'active', listener: (value: unknown) => void): Sync;
  cancel(): void;
}

export interface Pouch {
  put(document: PouchDocument): Promise<{ readonly rev: string }>;
  get(id: string, options?: object): Promise<PouchDocument>;
  remove(id: string, rev: string): Promise<unknown>;
  allDocs(options: object): Promise<{
    readonly rows: readonly { readonly id: string; readonly doc: PouchDocument }[];
  }>;
  sync(other: Pouch, options: object): Sync;
  replicate: {
    from(
      other: Pouch,
      options?: object,
    ): Promise<{ readonly ok: boolean; readonly doc_write_failures: number }>;
    to(
      other: Pouch,
      options?: object,
    ): Promise<{ readonly ok: boolean; readonly doc_write_failures: number }>;
  };
  close(): Promise<void>;
}

export function localPouch(name: string): Pouch {
  return new PouchDB(name, { adapter: 'memory' }) as Pouch;
}

/** A remote database at `url`, with `credentials`. */
export function remotePouch(url: string, { name, password }: Credentials): Pouch {
  return new PouchDB(url, { adapter: 'http', auth: { username: name, password } }) as Pouch;
}

/** All documents with winning and conflicting revisions, to compare two databases. */
export async function contentOf(pouch: Pouch): Promise<readonly PouchDocument[]> {
  const { rows } = await pouch.allDocs({ include_docs: true, conflicts: true, attachments: true });
  return rows.map(({ doc }) => doc).filter(({ _id: id }) => !id.startsWith('_design/'));
}
