// One CouchDB node: its address, what it carries at present, and whether it is asked. Who changes that is health.ts and nodes.ts.
import { type Agent } from 'node:http';
import { type PoolKind } from '../catalogue/endpoint.ts';
import { type ConnectionLimits, createAgent, dropFree, limitSilence, type NodeProtocol } from './agents.ts';
import { ConcurrencyLimiter } from '../limits/concurrency-limiter.ts';

/**
 * `unknown` = not looked at yet, `up`, `half-open` = asked only by one short request at a time while others are up, `draining` = takes nothing new
 * because its operator said so (`GET /_up` → 404), `down`.
 */
export type NodeState = 'unknown' | 'up' | 'half-open' | 'draining' | 'down';

/** The two lines in which requests wait: feeds must not take the connections of the others. */
export type Queue = 'short' | 'feed';

/** Where and over which connections, as http-proxy takes it. */
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
  /** Part of each of them that one caller may have, above 0 and up to 1. */
  readonly share: number;
  /** Longest silence of an exchange while looks get no answer either; idleTimeoutMs when left out. */
  readonly vanishedMs?: number;
}

/** Complete answers after which a half-open node counts as up. */
const SUCCESSES_TO_RECOVER = 3;

export class CouchNode {
  /** `http://host:port`, without a path. */
  readonly url: string;
  /** `host:port`, the Host header of every request and the name in logs and metrics. */
  readonly host: string;
  readonly upstreams: Readonly<Record<PoolKind, Upstream>>;
  readonly #slots: Readonly<Record<Queue, ConcurrencyLimiter>>;
  #state: NodeState = 'unknown';
  #proofs = 0;
  readonly #limits: NodeLimits;
  #isSilent = false;

  constructor(address: string, limits: NodeLimits) {
    const { protocol, hostname, port, host, origin } = new URL(address);
    if (protocol !== 'http:' && protocol !== 'https:')
      throw new Error(`CouchDB is reached by http or https, not by ${protocol}`);
    this.#limits = limits;
    this.url = origin;
    this.host = host;
    // Node wants an IPv6 address without the brackets that a URL puts around it.
    const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
    const target: Upstream['target'] = { protocol, host: bare, hostname: bare, port };
    this.upstreams = {
      pooled: { target, agent: createAgent(protocol, true, limits) },
      'single-use': { target, agent: createAgent(protocol, false, limits) },
      feed: { target, agent: createAgent(protocol, true, limits) },
    };
    this.#slots = {
      short: new ConcurrencyLimiter(limits.connections, limits.queue, limits.share),
      feed: new ConcurrencyLimiter(limits.feeds, 0, limits.share),
    };
  }

  get state(): NodeState {
    return this.#state;
  }

  get isEligible(): boolean {
    return this.#state === 'up' || this.#state === 'half-open';
  }

  limiter(queue: Queue): ConcurrencyLimiter {
    return this.#slots[queue];
  }

  /** Returns whether that is a change. A node that is not asked any more sends away who waits for it. */
  setState(state: NodeState): boolean {
    if (this.#state === state) return false;
    this.#state = state;
    this.#proofs = 0;
    if (!this.isEligible) {
      this.#slots.short.rejectAll();
      this.closeIdle();
    }
    return true;
  }

  /**
   * Whether the last look got no answer of any kind. What runs on a node that says nothing is ended once it has itself been silent for a while;
   * that the node is down for another reason is none to end what it still answers.
   */
  recordProbe(isSilent: boolean): void {
    if (this.#isSilent === isSilent) return;
    this.#isSilent = isSilent;
    const { idleTimeoutMs, vanishedMs = idleTimeoutMs } = this.#limits;
    const limit = isSilent ? Math.min(vanishedMs, idleTimeoutMs) : idleTimeoutMs;
    for (const { agent } of Object.values(this.upstreams)) limitSilence(agent, limit);
  }

  /** A complete answer came: after a few of them a half-open node has shown enough. True when it has. */
  recordSuccess(): boolean {
    if (this.#state !== 'half-open') return false;
    this.#proofs += 1;
    return this.#proofs >= SUCCESSES_TO_RECOVER;
  }

  /** Gives up unused connections: those of a node that went away are dead, though nobody has noticed yet. */
  closeIdle(): void {
    for (const pool of Object.values(this.upstreams)) dropFree(pool.agent);
  }

  /** Cuts every connection. */
  destroy(): void {
    for (const pool of Object.values(this.upstreams)) pool.agent.destroy();
  }
}
