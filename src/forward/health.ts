// Checks the health of the nodes: probes each at intervals, and immediately after a failed request.
import { type Agent, type IncomingMessage } from 'node:http';
import http from 'node:http';
import https from 'node:https';
import { PatientTimeout } from '../couch/patient-timeout.ts';
import { type ConnectionLimits, createAgent, type NodeProtocol, NodeTimeout } from './agents.ts';
import { type CouchNode, type NodeState } from './node.ts';

/** Called with every change of state, for the log. `reason` is a short sentence. */
export type StateListener = (node: CouchNode, state: NodeState, reason: string) => void;

export interface HealthOptions {
  readonly intervalMs: number;
  /**
   * Checks whether a node that was not up accepts our tokens. Resolves if it does, rejects with the reason if
   * not. A node with another key would answer every request with 401, which clients take for wrong
   * credentials.
   */
  readonly check: (url: string) => Promise<void>;
  /**
   * Returns the Authorization header of the probe. A node with `[chttpd] require_valid_user = true` answers
   * an anonymous `GET /_up` with 401.
   */
  readonly authorization?: () => string;
  readonly limits: ConnectionLimits;
  /** A node that takes longer to answer `/_up` counts as down; 5 s by default. */
  readonly probeTimeoutMs?: number;
  readonly onState?: StateListener;
}

const PROBE_TIMEOUT_MS = 5000;
/** A client can cause token checks at any rate, so they are limited to one per node and second. */
const TOKEN_RECHECK_INTERVAL_MS = 1000;

/** Probes the nodes and sets their state. */
export class HealthWatch {
  readonly #nodes: readonly CouchNode[];
  readonly #options: HealthOptions;
  readonly #probing = new Set<CouchNode>();
  readonly #probedAt = new Map<CouchNode, number>();
  readonly #timers = new Map<CouchNode, NodeJS.Timeout>();
  readonly #agents = new Map<string, Agent>();
  readonly #probeTimeoutMs: number;
  #stopped = false;

  constructor(nodes: readonly CouchNode[], options: HealthOptions) {
    this.#nodes = nodes;
    this.#options = options;
    this.#probeTimeoutMs = options.probeTimeoutMs ?? PROBE_TIMEOUT_MS;
    const limits = { ...options.limits, idleTimeoutMs: this.#probeTimeoutMs };
    for (const { url } of nodes) {
      const protocol = new URL(url).protocol as NodeProtocol;
      if (!this.#agents.has(protocol)) this.#agents.set(protocol, createAgent(protocol, false, limits));
    }
  }

  /** Resolves after the first probe of every node, whatever its result. */
  async start(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => this.#probe(node)));
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const agent of this.#agents.values()) agent.destroy();
  }

  markFailed(node: CouchNode): void {
    this.#change(node, 'down', 'connection failed');
    void this.#probe(node);
  }

  markSuspect(node: CouchNode, reason: string): void {
    if (node.state === 'up') this.#change(node, 'half-open', reason);
    void this.#probe(node);
  }

  recordSuccess(node: CouchNode): void {
    if (node.recordSuccess()) this.#change(node, 'up', 'answers are complete again');
  }

  /** Probes a node and its token check without changing its state first; at most once a second. */
  recheckToken(node: CouchNode): void {
    if (performance.now() - (this.#probedAt.get(node) ?? -Infinity) < TOKEN_RECHECK_INTERVAL_MS) return;
    void this.#probe(node, true);
  }

  async #probe(node: CouchNode, withToken = false): Promise<void> {
    // One probe at a time, so that a burst of failed requests causes one probe only.
    if (this.#probing.has(node) || this.#stopped) return;
    this.#probing.add(node);
    clearTimeout(this.#timers.get(node));
    this.#probedAt.set(node, performance.now());
    const [state, reason] = await this.#runProbe(node, withToken);
    this.#probing.delete(node);
    this.#change(node, state, reason);
    this.#schedule(node);
  }

  /** Probes the node and returns its new state and the reason. */
  async #runProbe(node: CouchNode, withToken: boolean): Promise<readonly [NodeState, string]> {
    let isUnresponsive = true;
    const startedAt = performance.now();
    let latencyMs: number | undefined;
    try {
      const status = await this.#requestUp(node);
      latencyMs = performance.now() - startedAt;
      isUnresponsive = false;
      // As HAProxy's disable-on-404: CouchDB answers 404 in maintenance mode and while it is seeding.
      // https://docs.couchdb.org/en/stable/api/server/common.html#up
      if (status === 404) return ['draining', 'GET /_up answers 404'];
      // The check of the token says why: the status alone does not name the setting.
      if (status === 401) await this.#options.check(node.url);
      if (status !== 200) return ['down', `GET /_up answers ${status}`];
      if (node.state === 'up' && !withToken) return ['up', ''];
      await this.#options.check(node.url);
      // A node that was down or draining becomes half-open first, so that it is not flooded. At start all
      // nodes are new.
      return [
        node.state === 'down' || node.state === 'draining' ? 'half-open' : 'up',
        'GET /_up answers 200',
      ];
    } catch (failure) {
      return ['down', failure instanceof Error ? failure.message : 'probe failed'];
    } finally {
      node.lastProbe = { at: Date.now(), latencyMs };
      if (!this.#stopped) node.recordProbe(isUnresponsive);
    }
  }

  #requestUp(node: CouchNode): Promise<number> {
    const url = new URL('/_up', node.url);
    const agent = this.#agents.get(url.protocol);
    const { authorization } = this.#options;
    const get = url.protocol === 'https:' ? https.get : http.get;
    return new Promise((resolve, reject) => {
      const options = {
        ...(agent === undefined ? {} : { agent }),
        ...(authorization === undefined ? {} : { headers: { Authorization: authorization() } }),
      };
      const request = get(url, options, (answer: IncomingMessage) => {
        timeout.cancel();
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      const timeout = new PatientTimeout(this.#probeTimeoutMs, () =>
        request.destroy(new NodeTimeout('no answer within the timeout')),
      );
      request.once('error', reject).once('close', () => timeout.cancel());
    });
  }

  #change(node: CouchNode, state: NodeState, reason: string): void {
    if (!this.#stopped && node.setState(state, reason)) this.#options.onState?.(node, state, reason);
  }

  #schedule(node: CouchNode): void {
    if (this.#stopped) return;
    // Random jitter, so that several workers do not probe at the same time.
    const delayMs = this.#options.intervalMs * (0.9 + Math.random() * 0.2);
    this.#timers.set(node, setTimeout(() => void this.#probe(node), delayMs).unref());
  }
}
