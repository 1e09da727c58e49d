// Checks from time to time whether a majority of the copies of the store is up.
import { type Couch } from '../couch/couch.ts';
import { databasePath } from '../couch/document-path.ts';

const CHECK_MS = 5000;

export interface StoreMajorityOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly storeDatabase: string;
  /** Called with the names of the nodes, after each time they were read. */
  readonly onNodes: (names: readonly string[]) => void;
  /** Called on every change. */
  readonly onState: (isUp: boolean) => void;
}

interface Membership {
  readonly all_nodes?: unknown;
  readonly cluster_nodes?: unknown;
}

/**
 * A read of several copies succeeds with those that answer, so it does not prove a majority. CouchDB's list
 * of connected nodes does, as far as the node that answers knows.
 */
export class StoreMajority {
  readonly #options: StoreMajorityOptions;
  #timer: NodeJS.Timeout | undefined = undefined;
  #isUp = true;

  constructor(options: StoreMajorityOptions) {
    this.#options = options;
  }

  /**
   * False after a check found less than a majority. An unreachable cluster is no finding: requests fail then.
   */
  get isUp(): boolean {
    return this.#isUp;
  }

  start(): void {
    void this.#check();
    this.#timer = setInterval(() => void this.#check(), CHECK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    const found = await this.#read().catch(() => undefined);
    if (found === undefined || found === this.#isUp) return;
    this.#isUp = found;
    this.#options.onState(found);
  }

  /** True if every range of the store has more than half of its copies on connected nodes. */
  async #read(): Promise<boolean | undefined> {
    const { couch, storeDatabase } = this.#options;
    const [membership, shards] = await Promise.all([
      couch.ask({ method: 'GET', path: '/_membership' }),
      couch.ask({ method: 'GET', path: `${databasePath(storeDatabase)}/_shards` }),
    ]);
    if (membership.status !== 200) return undefined;
    const { all_nodes: connected, cluster_nodes: members } = membership.body as Membership;
    this.#options.onNodes([connected, members].flat().filter((name) => typeof name === 'string'));
    if (shards.status !== 200) return undefined;
    const { shards: ranges } = shards.body as { readonly shards?: unknown };
    if (!Array.isArray(connected) || typeof ranges !== 'object' || ranges === null) return undefined;
    return Object.values(ranges as Record<string, readonly string[]>).every(
      (copies) => 2 * copies.filter((node) => connected.includes(node)).length > copies.length,
    );
  }
}
