// Opens, reads, writes and follows the store: the database for Couchgate's own documents (API keys,
// permission records, other grants, ended sessions, jobs, invalidations).
import { setTimeout as delay } from 'node:timers/promises';
import { writeJson } from '../json/exact-numbers.ts';
import { type ChangeRow, type Couch, type CouchAnswer, type CouchRequest, isMissing } from './couch.ts';
import { databasePath, documentPath, securityPath } from './document-path.ts';
import { describeError, type WriteLog } from './outage.ts';
import { Unavailable } from '../http-errors.ts';

export interface StoredDocument {
  readonly _id: string;
  readonly _rev?: string;
  readonly [field: string]: unknown;
}

/**
 * `quorum` is false if fewer nodes stored the document than CouchDB's quorum (202): it is lost if they fail.
 * https://docs.couchdb.org/en/stable/cluster/sharding.html
 */
export type WriteOutcome =
  | { readonly outcome: 'written'; readonly rev: string; readonly quorum: boolean }
  | { readonly outcome: 'conflict' };

/** A part of the store. `next` = the id from which the next part starts; undefined = there is none. */
export interface DocumentPage {
  readonly documents: readonly StoredDocument[];
  readonly next: string | undefined;
}

export interface ReadOptions {
  readonly conflicts?: boolean;
  readonly rev?: string;
}

export interface Store {
  /** True while the change feed of the store is up. */
  readonly up: boolean;
  /** Opens the database, creates it if it is missing, and follows it. Retries until it succeeds. */
  start(): void;
  /** Called for every change, in the order of the feed. */
  onRow(listener: (row: ChangeRow) => void): void;
  /** Called when the feed goes up or down. */
  onState(listener: (up: boolean) => void): void;
  /**
   * Reads a document; `undefined` = missing or deleted. `conflicts` = with its other leaves as `_conflicts`;
   * `rev` = that revision, if it is still there. Throws `Unavailable`, as do all functions below.
   */
  read(id: string, options?: ReadOptions): Promise<StoredDocument | undefined>;
  write(document: StoredDocument): Promise<WriteOutcome>;
  /** Writes the documents that do not conflict; conflicts are ignored. */
  writeAll(documents: readonly StoredDocument[]): Promise<void>;
  /**
   * Reads documents by their ids, in one request. Missing ones are left out. Reads one copy without a quorum:
   * a change of the last moment may be missing. So do the functions below.
   */
  readMany(ids: readonly string[]): Promise<ReadonlyMap<string, StoredDocument>>;
  /** Reads at most `limit` documents whose ids are from `start` to `end`, both included, in their order. */
  range(start: string, end: string, limit: number): Promise<DocumentPage>;
  /** Calls `take` for all documents whose id starts with `prefix`, in the order of their ids. */
  each(prefix: string, take: (document: StoredDocument) => void): Promise<void>;
  close(): void;
}

/** Written before any document: another security object could give clients access to the store (H4). */
const SECURITY = { admins: { names: [], roles: ['_admin'] }, members: { names: [], roles: ['_admin'] } };
const PAGE_ROWS = 2000;
const MAX_PAUSE_MS = 5000;

/** Creates the store; it sends nothing to CouchDB before `start`. */
export function createStore(options: {
  readonly couch: Couch;
  readonly database: string;
  /** Logs a warning: a constant message, and fields for what varies. */
  readonly report: WriteLog;
}): Store {
  return new CouchStore(options.couch, options.database, options.report);
}

class CouchStore implements Store {
  readonly #couch: Couch;
  readonly #database: string;
  readonly #path: string;
  readonly #report: WriteLog;
  readonly #rowListeners: ((row: ChangeRow) => void)[] = [];
  readonly #stateListeners: ((up: boolean) => void)[] = [];
  readonly #stop = new AbortController();
  #feed: { readonly close: () => void } | undefined = undefined;
  #up = false;

  constructor(couch: Couch, database: string, report: WriteLog) {
    this.#couch = couch;
    this.#database = database;
    this.#path = databasePath(database);
    this.#report = report;
  }

  get up(): boolean {
    return this.#up;
  }

  onRow(listener: (row: ChangeRow) => void): void {
    this.#rowListeners.push(listener);
  }

  onState(listener: (up: boolean) => void): void {
    this.#stateListeners.push(listener);
  }

  start(): void {
    void this.#open();
  }

  close(): void {
    this.#stop.abort();
    this.#feed?.close();
  }

  async read(id: string, { conflicts = false, rev }: ReadOptions = {}): Promise<StoredDocument | undefined> {
    const query = rev !== undefined ? `?rev=${rev}` : conflicts ? '?conflicts=true' : '';
    const answer = await this.#couch.ask({ method: 'GET', path: this.#pathOf(id) + query });
    if (isMissing(answer)) return undefined;
    return expect(answer, 200) as StoredDocument;
  }

  async write(document: StoredDocument): Promise<WriteOutcome> {
    const answer = await this.#couch.ask({ method: 'PUT', path: this.#pathOf(document._id), body: document });
    if (answer.status === 409) return { outcome: 'conflict' };
    const { rev } = expect(answer, 201, 202) as { rev: string };
    return { outcome: 'written', rev, quorum: answer.status === 201 };
  }

  async writeAll(docs: readonly StoredDocument[]): Promise<void> {
    expect(
      await this.#couch.ask({ method: 'POST', path: `${this.#path}/_bulk_docs`, body: { docs } }),
      201,
      202,
    );
  }

  async readMany(ids: readonly string[]): Promise<ReadonlyMap<string, StoredDocument>> {
    const path = `${this.#path}/_all_docs?include_docs=true`;
    const rows = await this.#rows({ method: 'POST', path, body: { keys: ids }, repeatable: true });
    return new Map(documentsIn(rows).map((document) => [document._id, document]));
  }

  async range(start: string, end: string, limit: number): Promise<DocumentPage> {
    const ids = `startkey=${keyOf(start)}&endkey=${keyOf(end)}&limit=${limit}`;
    const path = `${this.#path}/_all_docs?include_docs=true&conflicts=true&${ids}`;
    const rows = await this.#rows({ method: 'GET', path });
    // The first id after the last one: a row to skip may have been deleted in between.
    const next = rows.length < limit ? undefined : `${rows.at(-1)?.id ?? ''}\u0000`;
    return { documents: documentsIn(rows), next };
  }

  async each(prefix: string, take: (document: StoredDocument) => void): Promise<void> {
    for (let start: string | undefined = prefix; start !== undefined;) {
      const page: DocumentPage = await this.range(start, `${prefix}\ufff0`, PAGE_ROWS);
      page.documents.forEach(take);
      start = page.next;
    }
  }

  async #open(): Promise<void> {
    const signal = this.#stop.signal;
    for (let pauseMs = 100; !signal.aborted; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      try {
        await ensureDatabase(this.#couch, this.#database);
        this.#follow();
        return;
      } catch (error) {
        const detail = describeError(error);
        this.#report('store database cannot be opened yet', { database: this.#database, detail });
        await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  #follow(): void {
    if (this.#stop.signal.aborted) return;
    this.#feed = this.#couch.follow(this.#database, {
      change: (row) => {
        for (const listener of this.#rowListeners) listener(row);
      },
      state: (up) => {
        this.#up = up;
        for (const listener of this.#stateListeners) listener(up);
      },
    });
  }

  async #rows(request: CouchRequest): Promise<readonly Row[]> {
    const answer = await this.#couch.ask({ ...request, timeoutMs: 60_000 });
    return (expect(answer, 200) as { readonly rows: readonly Row[] }).rows;
  }

  #pathOf(id: string): string {
    return documentPath(this.#database, id);
  }
}

/** A row of `_all_docs`. */
interface Row {
  readonly id?: string;
  readonly doc?: StoredDocument | null;
}

function documentsIn(rows: readonly Row[]): readonly StoredDocument[] {
  return rows.flatMap(({ doc }) => (doc && doc['_deleted'] !== true ? [doc] : []));
}

function keyOf(id: string): string {
  return encodeURIComponent(JSON.stringify(id));
}

/**
 * Creates the database if it is missing, and gives access only to server admins. Throws `Unavailable`.
 */
export async function ensureDatabase(couch: Couch, database: string): Promise<void> {
  const path = databasePath(database);
  const found = await couch.ask({ method: 'GET', path });
  if (found.status === 404) {
    // Few and small documents: two shards (q=2) make the change feed of every replica cheap. 412 = another
    // replica created it first.
    expect(await couch.ask({ method: 'PUT', path: `${path}?q=2` }), 201, 202, 412);
  } else {
    expect(found, 200);
  }
  const security = securityPath(database);
  const current = expect(await couch.ask({ method: 'GET', path: security }), 200);
  if (writeJson(current) === JSON.stringify(SECURITY)) return;
  expect(await couch.ask({ method: 'PUT', path: security, body: SECURITY }), 200);
}

function expect(answer: CouchAnswer, ...statuses: readonly number[]): unknown {
  if (statuses.includes(answer.status)) return answer.body;
  // Also for 401 and 403: they concern Couchgate's own credentials, not the client's.
  throw new Unavailable('The store of Couchgate is not available at present.', {
    detail: `the store answered ${answer.status}`,
  });
}
