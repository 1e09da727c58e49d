// Answers the paths of a database as a whole, and maps the underscore paths of a database to endpoints.
import { BadRequest, Forbidden, HttpError } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { checkedSecurity, requireDatabaseAdmin } from './access.ts';
import { allDocsMethods, designDocsMethods, localDocsMethods } from './all-docs.ts';
import { readJson, readJsonObject, requireJsonType } from './body.ts';
import { bulkDocsMethods, bulkGetMethods, missingRevsMethods, revsDiffMethods } from './bulk.ts';
import { changesMethods } from './changes.ts';
import { type Database } from './database.ts';
import { createDocument } from './document-endpoints.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { explainMethods, findMethods, indexMethods } from './mango.ts';
import { notImplemented } from './not-done.ts';
import { NODE_NAME } from './node-name.ts';
import { formatSeq } from './sequence.ts';

/** The methods of `/{db}`. */
export const databaseMethods: Methods<DatabaseExchange> = {
  allow: 'DELETE,GET,HEAD,POST',
  GET: async ({ res, database }) => sendJson(res, 200, await databaseInfo(database)),
  PUT: createDatabase,
  POST: createDocument,
  DELETE: removeDatabase,
};

/** The methods of `/{db}/{name}` by the underscore name. */
export const databaseEndpoints: ReadonlyMap<string, Methods<DatabaseExchange>> = new Map<
  string,
  Methods<DatabaseExchange>
>([
  [
    '_security',
    {
      allow: 'PUT,GET',
      GET: ({ res, database }) => sendJson(res, 200, database.record.security),
      PUT: putSecurity,
    },
  ],
  ['_all_docs', allDocsMethods],
  ['_design_docs', designDocsMethods],
  ['_local_docs', localDocsMethods],
  ['_bulk_docs', bulkDocsMethods],
  ['_bulk_get', bulkGetMethods],
  ['_revs_diff', revsDiffMethods],
  ['_missing_revs', missingRevsMethods],
  ['_changes', changesMethods],
  ['_find', findMethods],
  ['_explain', explainMethods],
  ['_index', indexMethods],
  ['_ensure_full_commit', { allow: 'POST', POST: ensureFullCommit }],
  ['_compact', { allow: 'POST', POST: compact }],
  ['_view_cleanup', { allow: 'POST', POST: cleanUpViews }],
  [
    '_revs_limit',
    {
      allow: 'PUT,GET',
      GET: ({ res, database }) => sendJson(res, 200, database.record.revsLimit),
      PUT: putRevsLimit,
    },
  ],
  ['_purged_infos_limit', { allow: 'GET,PUT', GET: ({ res }) => sendJson(res, 200, 1000) }],
  ['_shards', { allow: 'GET,HEAD', GET: describeShards }],
  ['_purge', notImplemented('purging')],
  ['_purged_infos', notImplemented('purging')],
  ['_sync_shards', { allow: 'POST', POST: ({ res }) => sendJson(res, 202, { ok: true }) }],
  ['_partition', { allow: 'GET,HEAD', GET: refusePartition }],
  ['_temp_view', { allow: 'GET,HEAD,POST', GET: refuseTemporaryView, POST: refuseTemporaryView }],
  ['_search_cleanup', notImplemented('full text search')],
  ['_nouveau_cleanup', notImplemented('full text search')],
]);

/**
 * The body of `GET /{db}`. PouchDB reports no sizes, so they are 0.
 * docs.couchdb.org/en/stable/api/database/common.html#get--db
 */
export async function databaseInfo(database: Database): Promise<object> {
  const { doc_count: count, update_seq: seq } = await database.storage.info();
  return {
    instance_start_time: startTime(database),
    db_name: database.name,
    purge_seq: formatSeq(0),
    update_seq: formatSeq(seq),
    sizes: { file: 0, external: 0, active: 0 },
    props: {},
    doc_del_count: await database.deletedCount(),
    doc_count: count,
    disk_format_version: 8,
    compact_running: false,
    cluster: { q: 1, n: 1, w: 1, r: 1 },
  };
}

/** Creation time in Unix seconds, as `instance_start_time` reports it. */
function startTime(database: Database): string {
  return String(Math.floor(database.record.createdMs / 1000));
}

async function createDatabase({ node, req, res, path, query }: DatabaseExchange): Promise<void> {
  const [name = ''] = path;
  checkPlacement(query);
  await node.databases.create(name);
  sendJson(
    res,
    201,
    { ok: true },
    { Location: `http://${req.headers.host ?? ''}/${encodeURIComponent(name)}` },
  );
}

/** Validates `q`, `n` and `partitioned`. Shards and replicas have no effect on a single node. */
function checkPlacement(query: URLSearchParams): void {
  for (const name of ['q', 'n']) {
    const value = query.get(name);
    if (value !== null && !/^[1-9]\d{0,8}$/.test(value))
      throw new BadRequest(`The \`${name}\` value should be a positive integer.`);
  }
  const partitioned = query.get('partitioned') ?? 'false';
  if (partitioned === 'true')
    throw new HttpError(501, 'not_implemented', 'The embedded node does not support partitioned databases.');
  if (partitioned !== 'false') throw new BadRequest('Invalid `partitioned` parameter');
}

async function removeDatabase({ node, res, path, query }: DatabaseExchange): Promise<void> {
  if (query.has('rev'))
    throw new BadRequest(
      'You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?',
    );
  await node.databases.remove(path[0] ?? '');
  sendJson(res, 200, { ok: true });
}

async function putSecurity({ node, req, res, database, isDatabaseAdmin }: DatabaseExchange): Promise<void> {
  if (database.name === '_users')
    throw new Forbidden("You can't edit the security object of the user database.");
  requireDatabaseAdmin(isDatabaseAdmin);
  database.record.security = checkedSecurity(await readJsonObject(req, 'any', true));
  node.databases.save();
  sendJson(res, 200, { ok: true });
}

function ensureFullCommit({ req, res, database }: DatabaseExchange): void {
  requireJsonType(req);
  req.resume();
  sendJson(res, 201, { ok: true, instance_start_time: startTime(database) });
}

async function compact({ req, res, database }: DatabaseExchange): Promise<void> {
  requireJsonType(req);
  req.resume();
  await database.storage.compact();
  sendJson(res, 202, { ok: true });
}

async function cleanUpViews({ req, res, database }: DatabaseExchange): Promise<void> {
  req.resume();
  await database.views.cleanUp();
  sendJson(res, 202, { ok: true });
}

/** Stores the limit and reports it, but does not apply it: PouchDB always keeps 1000 revisions. */
async function putRevsLimit({ node, req, res, database, isDatabaseAdmin }: DatabaseExchange): Promise<void> {
  requireDatabaseAdmin(isDatabaseAdmin);
  const limit = await readJson(req, 'any');
  if (!Number.isSafeInteger(limit) || Number(limit) < 1)
    throw new BadRequest('`revs_limit` must be positive integer');
  database.record.revsLimit = Number(limit);
  node.databases.save();
  sendJson(res, 200, { ok: true });
}

function describeShards({ res, path }: DatabaseExchange): void {
  const range = '00000000-ffffffff';
  if (path[2] === undefined) sendJson(res, 200, { shards: { [range]: [NODE_NAME] } });
  else sendJson(res, 200, { range, nodes: [NODE_NAME] });
}

function refusePartition(): never {
  throw new BadRequest('database is not partitioned');
}

function refuseTemporaryView(): never {
  throw new HttpError(410, 'gone', 'Temporary views are not supported in CouchDB');
}
