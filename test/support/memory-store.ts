// A store in memory that can be unavailable, without quorum, or behind: states that a test cannot force on
// CouchDB.
import { type ChangeRow } from '../../src/couch/couch.ts';
import { Unavailable } from '../../src/http-errors.ts';
import {
  type DocumentPage,
  type Store,
  type StoredDocument,
  type WriteOutcome,
} from '../../src/couch/store.ts';

export class MemoryStore implements Store {
  readonly documents = new Map<string, StoredDocument>();
  /** The operations so far, in order: `read key:…`, `write key:…`. */
  readonly asked: string[] = [];
  up = false;
  /** True: every operation fails. */
  away = false;
  /** False: writes succeed without a quorum, like CouchDB's 202. */
  quorum = true;
  /** Called before a write is stored; if it throws, the write fails. */
  beforeWrite: (document: StoredDocument) => void = () => undefined;
  /** True: writes emit no change, as on a replica whose feed is behind. */
  muted = false;
  #rows: ((row: ChangeRow) => void)[] = [];
  #states: ((up: boolean) => void)[] = [];
  #revision = 0;

  start(): void {
    this.setUp(true);
  }

  setUp(up: boolean): void {
    this.up = up;
    for (const listener of this.#states) listener(up);
  }

  onRow(listener: (row: ChangeRow) => void): void {
    this.#rows.push(listener);
  }

  onState(listener: (up: boolean) => void): void {
    this.#states.push(listener);
  }

  /** Called when a read has its answer, before its caller gets it. */
  afterRead: (id: string) => Promise<void> | void = () => undefined;

  async read(id: string): Promise<StoredDocument | undefined> {
    await this.#record(`read ${id}`);
    const found = this.documents.get(id);
    await this.afterRead(id);
    return found;
  }

  async write(document: StoredDocument): Promise<WriteOutcome> {
    await this.#record(`write ${document._id}`);
    this.beforeWrite(document);
    return this.#put(document);
  }

  async writeAll(documents: readonly StoredDocument[]): Promise<void> {
    await this.#record(`writeAll ${documents.map(({ _id }) => _id).join(' ')}`);
    for (const document of documents) this.#put(document);
  }

  async readMany(ids: readonly string[]): Promise<ReadonlyMap<string, StoredDocument>> {
    await this.#record(`readMany ${ids.join(' ')}`);
    return new Map(
      ids.flatMap((id) => {
        const document = this.documents.get(id);
        return document === undefined ? [] : [[id, document] as const];
      }),
    );
  }

  async range(start: string, end: string, limit: number): Promise<DocumentPage> {
    await this.#record(`range ${start.replaceAll('\u0000', '')}`);
    const ids = [...this.documents.keys()].filter((id) => id >= start && id <= end).sort();
    const page = ids.slice(0, limit);
    const documents = page.map((id) => this.documents.get(id)).filter((each) => each !== undefined);
    return { documents, next: page.length < limit ? undefined : `${page.at(-1)}\u0000` };
  }

  async each(prefix: string, take: (document: StoredDocument) => void): Promise<void> {
    await this.#record(`each ${prefix}`);
    for (const [id, document] of this.documents) if (id.startsWith(prefix)) take(document);
  }

  close(): void {
    this.up = false;
  }

  /** Emits the change of a document, as the feed does. */
  deliver(id: string): void {
    const found = this.documents.get(id);
    const doc = found ?? { _id: id, _rev: `${(this.#revision += 1)}-x`, _deleted: true };
    for (const listener of this.#rows) listener({ id, deleted: found === undefined, doc });
  }

  /** A write by another replica, without a change event. */
  putSilently(document: StoredDocument): void {
    this.#revision += 1;
    this.documents.set(document._id, { ...document, _rev: `${this.#revision}-x` });
  }

  #put(document: StoredDocument): WriteOutcome {
    if (this.documents.get(document._id)?._rev !== document._rev) return { outcome: 'conflict' };
    if (document['_deleted'] === true) this.documents.delete(document._id);
    else this.putSilently(document);
    if (!this.muted) this.deliver(document._id);
    return { outcome: 'written', rev: `${this.#revision}-x`, quorum: this.quorum };
  }

  async #record(operation: string): Promise<void> {
    this.asked.push(operation);
    await Promise.resolve();
    if (this.away) throw new Unavailable('away');
  }
}
