// Decides which CouchDB node gets a request. How a node's health is found out is health.ts's business.
import { HealthWatch, type HealthOptions, type StateListener } from './health.ts';
import { CouchNode, type Queue, type NodeLimits, type NodeState } from './node.ts';

export interface NodesOptions extends HealthOptions {
  readonly urls: readonly string[];
  readonly limits: NodeLimits;
}

/** How a node is doing, for readiness, metrics and the status page. */
export interface NodeReport {
  readonly url: string;
  readonly state: NodeState;
  readonly running: number;
  readonly waiting: number;
  readonly feeds: number;
}

const NONE: ReadonlySet<CouchNode> = new Set();

/** The cluster's nodes: round robin for short requests, least connections for feeds. */
export class Nodes {
  readonly #nodes: readonly CouchNode[];
  readonly #health: HealthWatch;
  #turn = 0;
  #ownTurn = 0;

  constructor(options: NodesOptions) {
    this.#nodes = options.urls.map((url) => new CouchNode(url, options.limits));
    this.#health = new HealthWatch(this.#nodes, options);
  }

  /** Looks at every node once, then for good at intervals. Resolves after the first look, whatever it found. */
  start(): Promise<void> {
    return this.#health.start();
  }

  /** Ends the looking and cuts every connection. */
  stop(): void {
    this.#health.stop();
    for (const node of this.#nodes) node.destroy();
  }

  /** True while at least one node is asked. */
  get usable(): boolean {
    return this.#nodes.some((node) => node.isEligible);
  }

  report(): readonly NodeReport[] {
    return this.#nodes.map((node) => ({
      url: node.url,
      state: node.state,
      running: node.limiter('short').active,
      waiting: node.limiter('short').waiting,
      feeds: node.limiter('feed').active,
    }));
  }

  /** A node for Couchgate's own conversation, in turn, which takes none of the clients' slots; undefined when none is left. */
  pickForSelf(triedUrls: ReadonlySet<string>): { readonly url: string } | undefined {
    const nodes = this.#nodes.filter(({ url }) => !triedUrls.has(url));
    const up = nodes.filter(({ state }) => state === 'up');
    const asked = up.length > 0 ? up : nodes.filter(({ state }) => state === 'half-open');
    this.#ownTurn += 1;
    return asked[this.#ownTurn % asked.length];
  }

  /** Couchgate's own conversation found a node silent or away: it is looked at. */
  markSuspectUrl(url: string): void {
    const node = this.#nodes.find((candidate) => candidate.url === url);
    if (node !== undefined) this.markSuspect(node);
  }

  /**
   * A node with a free slot or a place in its line for that caller, that was not tried before. Undefined = none: ask `usable` whether
   * they are all away, or all full.
   */
  pick(queue: Queue, caller: string, tried: ReadonlySet<CouchNode> = NONE): CouchNode | undefined {
    this.#turn = (this.#turn + 1) % this.#nodes.length;
    return (
      (queue === 'short' ? this.#next(caller, tried) : undefined) ?? this.#leastBusy(queue, caller, tried)
    );
  }

  /** No connection could be made: the node is out until a look finds it back. */
  markFailed(node: CouchNode): void {
    this.#health.markFailed(node);
  }

  /**
   * The node broke off an answer. A client may be able to provoke that, so it does not put the node out: others are preferred until
   * a look, which starts at once, has found it well.
   */
  markSuspect(node: CouchNode): void {
    this.#health.markSuspect(node);
  }

  /** The node may have refused our token, of which the client must not suffer for long: it is looked at. */
  recheckToken(node: CouchNode): void {
    this.#health.recheckToken(node);
  }

  /** The node gave a complete answer. */
  recordSuccess(node: CouchNode): void {
    if (node.state !== 'up') this.#health.recordSuccess(node);
  }

  #next(caller: string, tried: ReadonlySet<CouchNode>): CouchNode | undefined {
    const nodes = this.#nodes;
    for (let i = 0; i < nodes.length; i += 1) {
      const node = nodes[(this.#turn + i) % nodes.length];
      if (node === undefined || tried.has(node)) continue;
      const slots = node.limiter('short');
      if (node.state === 'up' ? slots.hasFreeSlot(caller) : node.state === 'half-open' && slots.active === 0)
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
      const slots = node.limiter(queue);
      // Any node that is up goes before every one that is half open.
      const load = slots.active + slots.waiting + (node.state === 'up' ? 0 : Number.MAX_SAFE_INTEGER / 2);
      if (slots.accepts(caller) && load < bestLoad) [best, bestLoad] = [node, load];
    }
    return best;
  }
}

export { type StateListener };
