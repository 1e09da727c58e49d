// Chooses the CouchDB node for a request: round robin for short requests, least connections for feeds.
import { HealthWatch, type HealthOptions } from './health.ts';
import { CouchNode, isFeed, type Queue, type NodeLimits, type NodeState, type ProbeReport } from './node.ts';

export interface NodesOptions extends HealthOptions {
  readonly urls: readonly string[];
  readonly limits: NodeLimits;
}

/** The state and the load of a node, for readiness and metrics. */
export interface NodeReport {
  readonly url: string;
  readonly state: NodeState;
  /** Why it has this state, as a short sentence. */
  readonly reason: string;
  /** When the state changed, in milliseconds since 1970. */
  readonly changedAt: number;
  readonly lastProbe: ProbeReport | undefined;
  readonly running: number;
  readonly waiting: number;
  readonly feeds: number;
}

const NONE: ReadonlySet<CouchNode> = new Set();

/** The nodes of the cluster. */
export class Nodes {
  readonly #nodes: readonly CouchNode[];
  readonly #health: HealthWatch;
  #turn = 0;
  #internalTurn = 0;

  constructor(options: NodesOptions) {
    this.#nodes = options.urls.map((url) => new CouchNode(url, options.limits));
    this.#health = new HealthWatch(this.#nodes, options);
  }

  /** Probes every node, now and at intervals. Resolves after the first probes, whatever their result. */
  start(): Promise<void> {
    return this.#health.start();
  }

  /** Stops probing and closes every connection. */
  stop(): void {
    this.#health.stop();
    for (const node of this.#nodes) node.destroy();
  }

  /** True if at least one node accepts requests. */
  get usable(): boolean {
    return this.#nodes.some((node) => node.isEligible);
  }

  report(): readonly NodeReport[] {
    return this.#nodes.map((node) => ({
      url: node.url,
      state: node.state,
      reason: node.reason,
      changedAt: node.changedAt,
      lastProbe: node.lastProbe,
      running: node.limiter('short').active + node.limiter('whole').active,
      waiting: node.limiter('short').waiting + node.limiter('whole').waiting,
      feeds: node.limiter('feed').active + node.limiter('whole-feed').active,
    }));
  }

  /**
   * A node for Couchgate's own requests, round robin or the first in order, without a slot of the clients;
   * undefined if none is left.
   */
  pickForSelf(triedUrls: ReadonlySet<string>, inOrder = false): { readonly url: string } | undefined {
    const nodes = this.#nodes.filter(({ url }) => !triedUrls.has(url));
    const up = nodes.filter(({ state }) => state === 'up');
    const eligible = up.length > 0 ? up : nodes.filter(({ state }) => state === 'half-open');
    if (inOrder) return eligible[0];
    this.#internalTurn += 1;
    return eligible[this.#internalTurn % eligible.length];
  }

  /** One of Couchgate's own requests failed on the node at `url`; probes the node. */
  markSuspectUrl(url: string): void {
    const node = this.#nodes.find((candidate) => candidate.url === url);
    if (node !== undefined) this.markSuspect(node, 'a request of Couchgate failed');
  }

  /**
   * A node that has a free slot or a queue place for this caller and was not tried before. Undefined = none;
   * `usable` tells whether all nodes are down or all are full.
   */
  pick(queue: Queue, caller: string, tried: ReadonlySet<CouchNode> = NONE): CouchNode | undefined {
    this.#turn = (this.#turn + 1) % this.#nodes.length;
    return (
      (isFeed(queue) ? undefined : this.#nextFree(queue, caller, tried)) ??
      this.#leastBusy(queue, caller, tried)
    );
  }

  /**
   * The first eligible node in the order of `couchdb_nodes`. `_local` in `/_node/_local` is the node that
   * answers, so its counters would jump if the nodes took turns. CouchDB itself asks the node that a path
   * names.
   */
  pickFirst(queue: Queue, caller: string, tried: ReadonlySet<CouchNode> = NONE): CouchNode | undefined {
    return this.#nodes.find(
      (node) => node.isEligible && !tried.has(node) && node.limiter(queue).accepts(caller),
    );
  }

  /** No connection was established: the node is down until a probe succeeds. */
  markFailed(node: CouchNode): void {
    this.#health.markFailed(node);
  }

  /**
   * The node broke off an answer or a request. A client may be able to cause that, so the node becomes
   * half-open, not down. A probe starts immediately. `reason` is for the log and the page of the cluster.
   */
  markSuspect(node: CouchNode, reason: string): void {
    this.#health.markSuspect(node, reason);
  }

  /** The node may have rejected our token; probe it before more clients fail. */
  recheckToken(node: CouchNode): void {
    this.#health.recheckToken(node);
  }

  /** Records a complete answer. */
  recordSuccess(node: CouchNode): void {
    if (node.state !== 'up') this.#health.recordSuccess(node);
  }

  #nextFree(queue: Queue, caller: string, tried: ReadonlySet<CouchNode>): CouchNode | undefined {
    const nodes = this.#nodes;
    for (let i = 0; i < nodes.length; i += 1) {
      const node = nodes[(this.#turn + i) % nodes.length];
      if (node === undefined || tried.has(node)) continue;
      const limiter = node.limiter(queue);
      if (
        node.state === 'up' ? limiter.hasFreeSlot(caller) : node.state === 'half-open' && limiter.active === 0
      )
        return node;
    }
    return undefined;
  }

  #leastBusy(queue: Queue, caller: string, tried: ReadonlySet<CouchNode>): CouchNode | undefined {
    let best: CouchNode | undefined;
    let bestLoad = Infinity;
    for (let i = 0; i < this.#nodes.length; i += 1) {
      const node = this.#nodes[(this.#turn + i) % this.#nodes.length];
      if (node === undefined || !node.isEligible || tried.has(node)) continue;
      const limiter = node.limiter(queue);
      // Every node that is up is preferred to every half-open one.
      const load = limiter.active + limiter.waiting + (node.state === 'up' ? 0 : Number.MAX_SAFE_INTEGER / 2);
      if (limiter.accepts(caller) && load < bestLoad) [best, bestLoad] = [node, load];
    }
    return best;
  }
}
