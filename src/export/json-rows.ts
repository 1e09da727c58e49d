// Writes documents as JSON in pieces, however large a value is (H33).
import { jsonPieces } from '../json/pieces.ts';
import { type Column } from './columns.ts';
import { type ExportedDocument } from './document-pages.ts';
import { PIECE_LENGTH, type Work } from './work.ts';

/** What stands before and after each document. */
export interface Frame {
  readonly before: () => string;
  readonly after: string;
}

/**
 * Yields the documents, or these fields of them, in pieces of about `PIECE_LENGTH`. Fields such as
 * `a,a.a,a.a.a` write a value several times: one text of them would take all memory.
 */
export function* jsonRows(
  documents: readonly ExportedDocument[],
  columns: readonly Column[] | undefined,
  { before, after }: Frame,
  work: Work,
): Generator<string> {
  let text = '';
  for (const document of documents) {
    text += before();
    const parts =
      columns === undefined ? jsonPieces(document, PIECE_LENGTH) : chosen(document, columns, work);
    for (const part of parts) {
      text += part;
      work.add(1);
      if (text.length < PIECE_LENGTH && !work.takePortion()) continue;
      yield text;
      text = '';
    }
    text += after;
  }
  if (text !== '') yield text;
}

/** The fields under the names with which they were asked for; a field that is not there is left out. */
function* chosen(document: ExportedDocument, columns: readonly Column[], work: Work): Generator<string> {
  let separator = '{';
  for (const column of columns) {
    const value = column.valueIn(document, work);
    // An empty part: looking up many fields that are not there is work too.
    yield value === undefined ? '' : `${separator}${JSON.stringify(column.name)}:`;
    if (value === undefined) continue;
    yield* jsonPieces(value, PIECE_LENGTH);
    separator = ',';
  }
  yield separator === '{' ? '{}' : '}';
}
