// Turns pages of documents into the text of an export, piece by piece.
import { writeJson } from '../json/exact-numbers.ts';
import { inferColumns, LeftOut, requireFields, valueAt } from './columns.ts';
import { csvHeader, csvRows } from './csv-rows.ts';
import { type ExportedDocument } from './document-pages.ts';
import { type ExportOptions } from './options.ts';

/** What an export came to; filled while it runs. */
export interface ExportSummary {
  documents: number;
  /** Fields of documents that have no column, because the first documents did not have them; at most 20. */
  leftOut: readonly string[];
}

/** The columns are found in so many documents, or in fewer if they are large. */
const SAMPLE_DOCUMENTS = 1000;
const SAMPLE_BYTES = 8 * 1024 * 1024;

/** Yields text. Throws an HttpError before the first piece if the export cannot be made. */
export async function* exportText(
  pages: AsyncIterator<readonly ExportedDocument[]>,
  options: ExportOptions,
  summary: ExportSummary,
): AsyncGenerator<string> {
  const { documents: sample, isWhole } = await readSample(pages, options);
  if (options.fields !== undefined && !options.allowsMissing) requireFields(options.fields, sample, isWhole);
  const writer = writerFor(options, sample);
  yield writer.begin;
  for (let page = sample; ;) {
    summary.documents += page.length;
    if (page.length > 0) yield writer.write(page);
    summary.leftOut = writer.leftOut();
    const next = isWhole ? undefined : await pages.next();
    if (next === undefined || next.done === true) break;
    page = next.value;
  }
  yield writer.end;
}

async function readSample(
  pages: AsyncIterator<readonly ExportedDocument[]>,
  { format, fields }: ExportOptions,
): Promise<{ readonly documents: readonly ExportedDocument[]; readonly isWhole: boolean }> {
  // Without columns, one page is enough: it shows that the export can be made.
  const wanted = format === 'csv' || fields !== undefined ? SAMPLE_DOCUMENTS : 1;
  const documents: ExportedDocument[] = [];
  let bytes = 0;
  while (documents.length < wanted && bytes < SAMPLE_BYTES) {
    const next = await pages.next();
    if (next.done === true) return { documents, isWhole: true };
    documents.push(...next.value);
    if (wanted > 1) for (const document of next.value) bytes += JSON.stringify(document).length;
  }
  return { documents, isWhole: false };
}

interface Writer {
  readonly begin: string;
  readonly end: string;
  write(page: readonly ExportedDocument[]): string;
  leftOut(): readonly string[];
}

function writerFor({ format, fields }: ExportOptions, sample: readonly ExportedDocument[]): Writer {
  if (format === 'csv') {
    const columns = fields ?? inferColumns(sample);
    const leftOut = new LeftOut(columns);
    return {
      begin: csvHeader(columns),
      end: '',
      write(page) {
        if (fields === undefined) for (const document of page) leftOut.add(document);
        return csvRows(page, columns);
      },
      leftOut: () => leftOut.names,
    };
  }
  const text = (document: ExportedDocument): string =>
    writeJson(fields === undefined ? document : chosen(document, fields));
  if (format === 'jsonl')
    return {
      begin: '',
      end: '',
      write: (page) => page.map((one) => `${text(one)}\n`).join(''),
      leftOut: none,
    };
  let isFirst = true;
  return {
    begin: '[',
    end: '\n]\n',
    write(page) {
      const joined = page.map(text).join(',\n');
      const separator = isFirst ? '\n' : ',\n';
      isFirst = false;
      return separator + joined;
    },
    leftOut: none,
  };
}

const none = (): readonly string[] => [];

/** The fields under the names with which they were asked for; a field that is not there is left out. */
function chosen(document: ExportedDocument, fields: readonly string[]): object {
  return Object.fromEntries(
    fields.flatMap((field): [string, unknown][] => {
      const value = valueAt(document, field);
      return value === undefined ? [] : [[field, value]];
    }),
  );
}
