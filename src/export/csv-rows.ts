// Writes rows of CSV (RFC 4180) that a spreadsheet opens as the same table and, unless the caller asks for
// the exact text, never runs as formulas (H33).
import { stringify } from 'csv-stringify/sync';
import { type ExactNumber } from '../json/exact-numbers.ts';
import { jsonPieces, slicesOf } from '../json/pieces.ts';
import { type Column } from './columns.ts';
import { type ExportedDocument } from './document-pages.ts';
import { type Formulas } from './options.ts';
import { PIECE_LENGTH, type Work } from './work.ts';

type Cell = string | number | bigint;

/** The pieces of a cell that is longer than one. */
type LongCell = Iterable<string>;

/**
 * A cell that begins with `=`, `+`, `-`, `@`, tab or CR gets a quote before it: spreadsheets run it
 * otherwise (owasp.org/www-community/attacks/CSV_Injection). A number keeps its sign.
 */
const OPTIONS = {
  record_delimiter: 'windows',
  // The library quotes for CRLF only; many readers end a row at every CR or LF. Spreadsheets of many
  // countries separate cells at `;`, and all do at tabs when text is pasted.
  quoted_match: /[\r\n;\t]/,
} as const;

/**
 * Where a reader that separates cells at `;` or tab begins one: it knows no quotes within a cell. What
 * follows does not matter, not even in a list (`- a`): such a reader takes the next cells of the row for a
 * part of it. Without this, LibreOffice 7.4 with `;` as separator runs a `=1+1` of a quoted cell.
 */
const FORMULA_WITHIN = /([;\t\r\n])(?=[=+\-@\uFF1D\uFF0B\uFF0D\uFF20])/g;

/** As `escape_formulas` of the library. */
const FORMULA_FIRST = /^[=+\-@\t\r\uFF1D\uFF0B\uFF0D\uFF20]/;

/** Of a number that is converted: a million digits take a second in one turn. */
const MAX_DIGITS = 1000;

const ENDS_WITH_SEPARATOR = /[;\t\r\n]$/;

/** The header. Names of fields come from documents, so they are escaped as cells are. */
export function csvHeader(columns: readonly Column[], formulas: Formulas): string {
  return stringify([columns.map(({ name }) => textCell(name, formulas))], optionsFor(columns, formulas));
}

function optionsFor(columns: readonly Column[], formulas: Formulas) {
  // Many readers skip an empty line.
  return { ...OPTIONS, quoted_empty: columns.length === 1, escape_formulas: formulas === 'escape' };
}

/**
 * Yields the rows in pieces with a bounded number of cells. A piece may end within a row, and within a cell
 * that is longer than `PIECE_LENGTH`.
 */
export function* csvRows(
  documents: readonly ExportedDocument[],
  columns: readonly Column[],
  work: Work,
  formulas: Formulas,
): Generator<string> {
  const options = optionsFor(columns, formulas);
  let rows: Cell[][] = [];
  let length = 0;
  for (const document of documents) {
    let row: Cell[] = [];
    let isWritten = false;
    for (const [at, column] of columns.entries()) {
      const cell = cellOf(column.valueIn(document, work));
      const isLast = at === columns.length - 1;
      work.add(1);
      if (typeof cell === 'object') {
        const begin = row.length === 0 ? '' : `${stringify([row], { ...options, eof: false })},`;
        yield `${stringify(rows, options)}${begin}`;
        yield* longCell(cell, formulas);
        yield isLast ? '\r\n' : ',';
        [rows, row, length] = [[], [], 0];
        if (!isLast) continue;
        isWritten = true;
        break;
      }
      row.push(typeof cell === 'string' ? textCell(cell, formulas) : cell);
      length += typeof cell === 'string' ? cell.length : 1;
      if (isLast || (length < PIECE_LENGTH && !work.takePortion())) continue;
      yield `${stringify(rows, options)}${stringify([row], { ...options, eof: false })},`;
      [rows, row, length] = [[], [], 0];
    }
    if (isWritten) continue;
    rows.push(row);
    if (length < PIECE_LENGTH && !work.takePortion()) continue;
    yield stringify(rows, options);
    [rows, length] = [[], 0];
  }
  if (rows.length > 0) yield stringify(rows, options);
}

/** Text as it is, nothing for null and for no value, JSON for lists and objects. */
function cellOf(value: unknown): Cell | LongCell {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value.length > PIECE_LENGTH ? slicesOf(value, PIECE_LENGTH) : value;
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'function') {
    const text = (value as ExactNumber)();
    return text.length <= MAX_DIGITS && /^-?\d+$/.test(text) ? BigInt(text) : text;
  }
  const pieces = jsonPieces(value, PIECE_LENGTH);
  const first = String(pieces.next().value);
  const second = pieces.next();
  return second.done === true ? first : joined([first, second.value], pieces);
}

function* joined(...parts: readonly Iterable<string>[]): LongCell {
  for (const part of parts) yield* part;
}

function textCell(text: string, formulas: Formulas): string {
  return formulas === 'keep' ? text : text.replace(FORMULA_WITHIN, "$1'");
}

/** Yields a quoted cell piece by piece: millions of quotes or formulas take a second in one turn. */
function* longCell(pieces: LongCell, formulas: Formulas): Generator<string> {
  let begin: string | undefined;
  // What follows a separator decides about a quote after it.
  let separator = '';
  for (const piece of pieces) {
    begin ??= formulas === 'escape' && FORMULA_FIRST.test(piece) ? `"'` : '"';
    const text = separator + piece;
    separator = ENDS_WITH_SEPARATOR.exec(text)?.[0] ?? '';
    const safe = textCell(text.slice(0, text.length - separator.length), formulas);
    yield `${begin}${safe.replaceAll('"', '""')}`;
    begin = '';
  }
  yield `${separator}"`;
}
