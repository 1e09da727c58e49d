// Builds the filter of a _changes request: by ids, selector, design documents, view or filter function.
import { BadRequest, NotFound } from '../http-errors.ts';
import { type DatabaseExchange } from './exchange.ts';
import { isObject, type Json } from './json.ts';
import { jsonParameter } from './parameters.ts';
import { type ChangeRow, type StoredDocument } from './pouch.ts';

/** Decides which changes a feed sends. */
export interface ChangesFilter {
  /** Options for PouchDB's `changes`. */
  readonly options: Json;
  /** `matches` needs `row.doc`. */
  readonly needsDoc: boolean;
  readonly matches: (row: ChangeRow) => boolean;
}

const ALL: ChangesFilter = { options: {}, needsDoc: false, matches: () => true };

/**
 * The filter that `filter` names; without it, all changes match. Throws CouchDB's 400 for a malformed filter
 * and 404 for a missing one. docs.couchdb.org/en/stable/api/database/changes.html#filtering
 */
export async function changesFilter(exchange: DatabaseExchange, body: Json): Promise<ChangesFilter> {
  const name = exchange.query.get('filter');
  if (name === null) return ALL;
  if (name === '_doc_ids') return byIds(exchange, body);
  if (name === '_selector') return bySelector(body);
  if (name === '_design') return { ...ALL, matches: (row) => row.id.startsWith('_design/') };
  if (name === '_view') return byView(exchange);
  if (name.startsWith('_')) throw new BadRequest('unknown builtin filter name');
  return byFunction(exchange, name);
}

function byIds({ query, method }: DatabaseExchange, body: Json): ChangesFilter {
  const given = method === 'POST' ? body['doc_ids'] : jsonParameter(query.get('doc_ids') ?? 'null');
  if (!Array.isArray(given)) throw new BadRequest('`doc_ids` filter parameter is not a list of doc ids.');
  const ids = new Set<unknown>(given);
  return { ...ALL, matches: (row) => ids.has(row.id) };
}

function bySelector(body: Json): ChangesFilter {
  const { selector } = body;
  if (!isObject(selector)) throw new BadRequest('Selector error: expected a JSON object');
  return { ...ALL, options: { selector } };
}

async function byView({ query, database }: DatabaseExchange): Promise<ChangesFilter> {
  const [design, name, rest] = (query.get('view') ?? '').split('/');
  if (!query.has('view')) throw new BadRequest('`view` filter parameter is not provided.');
  if (design === undefined || name === undefined || rest !== undefined)
    throw new BadRequest('`view` must be of the form `designname/viewname`');
  const { map } = await database.views.definition(design, name);
  return { ...ALL, needsDoc: true, matches: (row) => database.functions.map(map, row.doc ?? {}).length > 0 };
}

async function byFunction(exchange: DatabaseExchange, filter: string): Promise<ChangesFilter> {
  const { query, caller, database, method, path } = exchange;
  const [design, name, rest] = filter.split('/');
  if (design === undefined || name === undefined || rest !== undefined)
    throw new BadRequest('`filter` must be of the form `designname/filtername`');
  const document: StoredDocument = await database.storage.get(`_design/${design}`);
  const filters = document['filters'];
  if (!isObject(filters)) throw new NotFound('missing json key: filters');
  const source = Object.hasOwn(filters, name) ? filters[name] : undefined;
  if (typeof source !== 'string') throw new NotFound(`missing json key: ${name}`);
  const request = {
    method,
    path,
    query: Object.fromEntries(query),
    userCtx: { db: database.name, name: caller.name, roles: caller.roles },
    secObj: database.record.security,
  };
  return {
    ...ALL,
    needsDoc: true,
    matches: (row) => database.functions.filter(source, row.doc ?? {}, request),
  };
}
