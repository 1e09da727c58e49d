// Parses what an export shall contain.
import { BadRequest } from '../http-errors.ts';

export type ExportFormat = 'json' | 'jsonl' | 'csv';

/** `escape` = cells of a CSV that a spreadsheet could run get a quote; `keep` = the exact text. */
export type Formulas = 'escape' | 'keep';

export interface ExportOptions {
  readonly format: ExportFormat;
  /** Names or paths (`address.city`), in the order of the columns; undefined = all fields. */
  readonly fields: readonly string[] | undefined;
  /** Adds documents that are deleted. They come in the order of their changes then. */
  readonly deleted: boolean;
  /** Adds design documents. */
  readonly design: boolean;
  /** Adds the revisions that lost a conflict. */
  readonly conflicts: boolean;
  /** True: a field that no document has is an empty column, not a mistake. */
  readonly allowsMissing: boolean;
  readonly formulas: Formulas;
}

const FORMATS: readonly string[] = ['json', 'jsonl', 'csv'];
const NAMES: readonly string[] = [
  'format',
  'fields',
  'deleted',
  'design',
  'conflicts',
  'missing',
  'formulas',
];
/** Columns of an export. Each costs a lookup and a cell in every document. */
export const MAX_FIELDS = 1000;
const MAX_FIELD_BYTES = 1000;
/** A path with dots has many readings, as a name may have dots too (H33). */
const MAX_DOTS = 20;
const SHOWN_FIELDS = 10;
const SHOWN_LENGTH = 40;

/**
 * Parses a query: `?format=csv&formulas=keep&fields=a,b.c&missing=empty&deleted=true&design=true`. Throws
 * 400 for an unknown, repeated or invalid parameter: a misspelt one must not change what leaves.
 */
export function parseExportOptions(query: string): ExportOptions {
  const found = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (!NAMES.includes(name))
      throw new BadRequest(`Unknown parameter ${JSON.stringify(name)}; allowed: ${NAMES.join(', ')}`);
    if (found.has(name)) throw new BadRequest(`\`${name}\` is given twice`);
    found.set(name, value);
  }
  const format = found.get('format') ?? 'json';
  if (!FORMATS.includes(format)) throw new BadRequest('`format` must be json, jsonl or csv');
  const missing = found.get('missing');
  if (missing !== undefined && missing !== 'empty') throw new BadRequest('`missing` must be empty');
  const formulas = found.get('formulas');
  if (formulas !== undefined && (formulas !== 'keep' || format !== 'csv'))
    throw new BadRequest('`formulas` must be keep, with format=csv');
  const flag = (name: string): boolean => {
    const value = found.get(name) ?? 'false';
    if (value !== 'true' && value !== 'false') throw new BadRequest(`\`${name}\` must be true or false`);
    return value === 'true';
  };
  return {
    format: format as ExportFormat,
    fields: fieldsIn(found.get('fields')),
    deleted: flag('deleted'),
    design: flag('design'),
    conflicts: flag('conflicts'),
    allowsMissing: missing === 'empty',
    formulas: formulas === 'keep' ? 'keep' : 'escape',
  };
}

function fieldsIn(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const fields = text.split(',');
  const problems = problemsOf(fields);
  if (problems.length > 0) throw new BadRequest(`\`fields\`: ${problems.join('; ')}`);
  return fields;
}

/** All problems, so that a caller need not find them one by one. */
function problemsOf(fields: readonly string[]): readonly string[] {
  const seen = new Set<string>();
  const twice = fields.filter((field) => {
    const isSeen = seen.has(field);
    seen.add(field);
    return isSeen;
  });
  const long = fields.filter((field) => Buffer.byteLength(field) > MAX_FIELD_BYTES);
  const deep = fields.filter((field) => field.split('.').length - 1 > MAX_DOTS);
  return [
    ...(fields.includes('') ? ['must be names, separated by commas'] : []),
    ...(fields.length > MAX_FIELDS ? [`more than ${MAX_FIELDS} names`] : []),
    ...(twice.length > 0 ? [`given twice: ${shown(twice)}`] : []),
    ...(long.length > 0 ? [`longer than ${MAX_FIELD_BYTES} bytes: ${shown(long)}`] : []),
    ...(deep.length > 0 ? [`more than ${MAX_DOTS} dots: ${shown(deep)}`] : []),
  ];
}

function shown(fields: readonly string[]): string {
  const names = [...new Set(fields)].filter((field) => field !== '');
  return names
    .slice(0, SHOWN_FIELDS)
    .map((name) => JSON.stringify(name.length > SHOWN_LENGTH ? `${name.slice(0, SHOWN_LENGTH)}…` : name))
    .join(', ');
}
