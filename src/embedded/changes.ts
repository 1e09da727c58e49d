// Answers _changes: parses the request and selects the feed.
import { BadRequest } from '../http-errors.ts';
import { readJsonObject } from './body.ts';
import { changesFilter, type ChangesFilter } from './changes-filter.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { sendContinuous, sendEventSource } from './feed-continuous.ts';
import { sendLongpoll, sendNormal } from './feed-normal.ts';
import { isObject, type Json } from './json.ts';
import { countOf, isSet } from './parameters.ts';
import { readSeq } from './sequence.ts';

/** The methods of `/{db}/_changes`. */
export const changesMethods: Methods<DatabaseExchange> = {
  allow: 'GET,HEAD,POST',
  GET: changes,
  POST: changes,
};

/** CouchDB's default and maximum of `timeout`, and its default of `heartbeat`. */
const DEFAULT_TIMEOUT_MS = 60_000;

/** A parsed _changes request. */
export interface ChangesRequest {
  /** Sequence; changes after it are sent. */
  readonly since: number;
  /** Number of changes; Infinity = no limit. */
  readonly limit: number;
  readonly descending: boolean;
  readonly includeDocs: boolean;
  /** Options that PouchDB understands: style, conflicts, attachments. */
  readonly rowOptions: Json;
  readonly filter: ChangesFilter;
  /** Time between two heartbeats; 0 = no heartbeat. */
  readonly heartbeatMs: number;
  /** Time to wait for a change; Infinity with a heartbeat and without a timeout parameter. */
  readonly timeoutMs: number;
}

const FEEDS = new Map([
  ['normal', sendNormal],
  ['longpoll', sendLongpoll],
  ['continuous', sendContinuous],
  ['live', sendContinuous],
  ['eventsource', sendEventSource],
]);

/** docs.couchdb.org/en/stable/api/database/changes.html */
async function changes(exchange: DatabaseExchange): Promise<void> {
  const { req, res, query, method } = exchange;
  const feed = FEEDS.get(query.get('feed') ?? 'normal');
  if (feed === undefined)
    throw new BadRequest('Supported `feed` types: normal, continuous, live, longpoll, eventsource');
  const body = method === 'POST' ? await readChangesBody(exchange) : {};
  const request = await parseChangesRequest(exchange, body);
  if (req.method === 'HEAD') {
    res.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'must-revalidate' });
    res.end();
    return;
  }
  await feed(exchange, request);
}

async function readChangesBody({ req }: DatabaseExchange): Promise<Json> {
  if (req.headers['content-length'] === '0') return {};
  const body: unknown = await readJsonObject(req, 'required');
  return isObject(body) ? body : {};
}

async function parseChangesRequest(exchange: DatabaseExchange, body: Json): Promise<ChangesRequest> {
  const { req, query, database } = exchange;
  const heartbeatMs = heartbeatOf(query.get('heartbeat'));
  const timeout = query.get('timeout');
  const style = query.get('style') ?? 'main_only';
  if (style !== 'main_only' && style !== 'all_docs')
    throw new BadRequest('Supported styles: main_only, all_docs');
  if (query.has('seq_interval') && !/^\d+$/.test(query.get('seq_interval') ?? ''))
    throw new BadRequest('invalid_seq_interval');
  const lastEventId = req.headers['last-event-id'];
  const since = query.get('since') ?? (typeof lastEventId === 'string' ? lastEventId : undefined);
  return {
    since: await readSeq(since, async () => (await database.storage.info()).update_seq),
    limit: limitOf(query.get('limit')),
    descending: isSet(query, 'descending'),
    includeDocs: isSet(query, 'include_docs'),
    rowOptions: { style, conflicts: isSet(query, 'conflicts'), attachments: isSet(query, 'attachments') },
    filter: await changesFilter(exchange, body),
    heartbeatMs,
    timeoutMs: timeoutOf(timeout, heartbeatMs),
  };
}

function timeoutOf(given: string | null, heartbeatMs: number): number {
  if (given === null) return heartbeatMs > 0 ? Infinity : DEFAULT_TIMEOUT_MS;
  return Math.min(countOf(given), DEFAULT_TIMEOUT_MS);
}

/** CouchDB treats a negative limit as no limit. */
function limitOf(given: string | null): number {
  if (given === null || /^-\d+$/.test(given)) return Infinity;
  return countOf(given);
}

function heartbeatOf(given: string | null): number {
  if (given === null || given === 'false') return 0;
  if (given === 'true') return DEFAULT_TIMEOUT_MS;
  if (!/^-?\d{1,9}$/.test(given))
    throw new BadRequest('Invalid heartbeat value. Expecting a positive integer value (in milliseconds).');
  if (Number(given) <= 0)
    throw new BadRequest('The heartbeat value should be a positive integer (in milliseconds).');
  return Number(given);
}
