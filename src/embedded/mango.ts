// Answers _find, _explain and _index with pouchdb-find.
import { BadRequest, HttpError, MethodNotAllowed, NotFound } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { requireDatabaseAdmin } from './access.ts';
import { readJsonObject } from './body.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { isObject, type Json, without } from './json.ts';
import { checkRegexes } from './mango-regex.ts';

/** The methods of `/{db}/_find`. */
export const findMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: find };
/** The methods of `/{db}/_explain`. */
export const explainMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: explain };
/** The methods of `/{db}/_index` and of one index below it. */
export const indexMethods: Methods<DatabaseExchange> = {
  allow: 'GET,POST,DELETE',
  GET: listIndexes,
  POST: createIndex,
  DELETE: deleteIndex,
};

const MAX_FIND_LIMIT = 100_000;
const DEFAULT_LIMIT = 25;

interface FindRequest extends Json {
  readonly selector: Json;
  readonly limit: number;
}

/** Validates a _find request and converts it to PouchDB's. Throws CouchDB's 400. */
function findRequest(body: Json): FindRequest {
  const { selector, limit, skip, sort, fields, use_index: useIndex } = body;
  if (selector === undefined) throw new BadRequest('Missing required key: selector', 'missing_required_key');
  if (!isObject(selector))
    throw new BadRequest(
      `Selector must be a JSON object, not: ${JSON.stringify(selector)}`,
      'invalid_selector_json',
    );
  checkRegexes(selector);
  requireCount(limit);
  requireCount(skip);
  if (sort !== undefined && !Array.isArray(sort)) throw new BadRequest('Invalid sort', 'invalid_sort_json');
  if (fields !== undefined && (!Array.isArray(fields) || !fields.every((field) => typeof field === 'string')))
    throw new BadRequest(
      `Fields must be an array of strings, not: ${JSON.stringify(fields)}`,
      'invalid_fields',
    );
  const given = { skip, sort, fields, use_index: indexNames(useIndex) };
  return {
    selector,
    limit: Math.min(Number(limit ?? DEFAULT_LIMIT), MAX_FIND_LIMIT),
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  };
}

/** The design document of an index, and its name. CouchDB treats `null` and `[]` as no index. */
function indexNames(value: unknown): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (names.length > 2 || !names.every((name) => typeof name === 'string'))
    throw new BadRequest(`Invalid index name: ${JSON.stringify(value)}`, 'invalid_index_name');
  return names.length === 0 ? undefined : names;
}

/**
 * Runs a request with its index. If the index does not fit, the request runs without it, and the warning is
 * CouchDB's (mango_cursor.erl).
 */
async function withIndex<T>(request: FindRequest, run: (request: Json) => Promise<T>): Promise<Indexed<T>> {
  const names = request['use_index'] as readonly string[] | undefined;
  if (names === undefined) return { result: await withMangoErrors(() => run(request)), warnings: [] };
  try {
    return { result: await run({ ...request, use_index: names }), warnings: [] };
  } catch {
    const [design = '', name] = names;
    const listed = `_design/${design.replace(/^_design\//u, '')}${name === undefined ? '' : `, ${name}`}`;
    const fault = name === undefined ? 'it does not contain a valid index' : 'it is not a valid index';
    const result = await withMangoErrors(() => run(without(request, 'use_index')));
    return { result, warnings: [`${listed} was not used because ${fault} for this query.`] };
  }
}

interface Indexed<T> {
  readonly result: T;
  readonly warnings: readonly string[];
}

function requireCount(value: unknown): void {
  if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= 0)) return;
  const text = JSON.stringify(value);
  throw new BadRequest(`${text} is not an integer greater than or equal to zero`, 'invalid_non_neg_integer');
}

async function find({ req, res, database }: DatabaseExchange): Promise<void> {
  const body = await readJsonObject(req, 'required');
  const request = findRequest(body);
  const started = performance.now();
  // PouchDB treats a limit of 0 as no limit.
  const { result, warnings } =
    request.limit === 0
      ? { result: { docs: [] }, warnings: [] }
      : await withIndex<{ docs: Json[]; warning?: string }>(request, (each) => database.storage.find(each));
  const warning = [...warnings, ...(result.warning === undefined ? [] : [result.warning])].join('\n');
  const stats = {
    total_keys_examined: 0,
    total_docs_examined: result.docs.length,
    total_quorum_docs_examined: 0,
    results_returned: result.docs.length,
    execution_time_ms: performance.now() - started,
  };
  sendJson(res, 200, {
    docs: result.docs,
    bookmark: 'nil',
    ...(body['execution_stats'] === true ? { execution_stats: stats } : {}),
    ...(warning === '' ? {} : { warning }),
  });
}

/** Sends PouchDB's query plan in the structure of CouchDB's answer. */
async function explain({ req, res, database }: DatabaseExchange): Promise<void> {
  const request = findRequest(await readJsonObject(req, 'required'));
  const { result: plan } = await withIndex(request, (each) => database.storage.explain(each));
  sendJson(res, 200, {
    dbname: database.name,
    index: isObject(plan['index']) ? { ...plan['index'], partitioned: false } : null,
    partitioned: false,
    selector: request.selector,
    opts: plan['opts'],
    limit: request.limit,
    skip: plan['skip'],
    fields: request['fields'] ?? [],
    range: plan['range'],
    index_candidates: [],
    selector_hints: [],
    covering: false,
  });
}

/** Runs a PouchDB call and translates its errors to CouchDB's 400. */
async function withMangoErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof HttpError) throw thrown;
    const { message = '', reason = message } = thrown as { message?: string; reason?: string };
    const operator = /unknown operator "(\$\w+)"/.exec(reason)?.[1];
    if (operator !== undefined) throw new BadRequest(`Invalid operator: ${operator}`, 'invalid_operator');
    if (reason.startsWith('Cannot sort on field'))
      throw new BadRequest(
        'No index exists for this sort, try indexing by the sort fields.',
        'no_usable_index',
      );
    throw new BadRequest(reason, 'invalid_selector_json');
  }
}

async function listIndexes({ res, database }: DatabaseExchange): Promise<void> {
  const { indexes } = await database.storage.getIndexes();
  sendJson(res, 200, {
    total_rows: indexes.length,
    indexes: indexes.map((index) => ({ ...index, ...(index.ddoc === null ? {} : { partitioned: false }) })),
  });
}

async function createIndex({ req, res, path, database, isDatabaseAdmin }: DatabaseExchange): Promise<void> {
  requireDatabaseAdmin(isDatabaseAdmin);
  if (path[2] !== undefined)
    throw new HttpError(
      501,
      'not_implemented',
      'The embedded node does not support bulk deletion of indexes.',
    );
  const { index, name, ddoc, type } = await readJsonObject(req, 'required');
  if (!isObject(index)) throw new BadRequest('Missing required key: index', 'missing_required_key');
  requireIndexFields(index['fields']);
  if (type !== undefined && type !== 'json')
    throw new HttpError(501, 'not_implemented', 'The embedded node supports JSON indexes only.');
  const request = {
    ...index,
    ...(typeof name === 'string' ? { name } : {}),
    ...(typeof ddoc === 'string' ? { ddoc: ddoc.replace(/^_design\//, '') } : {}),
  };
  const {
    result,
    id,
    name: indexName,
  } = await withMangoErrors(() => database.storage.createIndex({ index: request }));
  database.invalidateDesigns();
  database.publishChange();
  sendJson(res, 200, { result, id, name: indexName });
}

function requireIndexFields(fields: unknown): void {
  if (fields === undefined) throw new BadRequest('Missing required key: fields', 'missing_required_key');
  const isField = (field: unknown) => typeof field === 'string' || isObject(field);
  if (!Array.isArray(fields) || !fields.every(isField))
    throw new BadRequest('Invalid fields', 'invalid_sort_json');
}

/** DELETE /{db}/_index/{ddoc}/json/{name}; `{ddoc}` may have the prefix `_design/`. */
async function deleteIndex({ res, path, database, isDatabaseAdmin }: DatabaseExchange): Promise<void> {
  requireDatabaseAdmin(isDatabaseAdmin);
  const [ddoc, type, name] = path.slice(path[2] === '_design' ? 3 : 2);
  if (ddoc === undefined || type === undefined || name === undefined) throw new MethodNotAllowed('GET,POST');
  const { indexes } = await database.storage.getIndexes();
  const known = indexes.find(
    (index) => index.ddoc === `_design/${ddoc}` && index.name === name && index.type === type,
  );
  if (known === undefined) throw new NotFound('Index not found');
  await database.storage.deleteIndex({ ddoc: known.ddoc, name, type });
  database.invalidateDesigns();
  database.publishChange();
  sendJson(res, 200, { ok: true });
}
