// Chooses the columns of an export and finds the value of a column in a document.
import { BadRequest } from '../http-errors.ts';
import { type ExportedDocument } from './document-pages.ts';
import { MAX_FIELDS } from './options.ts';
import { type Work } from './work.ts';

export interface Column {
  readonly name: string;
  /** Undefined if the document has no such value. */
  valueIn(document: ExportedDocument, work: Work): unknown;
}

/** Fields of CouchDB that are no column unless they are named. */
const HIDDEN = new Set(['_conflicts', '_deleted_conflicts', '_revisions', '_revs_info', '_local_seq']);
const SHOWN_MISSING = 10;

/**
 * The columns of these documents: `_id` and `_rev` first, then the fields as they appear. Throws 400 for too
 * many: a table has a cell for each column in every row, so a few documents could make a very large one.
 */
export async function inferColumns(
  documents: readonly ExportedDocument[],
  work: Work,
): Promise<readonly Column[]> {
  const names = new Set(['_id', '_rev']);
  for (const document of documents) {
    for (const name of Object.keys(document)) {
      if (HIDDEN.has(name)) continue;
      names.add(name);
      work.add(1);
      if (names.size > MAX_FIELDS)
        throw new BadRequest(
          `The documents have more than ${MAX_FIELDS} fields: choose at most ${MAX_FIELDS} columns with \`fields=\`.`,
        );
    }
    await work.pauseIfDue();
  }
  return [...names].map(memberColumn);
}

/** No path: the length of a name in a document is not limited, and neither is the number of its dots. */
function memberColumn(name: string): Column {
  return {
    name,
    valueIn(document, work) {
      work.add(1);
      return Object.hasOwn(document, name) ? document[name] : undefined;
    },
  };
}

/** Throws 400 if one of the fields is in none of the documents: it is misspelt, or rare. */
export async function requireFields(
  columns: readonly Column[],
  documents: readonly ExportedDocument[],
  isWhole: boolean,
  work: Work,
): Promise<void> {
  if (documents.length === 0) return;
  const missing: string[] = [];
  for (const column of columns) if (!(await isIn(column, documents, work))) missing.push(column.name);
  if (missing.length === 0) return;
  const names = missing.slice(0, SHOWN_MISSING).map((name) => JSON.stringify(name));
  const where = isWhole ? 'in no document' : `in none of the first ${documents.length} documents`;
  throw new BadRequest(`${names.join(', ')}: ${where}; with missing=empty, the column is empty.`);
}

async function isIn(column: Column, documents: readonly ExportedDocument[], work: Work): Promise<boolean> {
  for (const document of documents) {
    if (column.valueIn(document, work) !== undefined) return true;
    await work.pauseIfDue();
  }
  return false;
}

/** Names that have no column, collected while an export runs. */
export class LeftOut {
  readonly #columns: ReadonlySet<string>;
  readonly #names = new Set<string>();
  readonly #max = 20;

  constructor(columns: readonly Column[]) {
    this.#columns = new Set(columns.map(({ name }) => name));
  }

  add(document: ExportedDocument, work: Work): void {
    if (this.#names.size >= this.#max) return;
    const names = Object.keys(document);
    work.add(names.length);
    for (const name of names)
      if (!this.#columns.has(name) && !HIDDEN.has(name) && this.#names.size < this.#max)
        this.#names.add(name);
  }

  /** At most 20, each cut after 40 characters: clients refuse an answer with a long trailer. */
  get names(): readonly string[] {
    return [...this.#names].map((name) => Array.from(name.slice(0, 80)).slice(0, 40).join(''));
  }
}
