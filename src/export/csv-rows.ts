// Writes rows of CSV (RFC 4180) that a spreadsheet opens as the same table and, unless the caller asks for
// the exact text, never runs as formulas (H33).
import { stringify } from 'csv-stringify/sync';
import { writeJson, type ExactNumber } from '../json/exact-numbers.ts';
import { type Column } from './columns.ts';
import { type ExportedDocument } from './document-pages.ts';
import { type Formulas } from './options.ts';
import { PIECE_LENGTH, type Work } from './work.ts';

type Cell = string | number | bigint;

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

/** Of a long cell, in UTF-16 code units. Each may become three times as long. */
const SLICE_LENGTH = 64 * 1024;

/** The header. Names of fields come from documents, so they are escaped as cells are. */
export function csvHeader(columns: readonly Column[], formulas: Formulas): string {
  return stringify([columns.map(({ name }) => textCell(name, formulas))], optionsFor(formulas));
}

function optionsFor(formulas: Formulas) {
  return { ...OPTIONS, escape_formulas: formulas === 'escape' };
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
  const options = optionsFor(formulas);
  let rows: Cell[][] = [];
  let length = 0;
  for (const document of documents) {
    let row: Cell[] = [];
    let isWritten = false;
    for (const [at, column] of columns.entries()) {
      const cell = cellOf(column.valueIn(document, work));
      const isLast = at === columns.length - 1;
      work.add(1);
      if (typeof cell === 'string' && cell.length > PIECE_LENGTH) {
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
function cellOf(value: unknown): Cell {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'function') {
    const text = (value as ExactNumber)();
    return /^-?\d+$/.test(text) ? BigInt(text) : text;
  }
  return writeJson(value);
}

function textCell(text: string, formulas: Formulas): string {
  return formulas === 'keep' ? text : text.replace(FORMULA_WITHIN, "$1'");
}

/** Yields a quoted cell in slices: millions of quotes or formulas take a second in one turn. */
function* longCell(text: string, formulas: Formulas): Generator<string> {
  yield formulas === 'escape' && FORMULA_FIRST.test(text) ? `"'` : '"';
  for (let from = 0; from < text.length;) {
    let to = Math.min(from + SLICE_LENGTH, text.length);
    // Each piece becomes UTF-8 on its own, which a half of a pair does not have.
    if (to < text.length && isHighSurrogate(text.charCodeAt(to - 1))) to -= 1;
    // The next character decides about a quote after the last one.
    const isEnd = to === text.length;
    const escaped = textCell(text.slice(from, isEnd ? to : to + 1), formulas);
    yield (isEnd ? escaped : escaped.slice(0, -1)).replaceAll('"', '""');
    from = to;
  }
  yield '"';
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}
