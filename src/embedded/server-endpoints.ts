// Answers the paths of the server: `/`, _up, _uuids, _all_dbs, _dbs_info, _node, _scheduler and others.
import { randomBytes } from 'node:crypto';
import { BadRequest, HttpError, NotFound } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { readJsonObject } from './body.ts';
import { databaseInfo } from './database-endpoints.ts';
import { type Database } from './database.ts';
import { type Endpoint, type Exchange, type Methods } from './exchange.ts';
import { NODE_NAME } from './node-name.ts';
import { notImplemented } from './not-done.ts';
import { countOf, jsonParameter } from './parameters.ts';
import { schedulerDocs, schedulerJobs } from './replication-scheduler.ts';
import { replicateMethods } from './replicate.ts';
import { sessionMethods } from './session.ts';

const MAX_UUIDS = 1000;

/** The methods of `/`. */
export const welcomeMethods: Methods<Exchange> = {
  allow: 'GET,HEAD',
  GET: ({ node, res }) =>
    sendJson(res, 200, {
      couchdb: 'Welcome',
      version: '3.5.0',
      git_sha: 'embedded',
      uuid: node.databases.uuid,
      features: ['quickjs', 'access-ready', 'scheduler'],
      vendor: { name: 'Couchgate embedded node: for evaluation and tests, not for production' },
    }),
};

const get = (endpoint: Endpoint<Exchange>): Methods<Exchange> => ({ allow: 'GET,HEAD', GET: endpoint });

/** The methods of server paths by their first segment. */
export const serverEndpoints: ReadonlyMap<string, Methods<Exchange>> = new Map([
  ['_up', get(({ res }) => sendJson(res, 200, { status: 'ok', seeds: {} }))],
  ['_uuids', get(generateUuids)],
  ['_session', sessionMethods],
  ['_replicate', replicateMethods],
  ['_all_dbs', get(listDatabases)],
  ['_dbs_info', { allow: 'GET,HEAD,POST', GET: listDatabaseInfo, POST: listNamedInfo }],
  [
    '_membership',
    get(({ res }) => sendJson(res, 200, { all_nodes: [NODE_NAME], cluster_nodes: [NODE_NAME] })),
  ],
  ['_active_tasks', get(({ res }) => sendJson(res, 200, []))],
  ['_cluster_setup', get(({ res }) => sendJson(res, 200, { state: 'single_node_enabled' }))],
  ['_node', get(describeNode)],
  ['_scheduler', get(describeScheduler)],
  ['favicon.ico', get(({ res }) => sendJson(res, 404, { error: 'not_found', reason: 'missing' }))],
  ['_reshard', notImplemented('resharding')],
  ['_search_analyze', notImplemented('full text search')],
  ['_nouveau_analyze', notImplemented('full text search')],
  ['_utils', notImplemented('the web interface Fauxton')],
]);

function generateUuids({ res, query }: Exchange): void {
  const given = query.get('count') ?? '1';
  if (!/^\d+$/.test(given)) throw new BadRequest('count must be a positive integer');
  if (Number(given) > MAX_UUIDS) throw new BadRequest('count parameter too large');
  const uuids = Array.from({ length: Number(given) }, () => randomBytes(16).toString('hex'));
  sendJson(
    res,
    200,
    { uuids },
    { 'Cache-Control': 'no-cache', ETag: `"${randomBytes(12).toString('hex')}"` },
  );
}

function listDatabases({ node, res, query }: Exchange): void {
  sendJson(res, 200, namesInRange(node.databases.names(), query));
}

async function listDatabaseInfo(exchange: Exchange): Promise<void> {
  await sendInfo(exchange, namesInRange(exchange.node.databases.names(), exchange.query));
}

async function listNamedInfo(exchange: Exchange): Promise<void> {
  const { keys } = await readJsonObject(exchange.req, 'required');
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string'))
    throw new BadRequest('`keys` member must exist and be an array.');
  if (keys.length > 100) throw new BadRequest('`keys` member exceeds the maximum of 100.');
  await sendInfo(exchange, keys);
}

async function sendInfo({ node, res }: Exchange, names: readonly string[]): Promise<void> {
  const rows = [];
  for (const name of names) {
    if (!node.databases.has(name)) rows.push({ key: name, error: 'not_found' });
    else rows.push({ key: name, info: await infoOf(node.databases.get(name)) });
  }
  sendJson(res, 200, rows);
}

function infoOf(database: Database): Promise<object> {
  return database.use(() => databaseInfo(database));
}

/**
 * Names from `startkey` to `endkey`, after `skip`, up to `limit`. Throws CouchDB's 400 for invalid
 * parameters. docs.couchdb.org/en/stable/api/server/common.html#all-dbs
 */
function namesInRange(names: readonly string[], query: URLSearchParams): string[] {
  const key = (...params: string[]) => {
    const text = params.map((param) => query.get(param)).find((value) => value !== null);
    return text == null ? undefined : jsonParameter(text);
  };
  const count = (param: string) => (query.has(param) ? countOf(query.get(param)) : undefined);
  const descending = query.get('descending') === 'true';
  const [from, to] = [key('startkey', 'start_key'), key('endkey', 'end_key')];
  const [low, high] = descending ? [to, from] : [from, to];
  const selected = names.filter(
    (name) => (typeof low !== 'string' || name >= low) && (typeof high !== 'string' || name <= high),
  );
  if (descending) selected.reverse();
  const skip = count('skip') ?? 0;
  return selected.slice(skip, skip + (count('limit') ?? selected.length));
}

/** Answers `_node/{name}` and its sub-paths. Couchgate reads `_config/admins`; the others are minimal. */
function describeNode({ node, res, path }: Exchange): void {
  const [, name, topic, section, key] = path;
  if (name === undefined) throw new NotFound();
  if (name !== '_local' && name !== NODE_NAME) throw new HttpError(412, 'nodedown', `${name} is down`);
  if (topic === '_config' && section === 'admins') {
    const admins = node.authenticator.admins();
    if (key !== undefined && !Object.hasOwn(admins, key)) throw new NotFound('unknown_config_value');
    sendJson(res, 200, key === undefined ? admins : admins[key]);
    return;
  }
  const information = topic === undefined ? () => ({ name: NODE_NAME }) : NODE_INFORMATION.get(topic);
  if (information === undefined)
    throw new HttpError(501, 'not_implemented', 'The embedded node does not provide this information.');
  sendJson(res, 200, information());
}

const NODE_INFORMATION: ReadonlyMap<string, () => object> = new Map([
  ['_stats', () => ({})],
  ['_config', () => ({})],
  ['_versions', () => ({ javascript_engine: { name: 'quickjs' } })],
  ['_system', () => ({ uptime: Math.floor(process.uptime()), memory: { other: process.memoryUsage().rss } })],
]);

function describeScheduler(exchange: Exchange): void {
  const [, list] = exchange.path;
  if (list === 'jobs') schedulerJobs(exchange);
  else if (list === 'docs') schedulerDocs(exchange);
  else throw new NotFound();
}
