// Parses what an export shall contain.
import { BadRequest } from '../http-errors.ts';

export type ExportFormat = 'json' | 'jsonl' | 'csv';

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
}

const FORMATS: readonly string[] = ['json', 'jsonl', 'csv'];
const NAMES: readonly string[] = ['format', 'fields', 'deleted', 'design', 'conflicts', 'missing'];
const MAX_FIELDS = 1000;

/**
 * Parses a query: `?format=csv&fields=a,b.c&deleted=true&design=true&conflicts=true&missing=empty`. Throws
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
  };
}

function fieldsIn(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const fields = text.split(',');
  if (fields.includes('')) throw new BadRequest('`fields` must be names, separated by commas');
  if (fields.length > MAX_FIELDS) throw new BadRequest(`\`fields\` has more than ${MAX_FIELDS} names`);
  const twice = fields.find((field, at) => fields.indexOf(field) !== at);
  if (twice !== undefined) throw new BadRequest(`The field ${JSON.stringify(twice)} is given twice`);
  return fields;
}
