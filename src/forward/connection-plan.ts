// Decides which connection pool and queue a request uses, and whether a connection is reused after an answer.
import { type PoolKind } from '../catalogue/endpoint.ts';
import { type Target } from '../catalogue/operation.ts';
import { type Queue } from './node.ts';

/** The queue in which a request waits, and the connection pool that it uses. */
export interface ConnectionPlan {
  readonly queue: Queue;
  readonly pool: PoolKind;
}

const POOLED: ConnectionPlan = Object.freeze({ queue: 'short', pool: 'pooled' });
const SINGLE_USE: ConnectionPlan = Object.freeze({ queue: 'short', pool: 'single-use' });
const WHOLE: ConnectionPlan = Object.freeze({ queue: 'whole', pool: 'pooled' });
const SINGLE_USE_WHOLE: ConnectionPlan = Object.freeze({ queue: 'whole', pool: 'single-use' });
const FEED: ConnectionPlan = Object.freeze({ queue: 'feed', pool: 'feed' });
const SINGLE_USE_FEED: ConnectionPlan = Object.freeze({ queue: 'feed', pool: 'single-use' });
const WHOLE_FEED: ConnectionPlan = Object.freeze({ queue: 'whole-feed', pool: 'feed' });
const SINGLE_USE_WHOLE_FEED: ConnectionPlan = Object.freeze({ queue: 'whole-feed', pool: 'single-use' });

const ON_NEW_CONNECTION: Readonly<Record<Queue, ConnectionPlan>> = {
  short: SINGLE_USE,
  whole: SINGLE_USE_WHOLE,
  feed: SINGLE_USE_FEED,
  'whole-feed': SINGLE_USE_WHOLE_FEED,
};

/**
 * Returns the queue and the pool of a request.
 * A body that is not JSON uses a connection of its own. CouchDB leaves bytes unread after the last part of a
 * multipart body, and would run them as the next request on that connection (H2). `isReusableAfter` decides
 * by the answer whether the connection is reused. `isWhole` = CouchDB may hold the whole answer in memory, or
 * the documents of many rows at once.
 */
export function planConnection(
  declared: PoolKind,
  { path, query }: Pick<Target, 'path' | 'query'>,
  bodyType: string | undefined,
  hasBody: boolean,
  isWhole: boolean,
): ConnectionPlan {
  const singleUse = declared === 'single-use' || (hasBody && !isJson(bodyType));
  if (hasFeed(declared, path) && mayRequestFeed(query)) {
    if (isWhole) return singleUse ? SINGLE_USE_WHOLE_FEED : WHOLE_FEED;
    return singleUse ? SINGLE_USE_FEED : FEED;
  }
  if (isWhole) return singleUse ? SINGLE_USE_WHOLE : WHOLE;
  return singleUse ? SINGLE_USE : POOLED;
}

/** True for a path with feeds. An endpoint that covers a whole system database also covers its `_changes`. */
export function hasFeed(declared: PoolKind, path: string): boolean {
  return declared === 'feed' || (declared === 'single-use' && path.includes('/_changes'));
}

/** The same queue, on a new connection: for a retry after a reused connection that the node had closed. */
export function onNewConnection({ queue }: ConnectionPlan): ConnectionPlan {
  return ON_NEW_CONNECTION[queue];
}

/**
 * `feed` may be percent-encoded, so every query with an escape counts as a request for a feed. CouchDB
 * ignores the case of the name.
 */
function mayRequestFeed(query: string): boolean {
  return /feed|%/i.test(query);
}

/**
 * True if the connection may carry another request after this answer. CouchDB sends the type of an
 * attachment, or of a show, list or update function, as its author wrote it, line ends included. The rest of
 * such an answer could be read as the next answer (H3). The same applies to multipart answers. An eventsource
 * feed ends with two final chunks. The type of CouchDB's own JSON is fixed, so it is safe.
 */
export function isReusableAfter(status: number, contentType: string | undefined): boolean {
  if (contentType === undefined) return status === 304 || status === 204;
  return isJson(contentType) || contentType === 'text/plain; charset=utf-8';
}

/**
 * True for CouchDB's own spelling of the JSON type, with or without parameters. Other spellings count as
 * unsafe.
 */
function isJson(contentType: string | undefined): boolean {
  if (contentType?.startsWith('application/json') !== true) return false;
  const next = contentType[16];
  return next === undefined || next === ';' || next === ' ';
}
