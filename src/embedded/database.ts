// One database: its record, its storage, those who wait for its changes. What is in it is the endpoints' business.
import { EventEmitter, once } from 'node:events';
import { FunctionHost } from './functions.ts';
import { type Json } from './json.ts';
import { type Storage } from './pouch.ts';
import { Views } from './views.ts';

export type Security = Json & { readonly admins?: SecurityList; readonly members?: SecurityList };

export interface SecurityList {
  readonly names?: readonly string[];
  readonly roles?: readonly string[];
}

/** What the ledger keeps of a database. */
export interface DatabaseRecord {
  readonly place: string;
  readonly createdMs: number;
  security: Security;
  revsLimit: number;
}

export class Database {
  readonly name: string;
  readonly record: DatabaseRecord;
  /** Runs this database's design functions, apart from every other database's. */
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

  get isRemoved(): boolean {
    return this.#removed;
  }

  /** Calls `wake` after every change and when the database goes; the answer ends that. */
  onChange(wake: () => void): () => void {
    this.#events.on('change', wake);
    return () => this.#events.off('change', wake);
  }

  /** To be called after every write: wakes the feeds. */
  changed(): void {
    this.#events.emit('change');
  }

  /** Runs work on the storage; a database that is removed meanwhile keeps its storage until the work is done. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    this.#inUse += 1;
    try {
      return await work();
    } finally {
      this.#inUse -= 1;
      if (this.#inUse === 0) this.#events.emit('idle');
    }
  }

  /** Sources of the validate_doc_update functions, in the order of their design documents. */
  validators(): Promise<readonly string[]> {
    this.#validators ??= validatorsOf(this.storage).catch((error: unknown) => {
      this.#validators = undefined;
      throw error;
    });
    return this.#validators;
  }

  /** How many documents are deleted: those that had a change and are not counted as present. */
  async deletedCount(): Promise<number> {
    const changes = await this.storage.changes({
      since: 0,
      filter: (doc: { _deleted?: boolean }) => doc._deleted === true,
    });
    return changes.results.length;
  }

  forgetDesigns(): void {
    this.#validators = undefined;
  }

  async close(): Promise<void> {
    this.#end();
    await this.#idle();
    await this.#storage?.close();
  }

  async remove(): Promise<void> {
    this.#end();
    await this.#idle();
    await this.storage.destroy();
  }

  async #idle(): Promise<void> {
    while (this.#inUse > 0) await once(this.#events, 'idle');
  }

  #end(): void {
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
