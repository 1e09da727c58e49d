// Answers _all_docs, _design_docs and _local_docs, also for several queries at once. Reading parameters is view-parameters.ts's business.
import { BadRequest } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { readJsonObject } from './body.ts';
import { type Database } from './database.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { isObject, type Json, without } from './json.ts';
import { type AllDocsRow } from './pouch.ts';
import { shownSeq } from './sequence.ts';
import { viewOptions, type ViewOptions } from './view-parameters.ts';

type Query = (database: Database, options: ViewOptions) => Promise<object>;

export const allDocsMethods = listing(queryAllDocs);
export const designDocsMethods = listing(queryDesignDocs);
export const localDocsMethods = listing(queryLocalDocs);

interface Listing {
  readonly plain: Methods<DatabaseExchange>;
  readonly queries: Methods<DatabaseExchange>;
}

/** `/_all_docs` itself, or `/_all_docs/queries`. */
export function allDocsQueriesOr(list: Listing): Methods<DatabaseExchange> {
  const either = (method: 'GET' | 'POST') => (exchange: DatabaseExchange) => {
    const { [method]: endpoint } = exchange.path[2] === 'queries' ? list.queries : list.plain;
    if (endpoint === undefined) throw new BadRequest('POST body must include `queries` parameter.');
    return endpoint(exchange);
  };
  return { allow: 'GET,HEAD,POST', GET: either('GET'), POST: either('POST') };
}

function listing(query: Query): Listing {
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
        for (const each of queriesOf(await readJsonObject(req, 'required')))
          results.push(await query(database, listOptions(new URLSearchParams(), oneKey(each))));
        sendJson(res, 200, { results });
      },
    },
  };
}

/** The list of a body `{"queries": […]}`. */
export function queriesOf(body: Json): Json[] {
  const { queries } = body;
  if (!Array.isArray(queries)) throw new BadRequest('POST body must include `queries` parameter.');
  if (!queries.every(isObject)) throw new BadRequest('`queries` must be objects');
  return queries;
}

/** In a list of queries CouchDB takes a single key for a range (couch_mrview_http:parse_param). */
function oneKey(query: Json): Json {
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
  const { keys, update_seq: wantsSeq, ...range } = options;
  const seq = wantsSeq === true ? { update_seq: shownSeq((await database.storage.info()).update_seq) } : {};
  if (keys !== undefined) return { ...(await byKeys(database, keys, range)), ...seq };
  if ('key' in range && typeof range['key'] !== 'string') {
    const { total_rows: total } = await database.storage.allDocs({ limit: 0 });
    return { total_rows: total, offset: total, ...seq, rows: [] };
  }
  const found = await database.storage.allDocs(textRange(range));
  return {
    total_rows: found.total_rows,
    offset: await offsetOf(database, found.rows, range),
    ...seq,
    rows: found.rows.map((row) => shownRow(row, range['include_docs'] === true)),
  };
}

/** Document ids are text; CouchDB sorts every other key before or after all of them, PouchDB would compare as text. */
function textRange(range: Json): Json {
  const text: Json = { ...range };
  for (const name of ['startkey', 'endkey']) {
    const value = text[name];
    if (value === undefined || typeof value === 'string') continue;
    const isBeforeText = value === null || typeof value === 'boolean' || typeof value === 'number';
    text[name] = isBeforeText ? '' : '\uffff\uffff';
  }
  return text;
}

/** How many rows stand before the first one; PouchDB tells `skip` alone. */
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

async function byKeys(database: Database, keys: readonly unknown[], range: Json): Promise<object> {
  const { skip, limit } = range;
  const options = without(range, 'startkey', 'endkey', 'key', 'skip', 'limit');
  const slice = keys.slice(
    Number(skip ?? 0),
    limit === undefined ? undefined : Number(skip ?? 0) + Number(limit),
  );
  const texts = slice.filter((key): key is string => typeof key === 'string');
  const found = await database.storage.allDocs({ ...options, keys: texts });
  const rows = new Map(found.rows.map((row) => [row.key, row]));
  const ordered = options['descending'] === true ? slice.reverse() : slice;
  const withDocs = options['include_docs'] === true;
  const rowOf = (key: unknown) => (typeof key === 'string' ? rows.get(key) : undefined);
  return {
    total_rows: found.total_rows,
    offset: null,
    rows: ordered.map((key) => shownRow(rowOf(key) ?? { key, error: 'not_found' }, withDocs)),
  };
}

function shownRow(row: AllDocsRow, withDocs: boolean): object {
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

/** PouchDB keeps local documents apart and cannot list them. */
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
