// One CouchDB node: its address, its state, its connection pools and its concurrency limits.
import { type Agent } from 'node:http';
import { type PoolKind } from '../catalogue/endpoint.ts';
import {
  type ConnectionLimits,
  createAgent,
  destroyIdle,
  type NodeProtocol,
  setIdleTimeout,
} from './agents.ts';
import { KeptConnections } from './kept-connections.ts';
import { ConcurrencyLimiter } from '../limits/concurrency-limiter.ts';

/**
 * `unknown` = not probed yet; `up`; `half-open` = while other nodes are up, it gets one short request at a
 * time; `draining` = gets no new requests because `GET /_up` answers 404; `down` = gets no requests.
 */
export type NodeState = 'unknown' | 'up' | 'half-open' | 'draining' | 'down';

/**
 * Short requests and feeds have separate limits, so that feeds cannot use all connections. `whole` = short
 * requests whose answers CouchDB may hold in memory as a whole (H15). `whole-feed` = feeds with attachments:
 * CouchDB holds the next rows of each shard.
 */
export type Queue = 'short' | 'feed' | 'whole' | 'whole-feed';

/** True for the queues of feeds. */
export function isFeed(queue: Queue): boolean {
  return queue === 'feed' || queue === 'whole-feed';
}

/** True for the queues of answers that take much memory of a node. */
export function isWhole(queue: Queue): boolean {
  return queue === 'whole' || queue === 'whole-feed';
}

/** The address and the connection pool, in the form that http-proxy takes. */
export interface Upstream {
  readonly target: {
    readonly protocol: NodeProtocol;
    readonly host: string;
    readonly hostname: string;
    readonly port: string;
  };
  readonly agent: Agent;
}

export interface NodeLimits extends ConnectionLimits {
  readonly connections: number;
  readonly queue: number;
  readonly feeds: number;
  /** Part of each limit that one caller may use, above 0 and up to 1. */
  readonly share: number;
  /** Idle timeout, in ms, while the node does not answer probes either; `idleTimeoutMs` by default. */
  readonly vanishedMs?: number;
}

/** What a probe of a node has found, for reports. */
export interface ProbeReport {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Milliseconds until the head of the answer to `GET /_up`; undefined = no answer. */
  readonly latencyMs: number | undefined;
}

/** Complete answers after which a half-open node becomes up. */
const SUCCESSES_TO_RECOVER = 3;

/** Answers of each such queue at once: one can take hundreds of MB of a node until it was read. */
const WHOLE_AT_ONCE = 16;
/** Part of them, and of the queue, that one caller may have. The replicator asks often, but reads. */
const WHOLE_SHARE = 1 / 4;

/** A node of the cluster. */
export class CouchNode {
  /** `http://host:port`, without a path. */
  readonly url: string;
  /** `host:port`: the Host header of every request, and the node's name in logs and metrics. */
  readonly host: string;
  /** Connections of http-proxy. */
  readonly upstreams: Readonly<Record<PoolKind, Upstream>>;
  /** Connections of undici, for short requests whose body is in memory. */
  readonly kept: KeptConnections;
  readonly #limiters: Readonly<Record<Queue, ConcurrencyLimiter>>;
  #state: NodeState = 'unknown';
  /** Why the node has its state, as a short sentence; empty = no reason was recorded. */
  reason = 'not probed yet';
  /** When the state changed, in milliseconds since 1970. */
  changedAt = Date.now();
  lastProbe: ProbeReport | undefined = undefined;
  #successes = 0;
  readonly #limits: NodeLimits;
  #isUnresponsive = false;

  constructor(address: string, limits: NodeLimits) {
    const { protocol, hostname, port, host, origin } = new URL(address);
    if (protocol !== 'http:' && protocol !== 'https:')
      throw new Error(`a CouchDB node needs an http or https address, not ${protocol}`);
    this.#limits = limits;
    this.url = origin;
    this.host = host;
    // Node takes an IPv6 address without the brackets of the URL.
    const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
    const target: Upstream['target'] = { protocol, host: bare, hostname: bare, port };
    this.upstreams = {
      pooled: { target, agent: createAgent(protocol, true, limits, bare) },
      'single-use': { target, agent: createAgent(protocol, false, limits, bare) },
      feed: { target, agent: createAgent(protocol, true, limits, bare) },
    };
    this.kept = new KeptConnections(origin, limits);
    this.#limiters = {
      short: new ConcurrencyLimiter({
        limit: limits.connections,
        queueLimit: limits.queue,
        share: limits.share,
      }),
      feed: new ConcurrencyLimiter({ limit: limits.feeds, queueLimit: 0, share: limits.share }),
      whole: new ConcurrencyLimiter({
        limit: Math.min(WHOLE_AT_ONCE, limits.connections),
        queueLimit: limits.queue,
        share: Math.min(WHOLE_SHARE, limits.share),
        servesNewFirst: true,
      }),
      'whole-feed': new ConcurrencyLimiter({
        limit: Math.min(WHOLE_AT_ONCE, limits.feeds),
        queueLimit: 0,
        share: Math.min(WHOLE_SHARE, limits.share),
      }),
    };
  }

  get state(): NodeState {
    return this.#state;
  }

  get isEligible(): boolean {
    return this.#state === 'up' || this.#state === 'half-open';
  }

  limiter(queue: Queue): ConcurrencyLimiter {
    return this.#limiters[queue];
  }

  /**
   * Returns true if the state changed. A node that is no longer eligible rejects its waiting requests. An
   * empty `reason` keeps the one of the state that stays.
   */
  setState(state: NodeState, reason = ''): boolean {
    if (this.#state === state) {
      if (reason !== '') this.reason = reason;
      return false;
    }
    this.#state = state;
    this.reason = reason;
    this.changedAt = Date.now();
    this.#successes = 0;
    if (!this.isEligible) {
      this.#limiters.short.rejectAll();
      this.#limiters.whole.rejectAll();
      this.closeIdle();
    }
    return true;
  }

  /**
   * Records whether the last probe got no answer at all. If so, running exchanges use the shorter idle
   * timeout. If the node is down for another reason, its running exchanges continue.
   */
  recordProbe(isUnresponsive: boolean): void {
    if (this.#isUnresponsive === isUnresponsive) return;
    this.#isUnresponsive = isUnresponsive;
    const { idleTimeoutMs, vanishedMs = idleTimeoutMs } = this.#limits;
    const limit = isUnresponsive ? Math.min(vanishedMs, idleTimeoutMs) : idleTimeoutMs;
    for (const { agent } of Object.values(this.upstreams)) setIdleTimeout(agent, limit);
    this.kept.setIdleTimeout(limit);
  }

  /** Counts a complete answer of a half-open node. Returns true if there were enough for it to become up. */
  recordSuccess(): boolean {
    if (this.#state !== 'half-open') return false;
    this.#successes += 1;
    return this.#successes >= SUCCESSES_TO_RECOVER;
  }

  /** Closes idle connections. Those of a failed node are dead, even if no error was seen yet. */
  closeIdle(): void {
    for (const pool of Object.values(this.upstreams)) destroyIdle(pool.agent);
    this.kept.closeIdle();
  }

  /** Closes every connection. */
  destroy(): void {
    for (const pool of Object.values(this.upstreams)) pool.agent.destroy();
    this.kept.destroy();
  }
}
