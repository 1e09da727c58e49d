// Holds Couchgate's own conversation with CouchDB: which node is asked, as whom, and when another one is tried. One exchange is exchange.ts's
// business, the change feed follow.ts's, what the answers mean the caller's.
import { Agent } from 'undici';
import { Unavailable } from '../http-errors.ts';
import { type Couch, type CouchAnswer, type CouchRequest } from './couch.ts';
import { exchange, type Outcome } from './exchange.ts';
import { type CouchFailure, describeFailure } from './failure.ts';
import { follow } from './follow.ts';
import { InternalReadLimiter, type InternalReadLimits } from '../limits/internal-read-limiter.ts';

export interface CouchOptions {
  /** A node that is fit for use and not in `tried`; `undefined` = none is left. */
  readonly pickNode: (tried: ReadonlySet<string>) => { readonly url: string } | undefined;
  /** Value of the Authorization header for Couchgate itself (role `_admin`); called for every request, so it may expire soon. */
  readonly authorization: () => string;
  /** Told that a node could not be reached or did not answer in time. */
  readonly nodeFailed: (url: string, reason: string) => void;
  /** Told why the feed of a database is down, once for each reason. */
  readonly feedFailed?: (database: string, reason: string) => void;
  /** PEM of the CA that signed the certificates of https nodes. */
  readonly ca?: string;
  readonly connectTimeoutMs: number;
  /** Wait for a whole answer where the request names no time of its own. */
  readonly requestTimeoutMs?: number;
  readonly keepAliveMs?: number;
  /** A feed that is silent for longer counts as dead; CouchDB is asked for a sign of life three times in it. */
  readonly feedSilenceMs?: number;
  /** What requests with a `caller` may take up, over READS. */
  readonly reads?: Partial<InternalReadLimits>;
}

export interface CouchClient extends Couch {
  /** Ends every feed and connection. */
  close(): Promise<void>;
}

/** Connections to one node for requests; more wait. Feeds have theirs beside them. */
const CONNECTIONS = 64;
const MOST_ATTEMPTS = 5;
/** Half of the connections stays free for what has no caller. */
const READS: InternalReadLimits = { atOnce: CONNECTIONS / 2, waiting: 1024, share: 1 };

/** The conversation with a cluster, on connections of its own that never carry client traffic: a forged answer left on a pooled socket cannot reach it (H3). */
export function createCouch(options: CouchOptions): CouchClient {
  const tls = options.ca === undefined ? {} : { ca: options.ca };
  const connect = { timeout: options.connectTimeoutMs, ...tls };
  const keepAliveTimeout = options.keepAliveMs ?? 60_000;
  // pipelining 1 = one request at a time on a connection. Times are watched by the exchange, not by undici's coarse timers.
  const shared = { connect, keepAliveTimeout, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 };
  const requests = new Agent({ ...shared, connections: CONNECTIONS });
  const feeds = new Agent(shared);
  const open = new Set<{ readonly close: () => void }>();
  const reads = new InternalReadLimiter({ ...READS, ...options.reads });
  const askAny = (request: CouchRequest): Promise<CouchAnswer> => askCluster(requests, options, request);
  const ask = (request: CouchRequest): Promise<CouchAnswer> =>
    request.caller === undefined ? askAny(request) : reads.run(request.caller, () => askAny(request));
  return {
    ask,
    follow(database, on) {
      const feed = follow(
        { ...options, ask, agent: feeds, silenceMs: options.feedSilenceMs ?? 1500 },
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
      await Promise.all([requests.destroy(), feeds.destroy()]);
    },
  };
}

async function askCluster(agent: Agent, options: CouchOptions, request: CouchRequest): Promise<CouchAnswer> {
  const tried = new Set<string>();
  let failure: CouchFailure | undefined;
  for (let attempt = 0; ; attempt += 1) {
    // A connection that CouchDB closed while idle fails once through nobody's fault: the last node gets a second chance.
    const node = options.pickNode(tried) ?? (attempt === 1 ? options.pickNode(new Set()) : undefined);
    if (node === undefined || attempt === MOST_ATTEMPTS) throw unavailable(failure);
    tried.add(node.url);
    const outcome = await exchange(agent, {
      node: node.url,
      request,
      headers: request.headers ?? { Authorization: options.authorization() },
      timeoutMs: request.timeoutMs ?? options.requestTimeoutMs ?? 10_000,
    });
    if (outcome.answered && outcome.answer.status < 500) return outcome.answer;
    failure = failureOf(outcome, node.url, request.method);
    if (!outcome.answered && isNodesFault(failure)) options.nodeFailed(node.url, failure.reason);
    // A write that a node may have received is never sent again: the caller could not tell its own second from somebody else's.
    const mayAskAgain = failure.reached === 'unsent' || request.method === 'GET' || request.method === 'HEAD';
    if (!mayAskAgain) throw unavailable(failure);
  }
}

/**
 * A node that cannot be reached, or that keeps silent about what it was sent. What ran out of time before it was sent waited for a free
 * connection here: enough of that would put out a healthy node (H15). That no connection can be made has a time and a reason of its own.
 */
function isNodesFault({ reached, reason }: CouchFailure): boolean {
  return reached === 'unsent' ? reason !== 'timeout' : reason === 'timeout';
}

function failureOf(outcome: Outcome, url: string, method: string): CouchFailure {
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

function unavailable(failure: CouchFailure | undefined): Unavailable {
  const detail = failure === undefined ? 'no CouchDB node is fit for use' : describeFailure(failure);
  return new Unavailable('CouchDB cannot be reached at present.', { detail });
}
