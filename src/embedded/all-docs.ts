// Answers _all_docs, _design_docs and _local_docs, and their `/queries` variants with several queries.
import { BadRequest } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { readJsonObject } from './body.ts';
import { type Database } from './database.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { isObject, type Json, without } from './json.ts';
import { type AllDocsRow } from './pouch.ts';
import { formatSeq } from './sequence.ts';
import { viewOptions, type ViewOptions } from './view-parameters.ts';

type Query = (database: Database, options: ViewOptions) => Promise<object>;

/** The methods of `/{db}/_all_docs` and `/{db}/_all_docs/queries`. */
export const allDocsMethods = listingMethods(queryAllDocs);
/** The methods of `/{db}/_design_docs` and `/{db}/_design_docs/queries`. */
export const designDocsMethods = listingMethods(queryDesignDocs);
/** The methods of `/{db}/_local_docs` and `/{db}/_local_docs/queries`. */
export const localDocsMethods = listingMethods(queryLocalDocs);

interface Listing {
  readonly plain: Methods<DatabaseExchange>;
  readonly queries: Methods<DatabaseExchange>;
}

/** The methods of a listing; the third path segment selects the single query or `/queries`. */
function listingMethods(query: Query): Methods<DatabaseExchange> {
  const listing = createListing(query);
  const select = (method: 'GET' | 'POST') => (exchange: DatabaseExchange) => {
    const { [method]: endpoint } = exchange.path[2] === 'queries' ? listing.queries : listing.plain;
    if (endpoint === undefined) throw new BadRequest('POST body must include `queries` parameter.');
    return endpoint(exchange);
  };
  return { allow: 'GET,HEAD,POST', GET: select('GET'), POST: select('POST') };
}

function createListing(query: Query): Listing {
  return {
    plain: {
      allow: 'GET,HEAD,POST',
      GET: async ({ res, database, query: parameters }) =>
        sendJson(res, 200, await query(database, listOptions(parameters))),
      POST: async ({ req, res, database, query: parameters }) => {
        const body = await readJsonObject(req, 'required');
        sendJson(res, 200, await query(database, listOptions(parameters, body)));
      },
    },
    queries: {
      allow: 'POST',
      POST: async ({ req, res, database }) => {
        const results = [];
        for (const each of queriesOf(await readJsonObject(req, 'any')))
          results.push(await query(database, listOptions(new URLSearchParams(), singleKeyAsRange(each))));
        sendJson(res, 200, { results });
      },
    },
  };
}

/** The query objects of a body `{"queries": […]}`. Throws 400 for another form. */
export function queriesOf(body: Json): Json[] {
  const { queries } = body;
  if (!Array.isArray(queries)) throw new BadRequest('POST body must include `queries` parameter.');
  if (!queries.every(isObject)) throw new BadRequest('`queries` must be an array of objects');
  return queries;
}

/** In a list of queries, CouchDB reads `keys` with one element as `key` (couch_mrview_http:parse_param). */
function singleKeyAsRange(query: Json): Json {
  const { keys } = query;
  return Array.isArray(keys) && keys.length === 1
    ? { ...without(query, 'keys'), key: keys[0] as unknown }
    : query;
}

function listOptions(query: URLSearchParams, body?: Json): ViewOptions {
  const options = viewOptions(query, body);
  if (options['reduce'] === true)
    throw new BadRequest('Reduce is invalid for map-only views.', 'query_parse_error');
  if (options['group'] === true || Number(options['group_level'] ?? 0) > 0)
    throw new BadRequest('Invalid use of grouping on a map view.', 'query_parse_error');
  return options;
}

async function queryAllDocs(database: Database, options: ViewOptions): Promise<object> {
  const { keys, update_seq: withSeq, ...range } = options;
  const seq = withSeq === true ? { update_seq: formatSeq((await database.storage.info()).update_seq) } : {};
  if (keys !== undefined) return { ...(await queryByKeys(database, keys, range)), ...seq };
  if ('key' in range && typeof range['key'] !== 'string') {
    const { total_rows: total } = await database.storage.allDocs({ limit: 0 });
    return { total_rows: total, offset: total, ...seq, rows: [] };
  }
  const found = await database.storage.allDocs(stringRange(range));
  return {
    total_rows: found.total_rows,
    offset: await offsetOf(database, found.rows, range),
    ...seq,
    rows: found.rows.map((row) => allDocsRow(row, range['include_docs'] === true)),
  };
}

/**
 * The range with string bounds. CouchDB collates null, booleans and numbers before all ids, arrays and
 * objects after them; PouchDB would compare them as strings.
 */
function stringRange(range: Json): Json {
  const bounded: Json = { ...range };
  for (const name of ['startkey', 'endkey']) {
    const value = bounded[name];
    if (value === undefined || typeof value === 'string') continue;
    const isBeforeStrings = value === null || typeof value === 'boolean' || typeof value === 'number';
    bounded[name] = isBeforeStrings ? '' : '\u{10ffff}';
  }
  return bounded;
}

/** Number of rows before the first one of the answer; PouchDB's `offset` is only `skip`. */
async function offsetOf(database: Database, rows: readonly AllDocsRow[], range: Json): Promise<number> {
  const first = rows[0]?.key;
  const skipped = Number(range['skip'] ?? 0);
  const start = range['startkey'] ?? range['key'];
  if (start === undefined || first === undefined) return skipped;
  const before = await database.storage.allDocs(
    range['descending'] === true
      ? { startkey: first, inclusive_end: false }
      : { endkey: first, inclusive_end: false },
  );
  return range['descending'] === true ? Math.max(0, before.rows.length - 1) : before.rows.length;
}

async function queryByKeys(database: Database, keys: readonly unknown[], range: Json): Promise<object> {
  const { skip, limit } = range;
  const options = without(range, 'startkey', 'endkey', 'key', 'skip', 'limit');
  const slice = keys.slice(
    Number(skip ?? 0),
    limit === undefined ? undefined : Number(skip ?? 0) + Number(limit),
  );
  const ids = slice.filter((key): key is string => typeof key === 'string');
  const found = await database.storage.allDocs({ ...options, keys: ids });
  const rows = new Map(found.rows.map((row) => [row.key, row]));
  const ordered = options['descending'] === true ? slice.reverse() : slice;
  const withDocs = options['include_docs'] === true;
  const rowOf = (key: unknown) => (typeof key === 'string' ? rows.get(key) : undefined);
  return {
    total_rows: found.total_rows,
    offset: null,
    rows: ordered.map((key) => allDocsRow(rowOf(key) ?? { key, error: 'not_found' }, withDocs)),
  };
}

function allDocsRow(row: AllDocsRow, withDocs: boolean): object {
  if (row.error !== undefined) return { key: row.key, error: row.error };
  const { id, key, value, doc } = row;
  return { id, key, value, ...(withDocs ? { doc: doc ?? null } : {}) };
}

async function queryDesignDocs(database: Database, options: ViewOptions): Promise<object> {
  const range =
    options.keys === undefined ? { startkey: '_design/', endkey: '_design0', ...options } : options;
  const found = (await queryAllDocs(database, range)) as { rows: object[] };
  return { ...found, total_rows: found.rows.length };
}

/** PouchDB stores local documents separately and cannot list them, so only `keys` finds any. */
async function queryLocalDocs(database: Database, options: ViewOptions): Promise<object> {
  if (options.keys === undefined) return { total_rows: null, offset: null, rows: [] };
  const rows = [];
  for (const key of options.keys) rows.push(await localRow(database, key));
  return { total_rows: null, offset: null, rows };
}

async function localRow(database: Database, key: unknown): Promise<object> {
  if (typeof key !== 'string' || !key.startsWith('_local/')) return { key, error: 'not_found' };
  const [doc] = await Promise.allSettled([database.storage.get(key)]);
  return doc.status === 'fulfilled'
    ? { id: key, key, value: { rev: doc.value._rev } }
    : { key, error: 'not_found' };
}
