// Reads the documents of a database page by page, with the rights of the caller. A page is small, so that
// memory stays constant and no other request of the process waits long.
import { databasePath } from '../couch/document-path.ts';
import { AnswerTooLarge } from '../couch/failure.ts';
import { type CouchTransfer, type TransferAnswer } from '../couch/transfer.ts';
import { BadGateway, Forbidden, type HttpError, NotFound } from '../http-errors.ts';
import { buildAnswer } from '../json/portions.ts';
import { type ExportOptions } from './options.ts';

export type ExportedDocument = Readonly<Record<string, unknown>>;

export interface DocumentPage {
  readonly documents: readonly ExportedDocument[];
  /** About the size of the documents as JSON. */
  readonly bytes: number;
}

export interface PageSource {
  readonly couch: Pick<CouchTransfer, 'ask'>;
  readonly database: string;
  readonly signal: AbortSignal;
}

type Choice = Pick<ExportOptions, 'deleted' | 'design' | 'conflicts'>;

const TARGET_BYTES = 256 * 1024;
const MAX_BYTES = 8 * 1024 * 1024;
const MAX_ROWS = 1000;
const FIRST_ROWS = 50;

/**
 * Yields pages of documents in the order of their ids; with `deleted`, in the order of their changes.
 * Documents that are written meanwhile may be in it or not. Throws an HttpError if CouchDB refuses.
 */
export async function* documentPages(source: PageSource, choice: Choice): AsyncGenerator<DocumentPage> {
  const rows = choice.deleted ? changedRows(source, choice) : listedRows(source, choice);
  for await (const { documents, bytes } of rows) {
    const wanted = documents.filter(({ _id: id }) => choice.design || !String(id).startsWith('_design/'));
    const page = { documents: wanted, bytes };
    if (choice.conflicts) yield* withConflicts(source, page);
    else yield page;
  }
}

/** A page size that follows the size of the documents. */
class PageSize {
  rows = FIRST_ROWS;

  /** Learns from an answer. */
  took(rows: number, bytes: number): void {
    const fitting = Math.floor(TARGET_BYTES / Math.max(1, bytes / Math.max(1, rows)));
    this.rows = Math.min(MAX_ROWS, 2 * this.rows, Math.max(1, fitting));
  }

  /** Reads a page, a smaller one as long as the answer is too large. */
  async read(ask: (rows: number, maxBytes: number) => Promise<TransferAnswer>): Promise<Buffer> {
    for (;;) {
      try {
        const answer = await ask(this.rows, this.rows === 1 ? Infinity : MAX_BYTES);
        if (answer.status !== 200) throw refusalOf(answer.status);
        return answer.bytes;
      } catch (error) {
        if (!(error instanceof AnswerTooLarge)) throw error;
        this.rows = Math.max(1, this.rows >>> 2);
      }
    }
  }
}

interface RowWithDocument {
  /** Null if the document was deleted meanwhile. */
  readonly doc?: ExportedDocument | null;
}

interface ListedRow extends RowWithDocument {
  readonly id: string;
}

function documentsOf(rows: readonly RowWithDocument[]): readonly ExportedDocument[] {
  return rows.flatMap(({ doc }): readonly ExportedDocument[] =>
    doc === undefined || doc === null ? [] : [doc],
  );
}

async function* listedRows(
  { couch, database, signal }: PageSource,
  { conflicts }: Choice,
): AsyncGenerator<DocumentPage> {
  const size = new PageSize();
  const more = conflicts ? '&conflicts=true' : '';
  for (let last: string | undefined; ;) {
    // In the body: an id may be longer than the path that CouchDB accepts (H33).
    const body = JSON.stringify(last === undefined ? {} : { start_key: last });
    // The last row again, to find the place: `skip` would leave a document out if that one was deleted.
    const extra = last === undefined ? 0 : 1;
    const bytes = await size.read((rows, maxBytes) => {
      const path = `${databasePath(database)}/_all_docs?include_docs=true${more}&limit=${rows + extra}`;
      return couch.ask({ method: 'POST', path, body, repeatable: true, mayEndNode: true, signal }, maxBytes);
    });
    const { rows } = (await valueOf(bytes)) as { readonly rows?: readonly ListedRow[] };
    if (!Array.isArray(rows)) throw notAList();
    const found = (rows as readonly ListedRow[]).filter(({ id }) => id !== last);
    const isLast = rows.length < size.rows + extra;
    last = found.at(-1)?.id ?? last;
    size.took(rows.length, bytes.length);
    yield { documents: documentsOf(found), bytes: bytes.length };
    if (isLast) return;
  }
}

async function* changedRows(
  { couch, database, signal }: PageSource,
  { conflicts }: Choice,
): AsyncGenerator<DocumentPage> {
  const size = new PageSize();
  const more = conflicts ? '&conflicts=true' : '';
  for (let since = '0'; ;) {
    const bytes = await size.read((rows, maxBytes) => {
      const query = `?include_docs=true${more}&limit=${rows}&since=${encodeURIComponent(since)}`;
      return couch.ask(
        { method: 'GET', path: `${databasePath(database)}/_changes${query}`, mayEndNode: true, signal },
        maxBytes,
      );
    });
    const { results, last_seq: lastSeq } = (await valueOf(bytes)) as {
      readonly results?: readonly RowWithDocument[];
      readonly last_seq: string | number;
    };
    if (!Array.isArray(results)) throw notAList();
    const isLast = results.length < size.rows;
    since = String(lastSeq);
    size.took(results.length, bytes.length);
    yield { documents: documentsOf(results as readonly RowWithDocument[]), bytes: bytes.length };
    if (isLast) return;
  }
}

/**
 * Adds the losing revisions after their winner. They are read one by one and yielded as soon as they are a
 * page: a document may have so many that all of them would take all memory (H33).
 */
async function* withConflicts(source: PageSource, page: DocumentPage): AsyncGenerator<DocumentPage> {
  const bytesOfWinner = page.bytes / Math.max(1, page.documents.length);
  let documents: ExportedDocument[] = [];
  let bytes = 0;
  for (const winner of page.documents) {
    documents.push(winner);
    bytes += bytesOfWinner;
    const { _id: id, _conflicts: revs } = winner;
    if (!Array.isArray(revs) || typeof id !== 'string') continue;
    for (const rev of revs as readonly string[]) {
      if (bytes >= TARGET_BYTES) {
        yield { documents, bytes };
        [documents, bytes] = [[], 0];
      }
      const leaf = await readLeaf(source, id, rev);
      // A resolved conflict is gone.
      if (leaf.document !== undefined) documents.push(leaf.document);
      bytes += leaf.bytes;
    }
  }
  yield { documents, bytes };
}

async function readLeaf(
  { couch, database, signal }: PageSource,
  id: string,
  rev: string,
): Promise<{ readonly document: ExportedDocument | undefined; readonly bytes: number }> {
  const path = `${databasePath(database)}/_bulk_get`;
  const body = JSON.stringify({ docs: [{ id, rev }] });
  const answer = await couch.ask({ method: 'POST', path, body, repeatable: true, mayEndNode: true, signal });
  if (answer.status !== 200) throw refusalOf(answer.status);
  const { results } = (await valueOf(answer.bytes)) as {
    readonly results: readonly { readonly docs: readonly RevisionRead[] }[];
  };
  const { ok, error } = results[0]?.docs[0] ?? {};
  // CouchDB answers 200 too if no copy has answered it.
  if (ok === undefined && error?.error !== 'not_found')
    throw new BadGateway('CouchDB cannot read a revision.', error?.error);
  return { document: ok, bytes: answer.bytes.length };
}

interface RevisionRead {
  readonly ok?: ExportedDocument;
  readonly error?: { readonly error?: string };
}

/** In portions: a page may have 8 MiB, and a single document more (H33). */
async function valueOf(bytes: Buffer): Promise<unknown> {
  try {
    return await buildAnswer(bytes);
  } catch {
    throw notAList();
  }
}

function notAList(): HttpError {
  return new BadGateway('CouchDB did not return a list of documents.');
}

function refusalOf(status: number): HttpError {
  if (status === 404) return new NotFound('Database does not exist.');
  if (status === 401 || status === 403) return new Forbidden('You are not allowed to access this db.');
  return new BadGateway('CouchDB refused to list the documents.', `CouchDB answered ${status}`);
}
