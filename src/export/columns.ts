// Chooses the columns of an export and finds the value of a column in a document.
import { BadRequest } from '../http-errors.ts';
import { type ExportedDocument } from './document-pages.ts';

/** Fields of CouchDB that are no column unless they are named. */
const HIDDEN = new Set(['_conflicts', '_deleted_conflicts', '_revisions', '_revs_info', '_local_seq']);
const SHOWN_MISSING = 10;

/** The columns of these documents: `_id` and `_rev` first, then the fields as they appear. */
export function inferColumns(documents: readonly ExportedDocument[]): readonly string[] {
  const names = new Set(['_id', '_rev']);
  for (const document of documents)
    for (const name of Object.keys(document)) if (!HIDDEN.has(name)) names.add(name);
  return [...names];
}

/** Throws 400 if one of the fields is in none of the documents: it is misspelt, or rare. */
export function requireFields(
  fields: readonly string[],
  documents: readonly ExportedDocument[],
  isWhole: boolean,
): void {
  if (documents.length === 0) return;
  const missing = fields.filter((field) =>
    documents.every((document) => valueAt(document, field) === undefined),
  );
  if (missing.length === 0) return;
  const names = missing.slice(0, SHOWN_MISSING).map((name) => JSON.stringify(name));
  const where = isWhole ? 'in no document' : `in none of the first ${documents.length} documents`;
  throw new BadRequest(`${names.join(', ')}: ${where}; with missing=empty, the column is empty.`);
}

/** Names that have no column, collected while an export runs. */
export class LeftOut {
  readonly #columns: ReadonlySet<string>;
  readonly #names = new Set<string>();
  readonly #max = 20;

  constructor(columns: readonly string[]) {
    this.#columns = new Set(columns);
  }

  add(document: ExportedDocument): void {
    for (const name of Object.keys(document))
      if (!this.#columns.has(name) && !HIDDEN.has(name) && this.#names.size < this.#max)
        this.#names.add(name);
  }

  /** At most 20. */
  get names(): readonly string[] {
    return [...this.#names];
  }
}

/**
 * The value of `field`: that of the member with this name, or of a path through objects and lists
 * (`address.city`, `tags.0`). Undefined if there is none.
 */
export function valueAt(value: unknown, field: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Object.hasOwn(value, field)) return (value as Record<string, unknown>)[field];
  for (let dot = field.indexOf('.'); dot !== -1; dot = field.indexOf('.', dot + 1)) {
    const name = field.slice(0, dot);
    if (!Object.hasOwn(value, name)) continue;
    const found = valueAt((value as Record<string, unknown>)[name], field.slice(dot + 1));
    if (found !== undefined) return found;
  }
  return undefined;
}
