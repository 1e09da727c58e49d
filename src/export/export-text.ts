// Turns pages of documents into the text of an export, piece by piece.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inferColumns, LeftOut, requireFields } from './columns.ts';
import { csvHeader, csvRows } from './csv-rows.ts';
import { type DocumentPage, type ExportedDocument } from './document-pages.ts';
import { FieldPath } from './field-path.ts';
import { jsonRows } from './json-rows.ts';
import { type ExportOptions } from './options.ts';
import { Work } from './work.ts';

/** What an export came to; filled while it runs. */
export interface ExportSummary {
  documents: number;
  /** Fields of documents that have no column, because the first documents did not have them; at most 20. */
  leftOut: readonly string[];
}

/** The columns are found in so many documents, or in fewer if they are large. */
const SAMPLE_DOCUMENTS = 1000;
const SAMPLE_BYTES = 8 * 1024 * 1024;

/**
 * Yields text, and lets other requests of the process run after each piece. Throws an HttpError before the
 * first piece if the export cannot be made.
 */
export async function* exportText(
  pages: AsyncIterator<DocumentPage>,
  options: ExportOptions,
  summary: ExportSummary,
): AsyncGenerator<string> {
  const { documents: sample, isWhole } = await readSample(pages, options);
  const work = new Work();
  const chosen = options.fields?.map((field) => new FieldPath(field));
  if (chosen !== undefined && !options.allowsMissing) await requireFields(chosen, sample, isWhole, work);
  const writer = await writerFor(options, chosen, sample, work);
  yield writer.begin;
  for (let page = sample; ;) {
    summary.documents += page.length;
    for (const piece of writer.write(page)) {
      yield piece;
      await nextTurn();
    }
    summary.leftOut = writer.leftOut();
    const next = isWhole ? undefined : await pages.next();
    if (next === undefined || next.done === true) break;
    page = next.value.documents;
  }
  yield writer.end;
}

async function readSample(
  pages: AsyncIterator<DocumentPage>,
  { format, fields }: ExportOptions,
): Promise<{ readonly documents: readonly ExportedDocument[]; readonly isWhole: boolean }> {
  // Without columns, one page is enough: it shows that the export can be made.
  const wanted = format === 'csv' || fields !== undefined ? SAMPLE_DOCUMENTS : 1;
  const documents: ExportedDocument[] = [];
  for (let bytes = 0; documents.length < wanted && bytes < SAMPLE_BYTES;) {
    const next = await pages.next();
    if (next.done === true) return { documents, isWhole: true };
    documents.push(...next.value.documents);
    bytes += next.value.bytes;
  }
  return { documents, isWhole: false };
}

interface Writer {
  readonly begin: string;
  readonly end: string;
  /** Yields pieces of bounded work; one may be empty. */
  write(page: readonly ExportedDocument[]): Iterable<string>;
  leftOut(): readonly string[];
}

async function writerFor(
  { format, formulas }: ExportOptions,
  chosen: readonly FieldPath[] | undefined,
  sample: readonly ExportedDocument[],
  work: Work,
): Promise<Writer> {
  if (format === 'csv') {
    const columns = chosen ?? (await inferColumns(sample, work));
    const leftOut = new LeftOut(columns);
    return {
      begin: csvHeader(columns, formulas),
      end: '',
      *write(page) {
        if (chosen === undefined)
          for (const document of page) {
            leftOut.add(document, work);
            if (work.takePortion()) yield '';
          }
        yield* csvRows(page, columns, work, formulas);
      },
      leftOut: () => leftOut.names,
    };
  }
  if (format === 'jsonl') {
    const frame = { before: () => '', after: '\n' };
    return { begin: '', end: '', write: (page) => jsonRows(page, chosen, frame, work), leftOut: none };
  }
  let separator = '\n';
  const before = (): string => {
    const text = separator;
    separator = ',\n';
    return text;
  };
  const frame = { before, after: '' };
  return { begin: '[', end: '\n]\n', write: (page) => jsonRows(page, chosen, frame, work), leftOut: none };
}

const none = (): readonly string[] => [];
