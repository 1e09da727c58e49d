// Stores the history of permissions in its own database, which no replica follows, and deletes what is old.
import { type JsonObject } from '../json/object.ts';
import { type Couch } from '../couch/couch.ts';
import { databasePath, documentPath } from '../couch/document-path.ts';
import { ensureDatabase } from '../couch/store.ts';
import { describeError, type WriteLog } from '../couch/outage.ts';
import {
  countOutdated,
  databaseKey,
  entryOf,
  type HistoryEntry,
  idOf,
  WHOLE_EVERY,
} from './history-document.ts';
import {
  expectStatus,
  type HistoryPage,
  type HistoryQuery,
  HistoryReader,
  type StoredId,
} from './history-reader.ts';
import { type AcknowledgedChange } from './change.ts';

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
  readonly report: WriteLog;
  readonly now?: () => number;
}

const DAY_MS = 86_400_000;
const MAX_KNOWN_DATABASES = 100_000;

export function createPermissionHistory(options: PermissionHistoryOptions): PermissionHistory {
  return new CouchHistory(options);
}

class CouchHistory implements PermissionHistory {
  readonly #options: PermissionHistoryOptions;
  readonly #reader: HistoryReader;
  readonly #now: () => number;
  /** Databases with an entry of this process: the first one of a process is whole. */
  readonly #known = new Set<string>();
  #timer: NodeJS.Timeout | undefined = undefined;
  lost = 0;

  constructor(options: PermissionHistoryOptions) {
    this.#options = options;
    this.#reader = new HistoryReader(options.couch, options.historyDatabase);
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

  list(query: HistoryQuery): Promise<HistoryPage> {
    return this.#reader.list(query);
  }

  at(
    database: string,
    revision: number,
    generation: string | undefined,
  ): ReturnType<PermissionHistory['at']> {
    return this.#reader.at(database, revision, generation);
  }

  async sweep(): Promise<void> {
    let ofDatabase: StoredId[] = [];
    for await (const id of this.#reader.ids(databaseKey())) {
      const current = ofDatabase[0]?.database;
      if (current !== undefined && current !== id.database) {
        await this.#removeOutdated(ofDatabase);
        ofDatabase = [];
      }
      ofDatabase.push(id);
    }
    await this.#removeOutdated(ofDatabase);
  }

  async #prune(database: string): Promise<void> {
    const ids: StoredId[] = [];
    for await (const id of this.#reader.ids(databaseKey(database))) ids.push(id);
    await this.#removeOutdated(ids);
  }

  async #removeOutdated(ids: readonly StoredId[]): Promise<void> {
    const { couch, historyDatabase, keep, keepDays } = this.#options;
    const olderThan = Math.floor((this.#now() - keepDays * DAY_MS) / 1000);
    const count = countOutdated(ids, { keep, olderThan });
    if (count === 0) return;
    const docs = ids.slice(0, count).map(({ id, rev }) => ({ _id: id, _rev: rev, _deleted: true }));
    const path = `${databasePath(historyDatabase)}/_bulk_docs`;
    expectStatus(await couch.ask({ method: 'POST', path, body: { docs } }), 201, 202);
  }

  async #write(entry: HistoryEntry): Promise<void> {
    const { couch, historyDatabase } = this.#options;
    const request = {
      method: 'PUT',
      path: documentPath(historyDatabase, idOf(entry)),
      body: entry,
    } as const;
    let answer = await couch.ask(request);
    if (answer.status === 404) {
      await ensureDatabase(couch, historyDatabase);
      answer = await couch.ask(request);
    }
    // 409: a follower has finished this change and has stored the same entry.
    expectStatus(answer, 201, 202, 409);
  }

  #report(message: string, error: unknown, fields: object = {}): void {
    this.#options.report(message, { ...fields, detail: describeError(error) });
  }
}
