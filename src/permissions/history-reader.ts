// Reads the history of permissions: the ids first, then one document at a time. A holder of `_security`
// decides how large the entries are, so that a page of them has no bound (H27).
import { type Couch, type CouchAnswer } from '../couch/couch.ts';
import { databasePath, documentPath } from '../couch/document-path.ts';
import { Unavailable } from '../http-errors.ts';
import {
  databaseKey,
  type EntryId,
  type HistoryEntry,
  parseEntry,
  parseId,
  revisionKey,
  WHOLE_EVERY,
  type WholeEntry,
  wholeAfter,
} from './history-document.ts';

/** The place of an entry in the history database. */
export interface StoredId extends EntryId {
  readonly id: string;
  readonly rev: string;
}

export interface HistoryPage {
  /** The newest first, without the objects. */
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

const PAGE_IDS = 2000;
/** More than this, in about bytes of JSON, ends a page before its limit. */
const PAGE_SIZE = 2 * 1024 * 1024;

interface Row {
  readonly id: string;
  readonly value: { readonly rev: string };
}

export class HistoryReader {
  readonly #couch: Pick<Couch, 'ask'>;
  readonly #historyDatabase: string;

  constructor(couch: Pick<Couch, 'ask'>, historyDatabase: string) {
    this.#couch = couch;
    this.#historyDatabase = historyDatabase;
  }

  /**
   * The newest entries; fewer than the limit if they are large. Memory holds one page and one entry. Throws
   * `Unavailable`.
   */
  async list({ database, generation, limit, before }: HistoryQuery): Promise<HistoryPage> {
    const entries: HistoryEntry[] = [];
    let size = 0;
    let last: StoredId | undefined;
    for await (const id of this.#newestIds(database, before)) {
      if (generation !== undefined && id.generation !== generation) continue;
      if (isSameChange(id, last)) continue;
      if (entries.length === limit || size > PAGE_SIZE) return { entries, before: entries.at(-1)?.revision };
      const entry = await this.#read(id);
      // Deleted meanwhile, or not written by Couchgate.
      if (entry === undefined) continue;
      entries.push(withoutObjects(entry));
      size += sizeOf(entry);
      last = id;
    }
    return { entries, before: undefined };
  }

  /**
   * The entry of a revision with the whole object after it. `undefined` = no such revision, or the history
   * has a gap. Throws `Unavailable`.
   */
  async at(
    database: string,
    revision: number,
    generation: string | undefined,
  ): Promise<WholeEntry | undefined> {
    let whole: WholeEntry | undefined;
    for (const id of await this.#chainTo(database, revision, generation)) {
      const entry = await this.#read(id);
      whole = entry === undefined ? undefined : wholeAfter(whole, entry);
      if (whole === undefined) return undefined;
    }
    return whole;
  }

  /** The ids of entries that start with `prefix`, the oldest first. */
  async *ids(prefix: string): AsyncGenerator<StoredId> {
    yield* this.#idsBetween(prefix, `${prefix}\ufff0`, false);
  }

  /** Ids from the last whole entry up to a revision, the oldest first; empty if there is no such chain. */
  async #chainTo(
    database: string,
    revision: number,
    generation: string | undefined,
  ): Promise<readonly StoredId[]> {
    const chain: StoredId[] = [];
    for await (const id of this.#newestIds(database, revision + 1)) {
      if (chain.length === 0 && id.revision !== revision) return [];
      if (id.generation !== (chain[0]?.generation ?? generation ?? id.generation)) continue;
      if (isSameChange(id, chain[0])) {
        if (!id.isWhole) continue;
        chain.shift();
      }
      chain.unshift(id);
      if (id.isWhole) return chain;
      if (chain.length > WHOLE_EVERY) return [];
    }
    return [];
  }

  #newestIds(database: string, before: number | undefined): AsyncGenerator<StoredId> {
    const start = before === undefined ? `${databaseKey(database)}\ufff0` : revisionKey(database, before);
    return this.#idsBetween(start, databaseKey(database), true);
  }

  async *#idsBetween(startKey: string, endKey: string, isDescending: boolean): AsyncGenerator<StoredId> {
    let start = startKey;
    for (let skip = 0; ; skip = 1) {
      const query = new URLSearchParams({
        ...(isDescending ? { descending: 'true' } : {}),
        startkey: JSON.stringify(start),
        endkey: JSON.stringify(endKey),
        limit: String(PAGE_IDS),
        skip: String(skip),
      });
      const answer = await this.#get(`${databasePath(this.#historyDatabase)}/_all_docs?${query.toString()}`);
      const rows = (answer as { readonly rows?: readonly Row[] } | undefined)?.rows ?? [];
      for (const { id, value } of rows) {
        const parsed = parseId(id);
        if (parsed !== undefined) yield { ...parsed, id, rev: value.rev };
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE_IDS) return;
      start = last.id;
    }
  }

  async #read({ id }: StoredId): Promise<HistoryEntry | undefined> {
    return parseEntry(await this.#get(documentPath(this.#historyDatabase, id)));
  }

  /** The answer; `undefined` for 404: the first entry creates the database, and entries are deleted. */
  async #get(path: string): Promise<unknown> {
    const answer = await this.#couch.ask({ method: 'GET', path, exact: true });
    return answer.status === 404 ? undefined : expectStatus(answer, 200);
  }
}

/** The body of an answer with one of these statuses. Throws `Unavailable` for any other. */
export function expectStatus({ status, body }: CouchAnswer, ...statuses: readonly number[]): unknown {
  if (statuses.includes(status)) return body;
  throw new Unavailable('The history of permissions is not available at present.', {
    detail: `the history database answered ${status}`,
  });
}

/** True if two processes have stored the same change, one of them whole. */
function isSameChange(id: EntryId, other: EntryId | undefined): boolean {
  return other?.revision === id.revision && other.generation === id.generation;
}

/** Frees the memory of the objects as soon as the entry is read. */
function withoutObjects(entry: HistoryEntry): HistoryEntry {
  const shown: { -readonly [Field in keyof HistoryEntry]: HistoryEntry[Field] } = { ...entry };
  delete shown.document;
  delete shown.rest;
  return shown;
}

/** About the size of the changes as JSON. */
function sizeOf({ changes }: HistoryEntry): number {
  return changes.reduce((sum, { name, before, after }) => {
    return sum + name.length + 40 + 12 * (before.length + after.length);
  }, 0);
}
