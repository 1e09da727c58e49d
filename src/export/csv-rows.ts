// Writes rows of CSV (RFC 4180) that a spreadsheet opens as the same table and never runs as formulas (H33).
import { stringify } from 'csv-stringify/sync';
import { writeJson, type ExactNumber } from '../json/exact-numbers.ts';
import { type ExportedDocument } from './document-pages.ts';
import { valueAt } from './columns.ts';

type Cell = string | number | bigint;

/**
 * A cell that begins with `=`, `+`, `-`, `@`, tab or CR gets a quote before it: spreadsheets run it
 * otherwise (owasp.org/www-community/attacks/CSV_Injection). A number keeps its sign.
 */
const OPTIONS = {
  escape_formulas: true,
  record_delimiter: 'windows',
  // The library quotes CRLF only; many readers end a row at every CR or LF.
  quoted_match: /[\r\n]/,
} as const;

/** The header. Names of fields come from documents, so they are escaped as cells are. */
export function csvHeader(columns: readonly string[]): string {
  return stringify([columns], OPTIONS);
}

export function csvRows(documents: readonly ExportedDocument[], columns: readonly string[]): string {
  return stringify(
    documents.map((document) => columns.map((column) => cellOf(valueAt(document, column)))),
    OPTIONS,
  );
}

/** Text as it is, nothing for null and for no value, JSON for lists and objects. */
function cellOf(value: unknown): Cell {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string' || typeof value === 'number') return value;
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'function') {
    const text = (value as ExactNumber)();
    return /^-?\d+$/.test(text) ? BigInt(text) : text;
  }
  return writeJson(value);
}
