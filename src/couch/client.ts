// Sends Couchgate's own requests to the CouchDB cluster: picks nodes, authenticates, and retries on another
// node.
import { Agent } from 'undici';
import { type Couch, type CouchAnswer, type CouchRequest } from './couch.ts';
import { exchange, type ExchangeResult } from './exchange.ts';
import { ANSWER_TOO_LARGE, type CouchFailure, isBroken, MAX_BROKEN, unavailable } from './failure.ts';
import { follow } from './follow.ts';
import { HttpPool } from './http-exchange.ts';
import { InternalReadLimiter, type InternalReadLimits } from '../limits/internal-read-limiter.ts';

export interface CouchOptions {
  /** Returns an available node that is not in `tried`; undefined = none left. */
  readonly pickNode: (tried: ReadonlySet<string>, inOrder?: boolean) => { readonly url: string } | undefined;
  /**
   * Value of the Authorization header of Couchgate itself (role `_admin`). Called for every request, so it
   * may expire soon.
   */
  readonly authorization: () => string;
  /** Called when a node is unreachable or times out. */
  readonly nodeFailed: (url: string, reason: string) => void;
  /** Called with the reason when the feed of a database fails; not repeated for the same reason. */
  readonly feedFailed?: (database: string, reason: string) => void;
  /** PEM of the CA that signed the certificates of https nodes. */
  readonly ca?: string;
  readonly connectTimeoutMs: number;
  /** Timeout of the whole exchange, unless the request sets its own. */
  readonly requestTimeoutMs?: number;
  readonly keepAliveMs?: number;
  /** Silence after which a feed counts as failed. CouchDB sends three heartbeats in this time. */
  readonly feedSilenceMs?: number;
  /** Limits of requests with a `caller`; overrides READS. */
  readonly reads?: Partial<InternalReadLimits>;
}

export interface CouchClient extends Couch {
  /** Closes every feed and connection. */
  close(): Promise<void>;
}

/**
 * Maximum connections to one node for requests; further requests are queued. Feeds have separate connections.
 */
const CONNECTIONS = 64;
const MAX_ATTEMPTS = 5;
/** Half of the connections is reserved for requests without a caller. */
const READS: InternalReadLimits = { atOnce: CONNECTIONS / 2, waiting: 1024, share: 1 };

/**
 * Creates the client of a cluster. Its connections never carry client traffic, so a forged response on a
 * pooled socket cannot reach it (H3).
 */
export function createCouch(options: CouchOptions): CouchClient {
  const tls = options.ca === undefined ? {} : { ca: options.ca };
  const connect = { timeout: options.connectTimeoutMs, ...tls };
  const keepAliveTimeout = options.keepAliveMs ?? 60_000;
  // pipelining 1 = one request at a time per connection. exchange() enforces timeouts: undici's timers are
  // coarse.
  const shared = { connect, keepAliveTimeout, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 };
  const requests = new Agent({ ...shared, connections: CONNECTIONS });
  const { connectTimeoutMs } = options;
  const feeds = new HttpPool({ connections: Infinity, connectTimeoutMs, ...tls }, false);
  const open = new Set<{ readonly close: () => void }>();
  const reads = new InternalReadLimiter({ ...READS, ...options.reads });
  const askAny = (request: CouchRequest): Promise<CouchAnswer> => askCluster(requests, options, request);
  const ask = (request: CouchRequest): Promise<CouchAnswer> =>
    request.caller === undefined ? askAny(request) : reads.run(request.caller, () => askAny(request));
  return {
    ask,
    follow(database, on) {
      const feed = follow(
        { ...options, ask, pool: feeds, silenceMs: options.feedSilenceMs ?? 1500 },
        database,
        on,
      );
      open.add(feed);
      return {
        close() {
          open.delete(feed);
          feed.close();
        },
      };
    },
    async close() {
      for (const feed of open) feed.close();
      reads.close();
      feeds.close();
      await requests.destroy();
    },
  };
}

async function askCluster(agent: Agent, options: CouchOptions, request: CouchRequest): Promise<CouchAnswer> {
  const tried = new Set<string>();
  let failure: CouchFailure | undefined;
  let broken = 0;
  for (let attempt = 0; ; attempt += 1) {
    const node = nodeFor(request, options, tried, attempt);
    if (node === undefined || attempt === MAX_ATTEMPTS) throw unavailable(failure);
    tried.add(node);
    const outcome = await exchange(agent, {
      node,
      request,
      headers: request.headers ?? { Authorization: options.authorization() },
      timeoutMs: request.timeoutMs ?? options.requestTimeoutMs ?? 10_000,
    });
    if (outcome.answered && isFinal(outcome.answer.status)) return outcome.answer;
    failure = failureOf(outcome, node, request.method);
    if (!outcome.answered && isNodesFault(failure)) options.nodeFailed(node, failure.reason);
    // A write that a node may have received is never repeated: the caller could not detect that it was
    // applied twice.
    const isRead = request.method === 'GET' || request.method === 'HEAD' || request.repeatable === true;
    if (failure.reason === ANSWER_TOO_LARGE) throw unavailable(failure);
    if (isBroken(failure)) broken += 1;
    const mayAskAgain = failure.reached === 'unsent' || (isRead && broken < MAX_BROKEN);
    if (!mayAskAgain) throw unavailable(failure);
  }
}

/**
 * URL of the node for an attempt; `undefined` = none is left. The first request on a connection that CouchDB
 * closed while idle fails: a single node therefore gets a second attempt.
 */
function nodeFor(
  { node, inOrder }: CouchRequest,
  { pickNode }: CouchOptions,
  tried: ReadonlySet<string>,
  attempt: number,
): string | undefined {
  if (node !== undefined) return attempt > 1 ? undefined : node;
  const other = pickNode(tried, inOrder);
  if (other !== undefined) return other.url;
  return attempt === 1 ? pickNode(new Set())?.url : undefined;
}

/** True for a status that another node would give as well. 501 = CouchDB does not have the feature. */
function isFinal(status: number): boolean {
  return status < 500 || status === 501;
}

/**
 * True if the node is at fault: it is unreachable, or it does not answer a request that was sent. A timeout
 * before sending is not its fault: the request waited for a free connection here, and enough of those would
 * eject a healthy node (H15). A failed connection attempt has its own timeout and reason.
 */
function isNodesFault({ reached, reason }: CouchFailure): boolean {
  return reached === 'unsent' ? reason !== 'timeout' : reason === 'timeout';
}

function failureOf(outcome: ExchangeResult, url: string, method: string): CouchFailure {
  if (!outcome.answered) return outcome.failure;
  const { error } = (outcome.answer.body ?? {}) as { error?: unknown };
  const name = typeof error === 'string' ? ` ${error}` : '';
  return {
    node: new URL(url).host,
    method,
    reached: 'sent',
    reason: `status ${outcome.answer.status}${name}`,
  };
}
