// Parses the parameters of /_all_dbs and GET /_dbs_info, and selects the names of databases as CouchDB does.
import { BadRequest } from '../http-errors.ts';
import { parseJson } from '../json/parse.ts';

/** A range of names, in CouchDB's order: by bytes, not by the collation of views. */
export interface ListRange {
  readonly skip: number;
  readonly limit: number;
  /** Parameters for CouchDB that select the same range, without `skip` and `limit`. */
  readonly parameters: string;
  /** The names of the range, sorted, after `skip`, up to `limit`. */
  select(names: Iterable<string>): string[];
}

/** CouchDB's own limit (fabric.hrl). */
const MAX_COUNT = 576_460_752_303_423_487n;
const NAMES: ReadonlyMap<string, string> = new Map([
  ['start_key', 'startkey'],
  ['end_key', 'endkey'],
]);

interface Bounds {
  /** Any JSON value; `undefined` = no bound. CouchDB orders every other value before every string. */
  startkey: { readonly key: unknown } | undefined;
  endkey: { readonly key: unknown } | undefined;
  descending: boolean;
  inclusiveEnd: boolean;
  skip: number;
  limit: number;
}

/**
 * Parses a query string. Of repeated parameters the last one counts, unknown ones are ignored, as in CouchDB.
 * Throws CouchDB's 400, also for `keys`, for which CouchDB 3.5 has a 500.
 * Source: couch_mrview_http.erl (parse_param), and answers of CouchDB 3.5.
 */
export function parseListRange(query: string): ListRange {
  const bounds: Bounds = {
    startkey: undefined,
    endkey: undefined,
    descending: false,
    inclusiveEnd: true,
    skip: 0,
    limit: Infinity,
  };
  for (const [name, value] of new URLSearchParams(query)) take(bounds, NAMES.get(name) ?? name, value);
  return {
    skip: bounds.skip,
    limit: bounds.limit,
    parameters: parametersOf(bounds),
    select(names) {
      const selected: string[] = [];
      for (const name of names) if (isWithin(name, bounds)) selected.push(name);
      // The default order is that of UTF-16 code units.
      selected.sort();
      if (bounds.descending) selected.reverse();
      return selected.slice(bounds.skip, bounds.skip + bounds.limit);
    },
  };
}

function take(bounds: Bounds, name: string, value: string): void {
  switch (name) {
    case 'startkey':
    case 'endkey':
      bounds[name] = { key: jsonIn(value) };
      break;
    case 'key':
      bounds.startkey = bounds.endkey = { key: jsonIn(value) };
      break;
    case 'descending':
      bounds.descending = flagIn(value);
      break;
    case 'inclusive_end':
      bounds.inclusiveEnd = flagIn(value);
      break;
    case 'skip':
    case 'limit':
      bounds[name] = countIn(value);
      break;
    case 'keys':
      throw new BadRequest('`keys` is not supported here; POST /_dbs_info takes them');
    case 'reduce':
      if (flagIn(value)) throw invalid('Reduce is invalid for map-only views.');
      break;
    case 'group':
    case 'group_level':
      if (value !== 'false') throw invalid('Invalid use of grouping on a map view.');
      break;
    case 'partition':
      throw invalid('`partition` parameter is not supported on this db');
  }
}

function isWithin(name: string, { startkey, endkey, descending, inclusiveEnd }: Bounds): boolean {
  const direction = descending ? -1 : 1;
  if (startkey !== undefined && direction * compare(name, startkey.key) < 0) return false;
  if (endkey === undefined) return true;
  const afterEnd = direction * compare(name, endkey.key);
  return inclusiveEnd ? afterEnd <= 0 : afterEnd < 0;
}

/** The order of a name and a key. A key that is no string is before every name (Erlang's order of terms). */
function compare(name: string, key: unknown): number {
  return typeof key === 'string' ? byBytes(name, key) : 1;
}

/**
 * Names of databases are ASCII. The order of UTF-16 code units is therefore that of bytes: a key that is not
 * ASCII differs from a name first in a character that is greater in both.
 */
function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function parametersOf({ startkey, endkey, descending, inclusiveEnd }: Bounds): string {
  const parameters = new URLSearchParams();
  if (startkey !== undefined) parameters.set('startkey', JSON.stringify(startkey.key));
  if (endkey !== undefined) parameters.set('endkey', JSON.stringify(endkey.key));
  if (descending) parameters.set('descending', 'true');
  if (!inclusiveEnd) parameters.set('inclusive_end', 'false');
  return parameters.toString();
}

function jsonIn(text: string): unknown {
  try {
    return parseJson(Buffer.from(text));
  } catch {
    throw new BadRequest('invalid UTF-8 JSON');
  }
}

function flagIn(text: string): boolean {
  const word = text.toLowerCase();
  if (word === 'true' || word === 'false') return word === 'true';
  throw invalid(`Invalid boolean parameter: ${shown(text)}`);
}

function countIn(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw invalid(`Invalid value for integer: ${shown(text)}`);
  const count = BigInt(text.replace('+', ''));
  if (count < 0n) throw invalid(`Invalid value for positive integer: ${shown(text)}`);
  if (count > MAX_COUNT) throw invalid(`Limit is too large, must not exceed ${MAX_COUNT}`);
  return Number(count);
}

/** A value as CouchDB repeats it: Erlang's empty string is an empty list. */
function shown(text: string): string {
  return text === '' ? '[]' : JSON.stringify(text);
}

function invalid(reason: string): BadRequest {
  return new BadRequest(reason, 'query_parse_error');
}
