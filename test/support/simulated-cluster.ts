// A CouchDB cluster in memory for Couchgate's own requests: copies with revision trees, quorums, shard copies
// of security objects, nodes that are down. Its time is virtual, so that thousands of races take seconds.
import { createHash } from 'node:crypto';
import { type Couch, type CouchAnswer, type CouchRequest } from '../../src/couch/couch.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { type RawLeaf } from '../../src/permissions/record-leaves.ts';

type Body = Readonly<Record<string, unknown>>;

interface Revision {
  readonly rev: string;
  readonly parent: string | undefined;
  readonly body: Body;
}

type Tree = Map<string, Revision>;

/** One node with its own copy of everything. */
export interface Copy {
  readonly url: string;
  isUp: boolean;
  /** Trees of documents of the store by id. */
  readonly documents: Map<string, Tree>;
  /** Security objects by database. */
  readonly security: Map<string, Body>;
}

/** Sleeps of all parties, in the order of virtual time. */
export class VirtualTime {
  now = 1_700_000_000_000;
  #sleeping: { readonly at: number; readonly wake: () => void }[] = [];

  sleep(milliseconds: number): Promise<void> {
    return new Promise((wake) => {
      this.#sleeping.push({ at: this.now + milliseconds, wake });
    });
  }

  /** Runs until nobody sleeps, or until `milliseconds` of virtual time have passed. */
  async run(milliseconds = Infinity): Promise<void> {
    const end = this.now + milliseconds;
    for (;;) {
      // Everything that does not sleep runs first.
      await new Promise((resolve) => setImmediate(resolve));
      const next = this.#sleeping.reduce<{ at: number } | undefined>(
        (first, each) => (first === undefined || each.at < first.at ? each : first),
        undefined,
      );
      if (next === undefined || next.at > end) return;
      this.now = Math.max(this.now, next.at);
      const due = this.#sleeping.filter((each) => each === next);
      this.#sleeping = this.#sleeping.filter((each) => each !== next);
      for (const each of due) each.wake();
    }
  }
}

export interface SimulatedOptions {
  readonly copies: number;
  readonly store?: string;
  /** Between 0 and 1. */
  readonly random?: () => number;
  /** Waits for the network; by default not at all. */
  readonly latency?: () => Promise<void>;
}

/** The default security object of a new database. */
export const ADMIN_ONLY = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };

const MISSING: CouchAnswer = { status: 404, body: { error: 'not_found', reason: 'missing' } };

export class SimulatedCluster implements Pick<Couch, 'ask'> {
  readonly copies: readonly Copy[];
  /** Start time by database. */
  readonly databases = new Map<string, string>();
  /** The requests so far: `PUT /db`. */
  readonly asked: CouchRequest[] = [];
  /** Returns true if the answer to a write is lost. */
  losesAnswer: (request: CouchRequest) => boolean = () => false;
  readonly #store: string;
  readonly #random: () => number;
  readonly #latency: () => Promise<void>;
  #created = 1_700_000_000;

  constructor({ copies, store, random, latency }: SimulatedOptions) {
    this.copies = Array.from({ length: copies }, (_, at) => ({
      url: `http://node${at + 1}:5984`,
      isUp: true,
      documents: new Map(),
      security: new Map(),
    }));
    this.#store = store ?? 'couchgate';
    this.#random = random ?? (() => 0);
    this.#latency = latency ?? (() => Promise.resolve());
  }

  get urls(): readonly string[] {
    return this.copies.map(({ url }) => url);
  }

  create(database: string, security: Body = ADMIN_ONLY): void {
    this.#created += 1;
    this.databases.set(database, String(this.#created));
    for (const copy of this.copies) copy.security.set(database, security);
  }

  remove(database: string): void {
    this.databases.delete(database);
    for (const copy of this.copies) copy.security.delete(database);
  }

  /** What internal replication does in the end: every node that is up has every revision. */
  replicate(): void {
    const up = this.copies.filter(({ isUp }) => isUp);
    for (const from of up)
      for (const to of up)
        for (const [id, tree] of from.documents)
          for (const revision of tree.values()) treeOf(to, id).set(revision.rev, revision);
  }

  /** The live and deleted leaves of a document on all nodes. */
  leavesOf(id: string): readonly RawLeaf[] {
    return leavesIn(id, this.copies);
  }

  async ask(request: CouchRequest): Promise<CouchAnswer> {
    this.asked.push(request);
    await this.#latency();
    const [path = '', query = ''] = request.path.split('?');
    const [database = '', document] = path.split('/').slice(1).map(decodeURIComponent);
    const up = this.copies.filter((copy) => copy.isUp && (request.node ?? copy.url) === copy.url);
    if (up.length === 0) throw new Unavailable('away');
    const answer = await this.#answer(request, { database, document, up, query: new URLSearchParams(query) });
    if (request.method !== 'GET' && this.losesAnswer(request)) throw new Unavailable('the answer was lost');
    return answer;
  }

  #answer(
    { method, body }: CouchRequest,
    asked: {
      readonly database: string;
      readonly document: string | undefined;
      readonly up: readonly Copy[];
      readonly query: URLSearchParams;
    },
  ): CouchAnswer | Promise<CouchAnswer> {
    const { database, document, up, query } = asked;
    if (database === '_membership') {
      return {
        status: 200,
        body: { all_nodes: this.copies.filter(({ isUp }) => isUp).map(({ url }) => url) },
      };
    }
    if (database === this.#store) {
      if (document === undefined) return { status: 200, body: { cluster: { n: this.copies.length } } };
      if (document === '_shards') return { status: 200, body: { shards: { all: this.urls } } };
      if (document === '_purge') return this.#purge(body as Record<string, readonly string[]>, up);
      return method === 'GET'
        ? this.#read(document, Number(query.get('r')), up)
        : this.#write(document, body as Body, Number(query.get('w')), up);
    }
    const start = this.databases.get(database);
    if (start === undefined) return MISSING;
    if (document === undefined) return { status: 200, body: { instance_start_time: start } };
    return method === 'GET'
      ? this.#readSecurity(database, up)
      : this.#writeSecurity(database, body as Body, up);
  }

  async #read(id: string, r: number, up: readonly Copy[]): Promise<CouchAnswer> {
    const asked: Copy[] = [];
    for (const copy of shuffled(up, this.#random).slice(0, r)) {
      await this.#latency();
      asked.push({ ...copy, documents: new Map([[id, new Map(copy.documents.get(id) ?? [])]]) });
    }
    const leaves = leavesIn(id, asked);
    if (leaves.length === 0) return MISSING;
    return { status: 200, body: leaves.map((leaf) => ({ ok: structuredClone(leaf) })) };
  }

  /** Resolves as soon as `w` copies have the revision, or all have answered. */
  #write(id: string, body: Body, w: number, up: readonly Copy[]): Promise<CouchAnswer> {
    return new Promise((resolve) => {
      const results: string[] = [];
      for (const copy of shuffled(up, this.#random)) {
        void this.#latency().then(() => {
          results.push(edit(treeOf(copy, id), body) ?? 'conflict');
          const revs = results.filter((result) => result !== 'conflict');
          const [rev] = revs;
          if (revs.length >= w) resolve({ status: 201, body: { ok: true, id, rev } });
          else if (results.length < up.length) return;
          else if (rev !== undefined) resolve({ status: 202, body: { ok: true, id, rev } });
          else resolve({ status: 409, body: { error: 'conflict', reason: 'Document update conflict.' } });
        });
      }
    });
  }

  #purge(revs: Readonly<Record<string, readonly string[]>>, up: readonly Copy[]): CouchAnswer {
    for (const [id, list] of Object.entries(revs))
      for (const copy of up) for (const rev of list) purge(treeOf(copy, id), rev);
    return { status: 201, body: {} };
  }

  #readSecurity(database: string, up: readonly Copy[]): CouchAnswer {
    const copy = up[Math.floor(this.#random() * up.length)];
    const object = copy?.security.get(database);
    return object === undefined ? MISSING : { status: 200, body: structuredClone(object) };
  }

  async #writeSecurity(database: string, body: Body, up: readonly Copy[]): Promise<CouchAnswer> {
    const text = JSON.stringify(body);
    await Promise.all(
      up.map(async (copy) => {
        await this.#latency();
        if (this.databases.has(database)) copy.security.set(database, JSON.parse(text) as Body);
      }),
    );
    if (2 * up.length <= this.copies.length) throw new Unavailable('no majority');
    return { status: 200, body: { ok: true } };
  }
}

function treeOf(copy: Copy, id: string): Tree {
  const tree = copy.documents.get(id) ?? new Map<string, Revision>();
  copy.documents.set(id, tree);
  return tree;
}

/** Removes a leaf with the path to its last branch. Source: couch_key_tree:remove_leafs. */
function purge(tree: Tree, leaf: string): void {
  for (let rev: string | undefined = leaf; rev !== undefined;) {
    const found: Revision | undefined = tree.get(rev);
    if (found === undefined || [...tree.values()].some(({ parent }) => parent === rev)) return;
    tree.delete(rev);
    rev = found.parent;
  }
}

function leavesOfTree(tree: Tree): readonly Revision[] {
  const parents = new Set([...tree.values()].map(({ parent }) => parent));
  return [...tree.values()].filter(({ rev }) => !parents.has(rev));
}

function leavesIn(id: string, copies: readonly Copy[]): readonly RawLeaf[] {
  const merged: Tree = new Map();
  for (const copy of copies)
    for (const [rev, revision] of copy.documents.get(id) ?? []) merged.set(rev, revision);
  return leavesOfTree(merged).map(({ rev, body }) => ({ ...body, _id: id, _rev: rev }));
}

/**
 * An interactive edit of one copy; `undefined` = conflict. A deleted document takes no child of a leaf that
 * is named. Source: couch_db:prep_and_validate_update, couch_db_updater:merge_rev_tree.
 */
function edit(tree: Tree, { _rev, _id, ...body }: Body): string | undefined {
  const leaves = leavesOfTree(tree);
  const live = leaves.filter((leaf) => leaf.body['_deleted'] !== true);
  let parent = _rev as string | undefined;
  if (parent === undefined) {
    if (live.length > 0) return undefined;
    parent = leaves
      .toSorted((a, b) => numberOf(a.rev) - numberOf(b.rev) || (a.rev < b.rev ? -1 : 1))
      .at(-1)?.rev;
  } else if (live.length === 0 || !leaves.some(({ rev }) => rev === parent)) return undefined;
  const hash = createHash('md5')
    .update(`${parent ?? ''}${JSON.stringify(body)}`)
    .digest('hex');
  const rev = `${numberOf(parent ?? '0') + 1}-${hash}`;
  if (tree.has(rev)) return undefined;
  tree.set(rev, { rev, parent, body: structuredClone(body) });
  return rev;
}

function numberOf(rev: string): number {
  return Number.parseInt(rev, 10);
}

function shuffled<T>(list: readonly T[], random: () => number): readonly T[] {
  return list
    .map((entry) => ({ entry, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ entry }) => entry);
}
