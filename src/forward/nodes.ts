// Decides which CouchDB node gets a request. How a node's health is found out is health.ts's business.
import { HealthWatch, type HealthOptions, type StateListener } from './health.ts';
import { CouchNode, type Line, type NodeLimits, type NodeState } from './node.ts';

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
    return this.#nodes.some((node) => node.asked);
  }

  report(): readonly NodeReport[] {
    return this.#nodes.map((node) => ({
      url: node.url,
      state: node.state,
      running: node.slots('short').taken,
      waiting: node.slots('short').waiting,
      feeds: node.slots('feed').taken,
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
  failedForSelf(url: string): void {
    const node = this.#nodes.find((candidate) => candidate.url === url);
    if (node !== undefined) this.doubt(node);
  }

  /**
   * A node with a free slot or a place in its line for that caller, that was not tried before. Undefined = none: ask `usable` whether
   * they are all away, or all full.
   */
  pick(line: Line, caller: string, tried: ReadonlySet<CouchNode> = NONE): CouchNode | undefined {
    this.#turn = (this.#turn + 1) % this.#nodes.length;
    return (line === 'short' ? this.#next(caller, tried) : undefined) ?? this.#leastBusy(line, caller, tried);
  }

  /** No connection could be made: the node is out until a look finds it back. */
  unreachable(node: CouchNode): void {
    this.#health.lost(node);
  }

  /**
   * The node broke off an answer. A client may be able to provoke that, so it does not put the node out: others are preferred until
   * a look, which starts at once, has found it well.
   */
  doubt(node: CouchNode): void {
    this.#health.doubt(node);
  }

  /** The node may have refused our token, of which the client must not suffer for long: it is looked at. */
  suspect(node: CouchNode): void {
    this.#health.suspect(node);
  }

  /** The node gave a complete answer. */
  answered(node: CouchNode): void {
    if (node.state !== 'up') this.#health.answered(node);
  }

  #next(caller: string, tried: ReadonlySet<CouchNode>): CouchNode | undefined {
    const nodes = this.#nodes;
    for (let i = 0; i < nodes.length; i += 1) {
      const node = nodes[(this.#turn + i) % nodes.length];
      if (node === undefined || tried.has(node)) continue;
      const slots = node.slots('short');
      if (node.state === 'up' ? slots.isFreeFor(caller) : node.state === 'half-open' && slots.taken === 0)
        return node;
    }
    return undefined;
  }

  #leastBusy(line: Line, caller: string, tried: ReadonlySet<CouchNode>): CouchNode | undefined {
    let best: CouchNode | undefined;
    let bestLoad = Infinity;
    for (let i = 0; i < this.#nodes.length; i += 1) {
      const node = this.#nodes[(this.#turn + i) % this.#nodes.length];
      if (node === undefined || !node.asked || tried.has(node)) continue;
      const slots = node.slots(line);
      // Any node that is up goes before every one that is half open.
      const load = slots.taken + slots.waiting + (node.state === 'up' ? 0 : Number.MAX_SAFE_INTEGER / 2);
      if (slots.isOpenFor(caller) && load < bestLoad) [best, bestLoad] = [node, load];
    }
    return best;
  }
}

export { type StateListener };
