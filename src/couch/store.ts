// The database in which Couchgate keeps what CouchDB does not know: opened, read, written and followed. What its documents mean is the
// key store's and the news desk's business.
import { setTimeout as delay } from 'node:timers/promises';
import { type ChangeRow, type Couch, type CouchAnswer } from './couch.ts';
import { Unavailable } from '../http-errors.ts';

export interface StoredDocument {
  readonly _id: string;
  readonly _rev?: string;
  readonly [field: string]: unknown;
}

/** `quorum` is false when fewer nodes than CouchDB wants have the document (202): it may yet be lost with them. */
export type WriteOutcome =
  | { readonly outcome: 'written'; readonly rev: string; readonly quorum: boolean }
  | { readonly outcome: 'conflict' };

export interface Store {
  /** True while every change of the store is known to arrive here. */
  readonly up: boolean;
  /** Opens the database, created where it is missing, and follows it; goes on trying until it can. */
  start(): void;
  onRow(listener: (row: ChangeRow) => void): void;
  onState(listener: (up: boolean) => void): void;
  /** Throws `Unavailable`, as all that follow. */
  read(id: string): Promise<StoredDocument | undefined>;
  write(document: StoredDocument): Promise<WriteOutcome>;
  /** Writes what it can; conflicts are left to their winners. */
  writeAll(documents: readonly StoredDocument[]): Promise<void>;
  /** Hands out all documents whose id begins with `prefix`. */
  each(prefix: string, take: (document: StoredDocument) => void): Promise<void>;
  close(): void;
}

/** Written before anything else is: with a missing object or another one the database could be open to its members (H4). */
const SECURITY = { admins: { names: [], roles: ['_admin'] }, members: { names: [], roles: ['_admin'] } };
const PAGE = 2000;
const LONGEST_PAUSE_MS = 5000;

export function createStore(options: {
  readonly couch: Couch;
  readonly database: string;
  readonly report: (message: string) => void;
}): Store {
  return new CouchStore(options.couch, options.database, options.report);
}

class CouchStore implements Store {
  readonly #couch: Couch;
  readonly #database: string;
  readonly #path: string;
  readonly #report: (message: string) => void;
  readonly #rowListeners: ((row: ChangeRow) => void)[] = [];
  readonly #stateListeners: ((up: boolean) => void)[] = [];
  readonly #stop = new AbortController();
  #feed: { readonly close: () => void } | undefined = undefined;
  #up = false;

  constructor(couch: Couch, database: string, report: (message: string) => void) {
    this.#couch = couch;
    this.#database = database;
    this.#path = `/${encodeURIComponent(database)}`;
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

  async read(id: string): Promise<StoredDocument | undefined> {
    const answer = await this.#couch.ask({ method: 'GET', path: this.#pathOf(id) });
    if (answer.status === 404) return undefined;
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

  async each(prefix: string, take: (document: StoredDocument) => void): Promise<void> {
    const end = encodeURIComponent(JSON.stringify(`${prefix}\ufff0`));
    let start = prefix;
    for (let rows = PAGE, skip = 0; rows === PAGE; skip = 1) {
      const range = `startkey=${encodeURIComponent(JSON.stringify(start))}&endkey=${end}&skip=${skip}`;
      const path = `${this.#path}/_all_docs?include_docs=true&limit=${PAGE}&${range}`;
      const page = expect(await this.#couch.ask({ method: 'GET', path, timeoutMs: 60_000 }), 200) as {
        readonly rows: readonly { readonly id: string; readonly doc: StoredDocument | null }[];
      };
      for (const { id, doc } of page.rows) {
        if (doc !== null) take(doc);
        start = id;
      }
      rows = page.rows.length;
    }
  }

  async #open(): Promise<void> {
    const signal = this.#stop.signal;
    for (let pauseMs = 100; !signal.aborted; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        await ensureDatabase(this.#couch, this.#path);
        this.#follow();
        return;
      } catch (error) {
        const detail = error instanceof Unavailable ? (error.detail ?? error.reason) : 'unexpected failure';
        this.#report(`The store database cannot be opened yet: ${detail}`);
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

  #pathOf(id: string): string {
    return `${this.#path}/${encodeURIComponent(id)}`;
  }
}

/** Creates the database where it is missing, and shuts it to everybody but server admins. Throws `Unavailable`. */
export async function ensureDatabase(couch: Couch, path: string): Promise<void> {
  const found = await couch.ask({ method: 'GET', path });
  if (found.status === 404) {
    // Few and small documents: q=2 keeps the change feed of every replica cheap. 412 = another replica was quicker.
    expect(await couch.ask({ method: 'PUT', path: `${path}?q=2` }), 201, 202, 412);
  } else {
    expect(found, 200);
  }
  const security = `${path}/_security`;
  const current = expect(await couch.ask({ method: 'GET', path: security }), 200);
  if (JSON.stringify(current) === JSON.stringify(SECURITY)) return;
  expect(await couch.ask({ method: 'PUT', path: security, body: SECURITY }), 200);
}

function expect(answer: CouchAnswer, ...statuses: readonly number[]): unknown {
  if (statuses.includes(answer.status)) return answer.body;
  // 401 and 403 too: CouchDB refuses Couchgate, which is no fault of the client that waits.
  throw new Unavailable('The credential store cannot be used at present.', {
    detail: `the store answered ${answer.status}`,
  });
}
