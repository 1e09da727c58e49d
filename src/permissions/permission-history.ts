// Stores the history of permissions in its own database, which no replica follows, and reads it.
import { type Couch, type CouchAnswer } from '../couch/couch.ts';
import { ensureDatabase } from '../couch/store.ts';
import { Unavailable } from '../http-errors.ts';
import {
  databaseKey,
  documentAfter,
  type EntryId,
  entryOf,
  type HistoryEntry,
  idOf,
  countOutdated,
  parseEntry,
  parseId,
  revisionKey,
  WHOLE_EVERY,
} from './history-document.ts';
import { type AcknowledgedChange } from './permission-keeper.ts';
import { type JsonObject } from './security-request.ts';

export interface HistoryPage {
  /** The newest first. */
  readonly entries: readonly HistoryEntry[];
  /** `before` of the next page; `undefined` = there is none. */
  readonly before: number | undefined;
}

export interface HistoryQuery {
  readonly database: string;
  /** Only entries of this life of the database; `undefined` = of all. */
  readonly generation: string | undefined;
  readonly limit: number;
  /** Only older revisions than this one. */
  readonly before: number | undefined;
}

export interface PermissionHistory {
  /** Stores a change. Never rejects: a failure is logged and counted, because the change is in force. */
  record(change: AcknowledgedChange): Promise<void>;
  /** Throws `Unavailable`. */
  list(query: HistoryQuery): Promise<HistoryPage>;
  /**
   * The entry of a revision with the whole object after it. `undefined` = no such revision, or the history
   * has a gap. Throws `Unavailable`.
   */
  at(
    database: string,
    revision: number,
    generation: string | undefined,
  ): Promise<{ readonly entry: HistoryEntry; readonly document: JsonObject } | undefined>;
  /** Deletes the entries of all databases that are too old. Throws `Unavailable`. */
  sweep(): Promise<void>;
  /** Number of changes that could not be stored. */
  readonly lost: number;
  /** Starts the daily sweep. */
  start(): void;
  close(): void;
}

export interface PermissionHistoryOptions {
  readonly couch: Couch;
  readonly historyDatabase: string;
  /** Entries per database. */
  readonly keep: number;
  readonly keepDays: number;
  readonly report: (message: string, fields: object) => void;
  readonly now?: () => number;
}

const DAY_MS = 86_400_000;
const PAGE_IDS = 2000;
/** Entries per request. */
const PAGE_ENTRIES = 200;
const MAX_KNOWN_DATABASES = 100_000;

export function createPermissionHistory(options: PermissionHistoryOptions): PermissionHistory {
  return new CouchHistory(options);
}

interface Row {
  readonly id: string;
  readonly value: { readonly rev: string };
  readonly doc?: unknown;
}

class CouchHistory implements PermissionHistory {
  readonly #options: PermissionHistoryOptions;
  readonly #path: string;
  readonly #now: () => number;
  /** Databases with an entry of this process: the first one of a process is whole. */
  readonly #known = new Set<string>();
  #timer: NodeJS.Timeout | undefined = undefined;
  lost = 0;

  constructor(options: PermissionHistoryOptions) {
    this.#options = options;
    this.#path = `/${encodeURIComponent(options.historyDatabase)}`;
    this.#now = options.now ?? Date.now;
  }

  start(): void {
    // Replicas that start together do not sweep together.
    const wait = DAY_MS * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => {
      void this.sweep().catch((error: unknown) =>
        this.#report('permission history cannot be cleaned', error),
      );
      this.start();
    }, wait).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  async record(change: AcknowledgedChange): Promise<void> {
    const { database, revision } = change;
    if (this.#options.keep === 0) return;
    try {
      const entry = entryOf(change, !this.#known.has(database));
      await this.#write(entry);
      if (this.#known.size >= MAX_KNOWN_DATABASES) this.#known.clear();
      this.#known.add(database);
    } catch (error) {
      this.lost += 1;
      // The next entry is whole: it cannot be derived from this one.
      this.#known.delete(database);
      this.#report('change of permissions is missing in the history', error, { database, revision });
      return;
    }
    if (revision % WHOLE_EVERY === 0)
      void this.#prune(database).catch((error: unknown) =>
        this.#report('permission history cannot be cleaned', error, { database }),
      );
  }

  async list({ database, generation, limit, before }: HistoryQuery): Promise<HistoryPage> {
    const entries: HistoryEntry[] = [];
    let from = before;
    for (;;) {
      const page = await this.#page(database, from, Math.min(limit + 1, PAGE_ENTRIES));
      for (const entry of page) {
        if (generation !== undefined && entry.generation !== generation) continue;
        if (isSame(entry, entries.at(-1))) continue;
        if (entries.length === limit) return { entries, before: entries.at(-1)?.revision };
        entries.push(entry);
      }
      from = page.at(-1)?.revision;
      if (from === undefined) return { entries, before: undefined };
    }
  }

  async at(
    database: string,
    revision: number,
    generation: string | undefined,
  ): ReturnType<PermissionHistory['at']> {
    const chain: HistoryEntry[] = [];
    let from: number | undefined = revision + 1;
    while (from !== undefined && chain.length <= WHOLE_EVERY) {
      const page: readonly HistoryEntry[] = await this.#page(database, from, WHOLE_EVERY + 1);
      for (const entry of page) {
        if (generation !== undefined && entry.generation !== generation) continue;
        if (chain.length === 0 && entry.revision !== revision) return undefined;
        if (isSame(entry, chain[0])) chain.shift();
        chain.unshift(entry);
        if (entry.document !== undefined) {
          const document = documentAfter(chain);
          const last = chain.at(-1);
          return document === undefined || last === undefined ? undefined : { entry: last, document };
        }
      }
      from = page.at(-1)?.revision;
    }
    return undefined;
  }

  async sweep(): Promise<void> {
    let ofDatabase: { readonly id: EntryId; readonly row: Row }[] = [];
    for await (const row of this.#ids(databaseKey())) {
      const id = parseId(row.id);
      if (id === undefined) continue;
      const current = ofDatabase[0]?.id.database;
      if (current !== undefined && current !== id.database) {
        await this.#removeOutdated(ofDatabase);
        ofDatabase = [];
      }
      ofDatabase.push({ id, row });
    }
    await this.#removeOutdated(ofDatabase);
  }

  async #prune(database: string): Promise<void> {
    const entries: { readonly id: EntryId; readonly row: Row }[] = [];
    for await (const row of this.#ids(databaseKey(database))) {
      const id = parseId(row.id);
      if (id !== undefined) entries.push({ id, row });
    }
    await this.#removeOutdated(entries);
  }

  async #removeOutdated(entries: readonly { readonly id: EntryId; readonly row: Row }[]): Promise<void> {
    const { keep, keepDays } = this.#options;
    const olderThan = Math.floor((this.#now() - keepDays * DAY_MS) / 1000);
    const count = countOutdated(
      entries.map(({ id }) => id),
      { keep, olderThan },
    );
    if (count === 0) return;
    const docs = entries
      .slice(0, count)
      .map(({ row }) => ({ _id: row.id, _rev: row.value.rev, _deleted: true }));
    const path = `${this.#path}/_bulk_docs`;
    expect(await this.#options.couch.ask({ method: 'POST', path, body: { docs } }), 201, 202);
  }

  /** Entries of a database, the newest first. */
  async #page(database: string, before: number | undefined, limit: number): Promise<readonly HistoryEntry[]> {
    const start = before === undefined ? `${databaseKey(database)}\ufff0` : revisionKey(database, before);
    const query = new URLSearchParams({
      include_docs: 'true',
      descending: 'true',
      startkey: JSON.stringify(start),
      endkey: JSON.stringify(databaseKey(database)),
      limit: String(limit),
    });
    const rows = await this.#rows(query);
    return rows.flatMap(({ doc }) => parseEntry(doc) ?? []);
  }

  /** The ids that start with `prefix`, the smallest first. */
  async *#ids(prefix: string): AsyncGenerator<Row> {
    let start = prefix;
    for (let skip = 0; ; skip = 1) {
      const query = new URLSearchParams({
        startkey: JSON.stringify(start),
        endkey: JSON.stringify(`${prefix}\ufff0`),
        limit: String(PAGE_IDS),
        skip: String(skip),
      });
      const rows = await this.#rows(query);
      yield* rows;
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE_IDS) return;
      start = last.id;
    }
  }

  async #rows(query: URLSearchParams): Promise<readonly Row[]> {
    const path = `${this.#path}/_all_docs?${query.toString()}`;
    const answer = await this.#options.couch.ask({ method: 'GET', path, exact: true });
    // The database is created with the first entry.
    if (answer.status === 404) return [];
    return (expect(answer, 200) as { readonly rows: readonly Row[] }).rows;
  }

  async #write(entry: HistoryEntry): Promise<void> {
    const { couch } = this.#options;
    const request = {
      method: 'PUT',
      path: `${this.#path}/${encodeURIComponent(idOf(entry))}`,
      body: entry,
    } as const;
    let answer = await couch.ask(request);
    if (answer.status === 404) {
      await ensureDatabase(couch, this.#path);
      answer = await couch.ask(request);
    }
    // 409: a follower has finished this change and has stored the same entry.
    expect(answer, 201, 202, 409);
  }

  #report(message: string, error: unknown, fields: object = {}): void {
    const detail = error instanceof Unavailable ? (error.detail ?? error.reason) : 'unexpected failure';
    this.#options.report(message, { ...fields, detail });
  }
}

/** True if two processes have stored the same change, one of them whole. */
function isSame(entry: HistoryEntry, other: HistoryEntry | undefined): boolean {
  return other?.revision === entry.revision && other.generation === entry.generation;
}

function expect({ status, body }: CouchAnswer, ...statuses: readonly number[]): unknown {
  if (statuses.includes(status)) return body;
  throw new Unavailable('The history of permissions is not available at present.', {
    detail: `the history database answered ${status}`,
  });
}
