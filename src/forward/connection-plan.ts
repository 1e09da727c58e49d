// Decides on which connections a request travels. What those connections are is agents.ts's business.
import { type PoolKind } from '../catalogue/endpoint.ts';
import { type Queue, type Upstream } from './node.ts';

/** Where a request waits for its turn, and which of a node's routes it takes. */
export interface ConnectionPlan {
  readonly queue: Queue;
  readonly pool: keyof Record<PoolKind, Upstream>;
}

const POOLED: ConnectionPlan = Object.freeze({ queue: 'short', pool: 'pooled' });
const SINGLE_USE: ConnectionPlan = Object.freeze({ queue: 'short', pool: 'single-use' });
const FEED: ConnectionPlan = Object.freeze({ queue: 'feed', pool: 'feed' });
const SINGLE_USE_FEED: ConnectionPlan = Object.freeze({ queue: 'feed', pool: 'single-use' });

/**
 * A body that CouchDB reads in another way than JSON travels on a connection of its own: behind the last part of a multipart body it
 * leaves bytes unread, and would run them as the next request on that connection (H2). What answers do to their connection is seen
 * when they come: `mayBeKept`.
 */
export function planConnection(
  declared: PoolKind,
  path: string,
  bodyType: string | undefined,
  hasBody: boolean,
  query: string,
): ConnectionPlan {
  const singleUse = declared === 'single-use' || (hasBody && !isJson(bodyType));
  // Rows that stand for a whole system database hold its feed, too.
  const hasFeed = declared === 'feed' || (declared === 'single-use' && path.includes('/_changes'));
  if (hasFeed && mayAskForFeed(query)) return singleUse ? SINGLE_USE_FEED : FEED;
  return singleUse ? SINGLE_USE : POOLED;
}

/** The same line, on a connection that nobody used before: for a request that met one that the node had just closed. */
export function onNewConnection({ queue }: ConnectionPlan): ConnectionPlan {
  return queue === 'feed' ? SINGLE_USE_FEED : SINGLE_USE;
}

/** `feed` may be written with escapes, so a query that holds any counts as one that asks for a feed. */
function mayAskForFeed(query: string): boolean {
  return query.includes('feed') || query.includes('%');
}

/**
 * Whether the connection may carry another request after this answer. CouchDB sends the type of an attachment, or of a show, list
 * or update function, out as its author wrote it, line ends included: the rest of such an answer may pass for the next one (H3). The
 * same goes for multipart answers, and an eventsource feed ends with two final chunks. CouchDB's own JSON has a type that nobody writes.
 */
export function mayBeKept(status: number, contentType: string | undefined): boolean {
  if (contentType === undefined) return status === 304 || status === 204;
  return isJson(contentType) || contentType === 'text/plain; charset=utf-8';
}

/** True for CouchDB's own spelling and for what it reads as JSON; anything spelled otherwise is treated with care. */
function isJson(contentType: string | undefined): boolean {
  if (contentType?.startsWith('application/json') !== true) return false;
  const next = contentType[16];
  return next === undefined || next === ';' || next === ' ';
}
