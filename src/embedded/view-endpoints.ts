// Answers /{db}/_design/{name}/_view/{view} and its `/queries` variant with several queries.
import { BadRequest, MethodNotAllowed } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { queriesOf } from './all-docs.ts';
import { readJsonObject } from './body.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { type Json, without } from './json.ts';
import { formatSeq } from './sequence.ts';
import { viewOptions, type ViewOptions } from './view-parameters.ts';

/** The methods of a view. */
export const viewMethods: Methods<DatabaseExchange> = {
  allow: 'GET,HEAD,POST',
  GET: getView,
  POST: postView,
};

async function getView(exchange: DatabaseExchange): Promise<void> {
  if (exchange.path[5] !== undefined) throw new MethodNotAllowed('POST');
  sendJson(exchange.res, 200, await runView(exchange, viewOptions(exchange.query)));
}

async function postView(exchange: DatabaseExchange): Promise<void> {
  const body = await readJsonObject(exchange.req, 'required');
  if (exchange.path[5] !== 'queries') {
    sendJson(exchange.res, 200, await runView(exchange, viewOptions(exchange.query, body)));
    return;
  }
  const results = [];
  for (const query of queriesOf(body))
    results.push(await runView(exchange, viewOptions(exchange.query, query)));
  sendJson(exchange.res, 200, { results });
}

async function runView({ path, database }: DatabaseExchange, options: ViewOptions): Promise<object> {
  const [, , design = '', , name = ''] = path;
  const view = await database.views.definition(design, name);
  const reduces = view.reduce !== undefined && options.reduce !== false;
  requireValidOptions(options, view.reduce !== undefined, reduces);
  const query = without(options, 'update_seq', 'sorted');
  const result = await database.views.query(design, name, view, { ...query, reduce: reduces });
  if (reduces) return { rows: result.rows.map(({ key, value }) => ({ key, value })) };
  const seq =
    options.update_seq === true ? { update_seq: formatSeq((await database.storage.info()).update_seq) } : {};
  return { total_rows: result.total_rows, offset: result.offset, ...seq, rows: result.rows.map(viewRow) };
}

/** Throws CouchDB's 400 for combinations that do not fit the view. */
function requireValidOptions(options: ViewOptions, hasReduce: boolean, reduces: boolean): void {
  const refuse = (reason: string): never => {
    throw new BadRequest(reason, 'query_parse_error');
  };
  const groups = options['group'] === true || Number(options['group_level'] ?? 0) > 0;
  if (!hasReduce && options.reduce === true) refuse('Reduce is invalid for map-only views.');
  if (!reduces && groups) refuse('Invalid use of grouping on a map view.');
  if (reduces && options.include_docs === true) refuse('`include_docs` is invalid for reduce');
  if (reduces && options.keys !== undefined && options.keys.length > 1 && !groups)
    refuse('Multi-key fetches for reduce views must use `group=true`');
}

function viewRow(row: Json): Json {
  const { id, key, value, doc, error } = row;
  if (error !== undefined) return { key, error };
  return { id, key, value, ...(doc === undefined ? {} : { doc }) };
}
