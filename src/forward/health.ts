// Finds out which nodes can be asked: looks at each at intervals, and at once when a request had reason for doubt. Choosing among them is nodes.ts's business.
import { type Agent, type IncomingMessage } from 'node:http';
import http from 'node:http';
import https from 'node:https';
import { type ConnectionLimits, createAgent, type NodeProtocol } from './agents.ts';
import { type CouchNode, type NodeState } from './node.ts';

/** Called with every change, for the log and the metrics; `reason` is a sentence. */
export type StateListener = (node: CouchNode, state: NodeState, reason: string) => void;

export interface HealthOptions {
  readonly intervalMs: number;
  /**
   * Asks a node that was away whether it takes our tokens: resolves when it does, rejects with the reason when not.
   * A node with another key would answer everything with 401, which clients take for their own fault.
   */
  readonly check: (url: string) => Promise<void>;
  /**
   * Returns the Authorization header of the probe. A node with `[chttpd] require_valid_user = true` answers an
   * anonymous `GET /_up` with 401.
   */
  readonly authorization?: () => string;
  readonly limits: ConnectionLimits;
  readonly onState?: StateListener;
}

/** A node that needs longer than this for `/_up` cannot serve. */
const PROBE_TIMEOUT_MS = 5000;
/** A client can cause suspicion as often as it likes. */
const RECHECK_PAUSE_MS = 1000;

export class HealthWatch {
  readonly #nodes: readonly CouchNode[];
  readonly #options: HealthOptions;
  readonly #probing = new Set<CouchNode>();
  readonly #probedAt = new Map<CouchNode, number>();
  readonly #timers = new Map<CouchNode, NodeJS.Timeout>();
  readonly #agents = new Map<string, Agent>();
  #stopped = false;

  constructor(nodes: readonly CouchNode[], options: HealthOptions) {
    this.#nodes = nodes;
    this.#options = options;
    const limits = { ...options.limits, idleTimeoutMs: PROBE_TIMEOUT_MS };
    for (const { url } of nodes) {
      const protocol = new URL(url).protocol as NodeProtocol;
      if (!this.#agents.has(protocol)) this.#agents.set(protocol, createAgent(protocol, false, limits));
    }
  }

  async start(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => this.#probe(node)));
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const agent of this.#agents.values()) agent.destroy();
  }

  markFailed(node: CouchNode): void {
    this.#change(node, 'down', 'no connection could be made');
    void this.#probe(node);
  }

  markSuspect(node: CouchNode): void {
    if (node.state === 'up') this.#change(node, 'half-open', 'an answer was broken off');
    void this.#probe(node);
  }

  recordSuccess(node: CouchNode): void {
    if (node.recordSuccess()) this.#change(node, 'up', 'answers are complete again');
  }

  /** Looks at a node, tokens included, without a change of its state before; once a second at most. */
  recheckToken(node: CouchNode): void {
    if (performance.now() - (this.#probedAt.get(node) ?? -Infinity) < RECHECK_PAUSE_MS) return;
    void this.#probe(node, true);
  }

  async #probe(node: CouchNode, withToken = false): Promise<void> {
    // One look at a time: a burst of failing requests makes one question, not a thousand.
    if (this.#probing.has(node) || this.#stopped) return;
    this.#probing.add(node);
    clearTimeout(this.#timers.get(node));
    this.#probedAt.set(node, performance.now());
    const [state, reason] = await this.#stateByProbe(node, withToken);
    this.#probing.delete(node);
    this.#change(node, state, reason);
    this.#schedule(node);
  }

  /** What the node should be after this look, and why. */
  async #stateByProbe(node: CouchNode, withToken: boolean): Promise<readonly [NodeState, string]> {
    let isSilent = true;
    try {
      const status = await this.#statusOfUp(node);
      isSilent = false;
      // HAProxy's disable-on-404, which CouchDB's maintenance mode and seeding rely on. https://docs.couchdb.org/en/stable/api/server/common.html#up
      if (status === 404) return ['draining', 'GET /_up answers 404'];
      // The check of the token says why: the status alone does not name the setting.
      if (status === 401) await this.#options.check(node.url);
      if (status !== 200) return ['down', `GET /_up answers ${status}`];
      if (node.state === 'up' && !withToken) return ['up', ''];
      await this.#options.check(node.url);
      // From `down` by way of `half-open`, so that a node that just came back is not flooded; at start all are equally new.
      return [
        node.state === 'down' || node.state === 'draining' ? 'half-open' : 'up',
        'GET /_up answers 200',
      ];
    } catch (failure) {
      return ['down', failure instanceof Error ? failure.message : 'it could not be looked at'];
    } finally {
      if (!this.#stopped) node.recordProbe(isSilent);
    }
  }

  #statusOfUp(node: CouchNode): Promise<number> {
    const url = new URL('/_up', node.url);
    const agent = this.#agents.get(url.protocol);
    const { authorization } = this.#options;
    const get = url.protocol === 'https:' ? https.get : http.get;
    return new Promise((resolve, reject) => {
      const options = {
        ...(agent === undefined ? {} : { agent }),
        ...(authorization === undefined ? {} : { headers: { Authorization: authorization() } }),
        signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
      };
      const request = get(url, options, (answer: IncomingMessage) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      request.once('error', reject);
    });
  }

  #change(node: CouchNode, state: NodeState, reason: string): void {
    if (!this.#stopped && node.setState(state)) this.#options.onState?.(node, state, reason);
  }

  #schedule(node: CouchNode): void {
    if (this.#stopped) return;
    // Spread out, so that many workers do not ask in step.
    const delayMs = this.#options.intervalMs * (0.9 + Math.random() * 0.2);
    this.#timers.set(node, setTimeout(() => void this.#probe(node), delayMs).unref());
  }
}
