// Answers _find, _explain and _index with PouchDB's Mango. What an index may be is PouchDB's business.
import { BadRequest, HttpError, MethodNotAllowed, NotFound } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { requireDatabaseAdmin } from './access.ts';
import { readJsonObject } from './body.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { isObject, type Json } from './json.ts';

export const findMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: find };
export const explainMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: explain };
export const indexMethods: Methods<DatabaseExchange> = {
  allow: 'GET,POST,DELETE',
  GET: listIndexes,
  POST: createIndex,
  DELETE: deleteIndex,
};

const MAX_FIND_LIMIT = 100_000;

/** The request as PouchDB takes it. Throws CouchDB's 400 for what Mango refuses. */
async function readFind({ req }: DatabaseExchange): Promise<Json> {
  const body = await readJsonObject(req, 'required');
  const { selector, limit, skip, sort, fields, use_index: useIndex } = body;
  if (selector === undefined) throw new BadRequest('Missing required key: selector', 'missing_required_key');
  if (!isObject(selector)) throw new BadRequest('Selector must be a JSON object', 'invalid_selector_json');
  requireCount('limit', limit);
  requireCount('skip', skip);
  if (sort !== undefined && !Array.isArray(sort)) throw new BadRequest('Invalid sort', 'invalid_sort_json');
  if (fields !== undefined && (!Array.isArray(fields) || !fields.every((field) => typeof field === 'string')))
    throw new BadRequest('Invalid fields', 'invalid_fields_json');
  return {
    selector,
    limit: Math.min(Number(limit ?? 25), MAX_FIND_LIMIT),
    ...(skip === undefined ? {} : { skip }),
    ...(sort === undefined ? {} : { sort }),
    ...(fields === undefined ? {} : { fields }),
    ...(useIndex === undefined ? {} : { use_index: useIndex }),
  };
}

function requireCount(name: string, value: unknown): void {
  if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= 0)) return;
  throw new BadRequest(`Invalid value for ${name}: must be a non-negative integer`, `invalid_${name}_value`);
}

async function find(exchange: DatabaseExchange): Promise<void> {
  const request = await readFind(exchange);
  const result = await asMango(() => exchange.database.storage.find(request));
  sendJson(exchange.res, 200, {
    docs: result.docs,
    bookmark: 'nil',
    ...(result.warning === undefined ? {} : { warning: result.warning }),
  });
}

async function explain(exchange: DatabaseExchange): Promise<void> {
  const request = await readFind(exchange);
  sendJson(exchange.res, 200, await asMango(() => exchange.database.storage.explain(request)));
}

/** PouchDB's errors in Mango's words. */
async function asMango<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof HttpError) throw thrown;
    const message = thrown instanceof Error ? thrown.message : ((thrown as { reason?: string }).reason ?? '');
    const operator = /unknown operator "(\$\w+)"/.exec(message)?.[1];
    if (operator !== undefined) throw new BadRequest(`Invalid operator: ${operator}`, 'invalid_operator');
    throw new BadRequest(message, 'invalid_selector_json');
  }
}

async function listIndexes({ res, database }: DatabaseExchange): Promise<void> {
  const { indexes } = await database.storage.getIndexes();
  sendJson(res, 200, {
    total_rows: indexes.length,
    indexes: indexes.map((index) => ({ ...index, ...(index.ddoc === null ? {} : { partitioned: false }) })),
  });
}

async function createIndex({ req, res, database, isDatabaseAdmin }: DatabaseExchange): Promise<void> {
  requireDatabaseAdmin(isDatabaseAdmin);
  const { index, name, ddoc, type } = await readJsonObject(req, 'required');
  if (!isObject(index)) throw new BadRequest('Missing required key: index', 'missing_required_key');
  if (type !== undefined && type !== 'json')
    throw new HttpError(501, 'not_implemented', 'The embedded node does JSON indexes only.');
  const request = {
    ...index,
    ...(typeof name === 'string' ? { name } : {}),
    ...(typeof ddoc === 'string' ? { ddoc: ddoc.replace(/^_design\//, '') } : {}),
  };
  const {
    result,
    id,
    name: indexName,
  } = await asMango(() => database.storage.createIndex({ index: request }));
  database.forgetDesigns();
  database.changed();
  sendJson(res, 200, { result, id, name: indexName });
}

/** DELETE /db/_index/{ddoc}/json/{name}, or with `_design/{ddoc}`. */
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
  database.forgetDesigns();
  database.changed();
  sendJson(res, 200, { ok: true });
}
