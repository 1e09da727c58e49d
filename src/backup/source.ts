// Reads a database for a backup: its properties, its changes, all leaves of documents, and attachments.
import { type Readable } from 'node:stream';
import { AnswerTooLarge } from '../couch/failure.ts';
import { type CouchTransfer } from '../couch/transfer.ts';
import { attachmentPath, databasePath, isAcceptedPath } from '../couch/document-path.ts';
import { Unavailable } from '../http-errors.ts';
import { parseJson, parseStored } from '../json/parse.ts';
import { documentsIn, textOf, type DocumentRead } from './bulk-get-answer.ts';
import { rowsIn, type ChangeRow, type ChangesAnswer } from './changes-answer.ts';
import { documentFault, RefusedRead } from './document-fault.ts';
import { BackupError } from './errors.ts';
import { hasMajority } from './majority.ts';
import { type LeafText } from './leaf.ts';
import { FEW_LEAVES } from './page-groups.ts';
import { type DatabaseProperties } from './snapshot.ts';

export { type ChangeRow };

export interface DatabaseInfo {
  readonly instance_start_time: string;
  readonly purge_seq: string;
  readonly update_seq: string;
  /** Documents and tombstones, for the progress. */
  readonly total: number;
  readonly q: number;
  readonly n: number;
  readonly partitioned: boolean;
}

export interface ChangesPage {
  readonly rows: readonly ChangeRow[];
  /** Continues after this page. */
  readonly since: string;
  /** Rows after this page, as CouchDB estimates them. */
  readonly pending: number;
  /** True if it has what was written before it was asked for. An empty page might never come (H39.10). */
  readonly isLast: boolean;
}

/** Statuses of a request that do not depend on its documents. */
const REFUSED_TO_ALL = new Set([401, 403, 404]);

export interface ReadOptions {
  /** A larger answer is not read. */
  readonly maxBytes?: number;
  /** With the data of attachments in the JSON. */
  readonly withData?: boolean;
  readonly patienceMs?: number;
}

/** The database vanished, or was never there. */
export class NoDatabase extends BackupError {}

/** A `_bulk_get` of normal documents is far smaller; a larger one is asked for in parts. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const CHANGES_PAGE = 5000;

export class DatabaseSource {
  readonly database: string;
  readonly #couch: CouchTransfer;
  readonly #path: string;
  readonly #quorum: string;

  /** `copies` = how many answer a read of documents; default: the majority. */
  constructor(couch: CouchTransfer, database: string, copies?: number) {
    this.database = database;
    this.#couch = couch;
    this.#path = databasePath(database);
    this.#quorum = copies === undefined ? '' : `&r=${copies}`;
  }

  /** Throws `NoDatabase`. */
  async info(): Promise<DatabaseInfo> {
    const body = (await this.#json('')) as {
      readonly instance_start_time?: string;
      readonly purge_seq?: string | number;
      readonly update_seq?: string | number;
      readonly doc_count?: number;
      readonly doc_del_count?: number;
      readonly cluster?: { readonly q?: number; readonly n?: number };
      readonly props?: { readonly partitioned?: boolean };
    };
    return {
      instance_start_time: body.instance_start_time ?? '0',
      purge_seq: String(body.purge_seq ?? '0'),
      update_seq: String(body.update_seq ?? '0'),
      total: (body.doc_count ?? 0) + (body.doc_del_count ?? 0),
      q: body.cluster?.q ?? 2,
      n: body.cluster?.n ?? 3,
      partitioned: body.props?.partitioned === true,
    };
  }

  async properties(info: DatabaseInfo): Promise<DatabaseProperties> {
    const [revs, purged] = await Promise.all([
      this.#json('/_revs_limit'),
      this.#json('/_purged_infos_limit', [404, 501]),
    ]);
    return {
      q: info.q,
      n: info.n,
      partitioned: info.partitioned,
      revs_limit: typeof revs === 'number' ? revs : 1000,
      purged_infos_limit: typeof purged === 'number' ? purged : 1000,
    };
  }

  /** The security object as CouchDB has it. */
  async security(): Promise<unknown> {
    return this.#json('/_security');
  }

  /** Reads the next rows of the feed, at most `limit`; fewer if they are very long. */
  async changes(since: string, limit = CHANGES_PAGE): Promise<ChangesPage> {
    try {
      return await this.#changes(since, limit, 'all_docs', MAX_ANSWER_BYTES);
    } catch (error) {
      if (!(error instanceof AnswerTooLarge)) throw error;
      if (limit > 1) return this.changes(since, limit >>> 2 || 1);
      // One document with very many leaves, which are then read by its id.
      const page = await this.#changes(since, 1, 'main_only', Infinity);
      return { ...page, rows: page.rows.map(({ id }) => ({ id, revs: [] })) };
    }
  }

  async #changes(since: string, limit: number, style: string, maxBytes: number): Promise<ChangesPage> {
    // A sequence for every row would cost CouchDB as much as the row.
    const query = `?style=${style}&limit=${limit}&seq_interval=${limit}&since=${encodeURIComponent(since)}`;
    const path = `${this.#path}/_changes${query}`;
    const answer = await this.#couch.ask({ method: 'GET', path }, maxBytes);
    if (answer.status !== 200) throw this.#failure(answer.status, '_changes');
    const body = this.#parsed(answer.bytes, '_changes') as ChangesAnswer;
    const rows = rowsIn(body);
    return { rows, since: String(body.last_seq), pending: body.pending ?? 0, isLast: rows.length < limit };
  }

  /**
   * Reads all leaves of the documents, with `_revisions`, without attachments. Every id has a result. If
   * CouchDB fails, or its answer is too large or cannot be read, the documents are read in small parts, then
   * one by one: one of them must not be the reason why others are not in the backup (H39.2).
   */
  async leaves(
    ids: readonly string[],
    options: Pick<ReadOptions, 'patienceMs'> = {},
  ): Promise<readonly DocumentRead[]> {
    if (ids.length === 0) return [];
    const docs = ids.map((id) => ({ id }));
    try {
      return documentsIn(ids, await this.#bulkGet(docs, options));
    } catch (error) {
      const [id = '', ...others] = ids;
      const problem = documentFault(error);
      if (problem === undefined) throw error;
      if (others.length === 0)
        return [error instanceof AnswerTooLarge ? { id, isLarge: true } : { id, error: problem }];
      const size = ids.length > FEW_LEAVES ? FEW_LEAVES : 1;
      // One after the other, and without patience: an outage has been waited for.
      const reads: DocumentRead[] = [];
      for (let at = 0; at < ids.length; at += size)
        reads.push(...(await this.leaves(ids.slice(at, at + size), { patienceMs: 0 })));
      return reads;
    }
  }

  /** Reads all leaves of one document, which are `revs` if nobody has changed it since. */
  async document(id: string, revs: readonly string[], options: ReadOptions = {}): Promise<DocumentRead> {
    if (revs.length > FEW_LEAVES) return this.revisions(id, revs, options);
    const [read] = await this.leaves([id], options);
    return read ?? { id, error: 'CouchDB returned no result' };
  }

  /** Reads these revisions of one document, a few with each request (H39.7). */
  async revisions(id: string, revs: readonly string[], options: ReadOptions = {}): Promise<DocumentRead> {
    const { maxBytes = MAX_ANSWER_BYTES } = options;
    const leaves: LeafText[] = [];
    let characters = 0;
    for (let at = 0; at < revs.length; at += FEW_LEAVES) {
      const read = await this.#fewRevisions(id, revs.slice(at, at + FEW_LEAVES), options);
      if (!('leaves' in read)) return read;
      for (const { raw } of read.leaves) characters += raw.length;
      if (characters > maxBytes) return { id, isLarge: true };
      leaves.push(...read.leaves);
    }
    return { id, leaves };
  }

  async #fewRevisions(id: string, revs: readonly string[], options: ReadOptions): Promise<DocumentRead> {
    const docs = revs.map((rev) => ({ id, rev }));
    try {
      const [read] = documentsIn([id], await this.#bulkGet(docs, options));
      return read ?? { id, error: 'CouchDB returned no result' };
    } catch (error) {
      if (error instanceof AnswerTooLarge) return { id, isLarge: true };
      const problem = documentFault(error);
      if (problem === undefined) throw error;
      return { id, error: problem };
    }
  }

  /** Throws `RefusedRead` if CouchDB fails at these documents, but answers a read of none. */
  async #bulkGet(docs: readonly object[], options: ReadOptions = {}): Promise<Buffer> {
    for (let attempt = 1; ; attempt += 1)
      try {
        return await this.#askBulkGet(docs, options);
      } catch (error) {
        if (!(error instanceof Unavailable) || error instanceof AnswerTooLarge) throw error;
        // With all the patience that an outage gets, whose failure is thrown.
        await this.#askBulkGet([]);
        // A single document gets a second chance after an outage; several are asked for in parts.
        if (attempt === 2 || docs.length > 1)
          throw new RefusedRead(
            `CouchDB fails at it${error.detail === undefined ? '' : ` (${error.detail})`}`,
          );
      }
  }

  async #askBulkGet(
    docs: readonly object[],
    { maxBytes = MAX_ANSWER_BYTES, withData = false, patienceMs }: ReadOptions = {},
  ): Promise<Buffer> {
    const query = `?revs=true&att_encoding_info=true${withData ? '&attachments=true' : ''}${this.#quorum}`;
    const patience = patienceMs === undefined ? {} : { patienceMs };
    const answer = await this.#couch.ask(
      {
        method: 'POST',
        path: `${this.#path}/_bulk_get${query}`,
        body: JSON.stringify({ docs }),
        repeatable: true,
        mayEndNode: docs.length > 0,
        ...patience,
      },
      maxBytes,
    );
    if (answer.status === 200) return answer.bytes;
    const failure = this.#failure(answer.status, '_bulk_get');
    throw REFUSED_TO_ALL.has(answer.status) ? failure : new RefusedRead(failure.message);
  }

  /**
   * The leaf revisions that the feed names now. In a cluster, one copy says so, which may lag behind: that it
   * names none is no proof of a purge. Throws `AnswerTooLarge` if they are too many.
   */
  async leafRevisions(id: string): Promise<readonly string[]> {
    return (await this.leafRevisionsOf([id])).get(id) ?? [];
  }

  /** As `leafRevisions`, of several documents. What the feed does not name is left out. */
  async leafRevisionsOf(ids: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    const path = `${this.#path}/_changes?filter=_doc_ids&style=all_docs`;
    const body = JSON.stringify({ doc_ids: ids });
    const request = { method: 'POST', path, body, repeatable: true } as const;
    const answer = await this.#couch.ask(request, MAX_ANSWER_BYTES);
    if (answer.status !== 200) throw this.#failure(answer.status, '_changes');
    return new Map(rowsIn(parseJson(answer.bytes) as ChangesAnswer).map(({ id, revs }) => [id, revs]));
  }

  /** True if CouchDB shows a majority of the copies: what all of them lack was purged. */
  hasMajority(): Promise<boolean> {
    return hasMajority(this.#couch, this.#path);
  }

  /**
   * Opens the content of an attachment of one revision; undefined if it is not there, or if no path can name
   * it. `isEncoded` = as CouchDB stores it, if that is compressed.
   */
  async attachment(
    id: string,
    rev: string,
    name: string,
    { isEncoded, patienceMs }: { readonly isEncoded: boolean; readonly patienceMs: number },
  ): Promise<Readable | undefined> {
    const path = `${attachmentPath(this.database, id, name)}?rev=${encodeURIComponent(rev)}`;
    // Without a name, it would be the path of the document.
    if (name === '' || !isAcceptedPath(path)) return undefined;
    const request = { method: 'GET', path, acceptGzip: isEncoded, patienceMs } as const;
    const { status, body } = await this.#couch.read(request);
    return status === 200 ? body : undefined;
  }

  async #json(path: string, absent: readonly number[] = []): Promise<unknown> {
    const answer = await this.#couch.ask({ method: 'GET', path: `${this.#path}${path}` });
    if (answer.status === 200) return parseStored(answer.bytes);
    if (absent.includes(answer.status)) return undefined;
    throw this.#failure(answer.status, path);
  }

  #parsed(bytes: Buffer, path: string): unknown {
    try {
      return JSON.parse(textOf(bytes));
    } catch {
      throw new BackupError(`Reading ${path} of ${this.database} failed: CouchDB did not return JSON.`);
    }
  }

  #failure(status: number, path: string): BackupError {
    const what = path === '' ? 'the database' : (path.split('?', 1)[0] ?? '').replace(/^\//, '');
    if (status === 404) return new NoDatabase(`The database ${this.database} does not exist.`);
    return new BackupError(`Reading ${what} of ${this.database} failed: CouchDB answered ${status}.`);
  }
}
