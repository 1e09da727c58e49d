// Holds one database: its record, its storage, its design functions and its change listeners.
import { EventEmitter, once } from 'node:events';
import { FunctionHost } from './functions.ts';
import { type Json } from './json.ts';
import { type Storage } from './pouch.ts';
import { Views } from './views.ts';

/** A security object. docs.couchdb.org/en/stable/api/database/security.html */
export type Security = Json & { readonly admins?: SecurityList; readonly members?: SecurityList };

/** The `admins` or `members` of a security object. */
export interface SecurityList {
  readonly names?: readonly string[];
  readonly roles?: readonly string[];
}

/** What the manifest stores about a database. */
export interface DatabaseRecord {
  /** Folder name on disk. */
  readonly place: string;
  readonly createdMs: number;
  security: Security;
  revsLimit: number;
}

/** One database. Its storage opens at the first use. */
export class Database {
  readonly name: string;
  readonly record: DatabaseRecord;
  /** Runs the design functions of this database, isolated from those of other databases. */
  readonly functions = new FunctionHost();
  readonly views = new Views(() => this.storage, this.functions);
  readonly #openStorage: () => Storage;
  #validators: Promise<readonly string[]> | undefined;
  #inUse = 0;
  readonly #events = new EventEmitter().setMaxListeners(0);
  #storage: Storage | undefined;
  #removed = false;

  constructor(name: string, record: DatabaseRecord, open: () => Storage) {
    this.name = name;
    this.record = record;
    this.#openStorage = open;
  }

  get storage(): Storage {
    return (this.#storage ??= this.#openStorage());
  }

  /** True after `remove` or `close`. */
  get isRemoved(): boolean {
    return this.#removed;
  }

  /** Calls `listener` after every change and at removal. Returns the unsubscribe function. */
  onChange(listener: () => void): () => void {
    this.#events.on('change', listener);
    return () => this.#events.off('change', listener);
  }

  /** Notifies the feeds. Every write must call it. */
  publishChange(): void {
    this.#events.emit('change');
  }

  /** Runs work on the storage. A removal during the work deletes the storage only after the work ends. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    this.#inUse += 1;
    try {
      return await work();
    } finally {
      this.#inUse -= 1;
      if (this.#inUse === 0) this.#events.emit('idle');
    }
  }

  /** Sources of the validate_doc_update functions, ordered by the id of their design document. Cached. */
  validators(): Promise<readonly string[]> {
    this.#validators ??= validatorsOf(this.storage).catch((error: unknown) => {
      this.#validators = undefined;
      throw error;
    });
    return this.#validators;
  }

  /** Number of deleted documents. PouchDB does not count them, so this reads all changes. */
  async deletedCount(): Promise<number> {
    const changes = await this.storage.changes({
      since: 0,
      filter: (doc: { _deleted?: boolean }) => doc._deleted === true,
    });
    return changes.results.length;
  }

  /** Clears the cached validation functions. Every write of a design document must call it. */
  invalidateDesigns(): void {
    this.#validators = undefined;
  }

  /** Ends the feeds, waits until no request uses the database, and closes its storage. */
  async close(): Promise<void> {
    this.#markRemoved();
    await this.#whenIdle();
    await this.#storage?.close();
  }

  /** Ends the feeds, waits until no request uses the database, and deletes its storage. */
  async remove(): Promise<void> {
    this.#markRemoved();
    await this.#whenIdle();
    await this.storage.destroy();
  }

  async #whenIdle(): Promise<void> {
    while (this.#inUse > 0) await once(this.#events, 'idle');
  }

  #markRemoved(): void {
    this.#removed = true;
    this.#events.emit('change');
    this.functions.dispose();
  }
}

async function validatorsOf(storage: Storage): Promise<readonly string[]> {
  const designs = await storage.allDocs({ startkey: '_design/', endkey: '_design0', include_docs: true });
  return designs.rows
    .map((row) => row.doc?.['validate_doc_update'])
    .filter((source): source is string => typeof source === 'string');
}
