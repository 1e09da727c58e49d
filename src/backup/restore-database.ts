// Restores one snapshot of a database into a new database, with the revisions that it had.
import { setTimeout as delay } from 'node:timers/promises';
import { documentPath, isAcceptedPath } from '../couch/document-path.ts';
import { type CouchTransfer } from '../couch/transfer.ts';
import { inlineStubs, needsParts } from './attachment-part.ts';
import { Chain } from './chain.ts';
import { BackupError, Cancelled, Damaged } from './errors.ts';
import { type OnEvent } from './events.ts';
import { type IndexedLeaf, type IndexEntry } from './index-file.ts';
import { withAttachments } from './leaf.ts';
import { checkedLine, PackReader, type FramePlace, type PackedLeaf } from './pack.ts';
import { whileReading } from './readers.ts';
import { type Repository } from './repository.ts';
import { Selection, type SelectedLine } from './selection.ts';
import { type DocumentProblem } from './problem-list.ts';
import { type Snapshot } from './snapshot.ts';
import { DatabaseSource } from './source.ts';
import { jsonObject, RestoreTarget, type LeafToWrite } from './target.ts';

export interface RestoreContext {
  readonly repository: Repository;
  readonly couch: CouchTransfer;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal;
  /** Requests that write at the same time. */
  readonly concurrency?: number;
}

export interface RestoreOutcome {
  readonly snapshot: Snapshot;
  readonly database: string;
  readonly leaves: number;
  readonly problems: readonly DocumentProblem[];
}

type Entries = AsyncIterable<IndexEntry> | Iterable<IndexEntry>;

const BATCH_CHARACTERS = 1024 * 1024;
const BATCH_DOCUMENTS = 500;
const DEFAULT_CONCURRENCY = 5;
/** Attachments up to this sum travel inside the JSON, many documents in one request. */
const INLINE_BYTES = 64 * 1024;
/** How long the copies of a restored database may take to agree. */
const COUNT_PATIENCE_MS = 60_000;
const COUNT_PAUSE_MS = 500;

/**
 * Creates `database`, which must not exist, for server admins only, and writes every leaf of the snapshot
 * into it. Design documents come last: their validation functions could refuse the others.
 */
export async function restoreDatabase(
  context: RestoreContext,
  snapshot: Snapshot,
  database: string,
): Promise<RestoreOutcome> {
  const run = new RestoreRun(context, snapshot, database);
  return whileReading(context.repository, 'restore', () => run.run());
}

/**
 * Writes these documents of the snapshot into a database that exists. Throws a BackupError if one of them
 * cannot be written.
 */
export async function writeEntries(
  context: RestoreContext,
  snapshot: Snapshot,
  database: string,
  entries: Entries,
): Promise<void> {
  const run = new RestoreRun(context, snapshot, database);
  await whileReading(context.repository, 'backup target', () => run.write(entries));
  const [first, ...more] = run.problems;
  if (first !== undefined)
    throw new BackupError(
      `Document ${JSON.stringify(first.id)} and ${more.length} more cannot be written: ${first.reason}`,
    );
}

class RestoreRun {
  readonly #context: RestoreContext;
  readonly #snapshot: Snapshot;
  readonly #target: RestoreTarget;
  readonly #packs: PackReader;
  readonly #problems: DocumentProblem[] = [];
  readonly #running = new Set<Promise<void>>();
  #failure: unknown;
  #batch: LeafToWrite[] = [];
  #batchSize = 0;
  #leaves = 0;
  #bytes = 0;

  constructor(context: RestoreContext, snapshot: Snapshot, database: string) {
    this.#context = context;
    this.#snapshot = snapshot;
    this.#target = new RestoreTarget(context.couch, database);
    this.#packs = new PackReader(context.repository);
  }

  get problems(): readonly DocumentProblem[] {
    return this.#problems;
  }

  async write(entries: Entries): Promise<void> {
    const chain = await Chain.open(this.#context.repository, this.#snapshot.index, { check: true });
    await this.#writeAll(chain, await select(entries));
  }

  async run(): Promise<RestoreOutcome> {
    const { repository, onEvent } = this.#context;
    const { counts, properties, database: name } = this.#snapshot;
    const chain = await Chain.open(repository, this.#snapshot.index, { check: true });
    const selected = await select(chain.entries());
    await this.#target.create(properties);
    const database = this.#target.database;
    onEvent({ type: 'start', database, action: 'restore', resumed: false, total: counts.leaves });
    await this.#writeAll(chain, selected);
    await this.#compareCounts();
    return { snapshot: this.#snapshot, database: name, leaves: this.#leaves, problems: this.#problems };
  }

  async #writeAll(chain: Chain, { selection, designs }: Selected): Promise<void> {
    for (const { place, lines } of selection.frames()) await this.#frame(chain, place, lines);
    await this.#drain();
    for (const { place, hash } of designs)
      await this.#frame(chain, place, [{ line: place.line, hashPrefix: hash }]);
    await this.#drain();
  }

  /**
   * Writes the selected lines of a frame. Names the documents that are damaged, and goes on with the others.
   */
  async #frame(chain: Chain, place: FramePlace, lines: readonly SelectedLine[]): Promise<void> {
    let frame: readonly string[];
    try {
      frame = await this.#packs.frame(place);
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      return this.#nameDamaged(chain, place, lines, error.message);
    }
    for (const selected of lines) {
      let packed;
      try {
        packed = checkedLine(frame[selected.line], selected.hashPrefix, `pack ${place.pack}`);
      } catch (error) {
        if (!(error instanceof Damaged)) throw error;
        await this.#nameDamaged(chain, place, [selected], error.message);
        continue;
      }
      await this.#write(packed);
    }
  }

  /** Sends a leaf with the next batch, or by itself if its attachments are large. */
  async #write(packed: PackedLeaf): Promise<void> {
    const { leaf } = packed;
    const bytes = leaf.stubs.reduce((sum, { length }) => sum + Math.max(0, length), 0);
    this.#leaves += 1;
    this.#bytes += bytes + leaf.raw.length;
    // A document that no path can name is sent as JSON, which is never large: so it was read (H39.8).
    const isNamed = isAcceptedPath(documentPath(this.#target.database, leaf.id));
    if (isNamed && (bytes > INLINE_BYTES || needsParts(packed))) {
      await this.#start(async () => {
        const problem = await this.#target.writeWithAttachments(this.#context.repository, packed);
        if (problem !== undefined) this.#problem(problem);
      }, leaf.id);
      return;
    }
    let json = leaf.raw;
    try {
      if (leaf.stubs.length > 0)
        json = withAttachments(leaf, jsonObject(await inlineStubs(this.#context.repository, packed)));
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      this.#problem({ id: leaf.id, reason: error.message });
      return;
    }
    this.#batch.push({ id: leaf.id, rev: leaf.rev, json });
    this.#batchSize += json.length;
    if (this.#batchSize >= BATCH_CHARACTERS || this.#batch.length >= BATCH_DOCUMENTS) await this.#send();
  }

  async #send(): Promise<void> {
    const docs = this.#batch;
    [this.#batch, this.#batchSize] = [[], 0];
    if (docs.length === 0) return;
    await this.#start(async () => {
      for (const problem of await this.#target.writeLeaves(docs)) this.#problem(problem);
    }, '');
  }

  /** Runs `work` beside others; waits while too many run. Rejects with the first failure of any. */
  async #start(work: () => Promise<void>, id: string): Promise<void> {
    const { signal, concurrency = DEFAULT_CONCURRENCY, onEvent } = this.#context;
    while (this.#running.size >= concurrency) await Promise.race(this.#running);
    if (this.#failure !== undefined) throw this.#failure as Error;
    if (signal?.aborted === true)
      throw new Cancelled(
        `The restore was cancelled; the database ${this.#target.database} is not complete.`,
      );
    const running = work().catch((error: unknown) => {
      if (error instanceof Damaged) this.#problem({ id, reason: error.message });
      else this.#failure ??= error;
    });
    this.#running.add(running);
    void running.then(() => {
      this.#running.delete(running);
      const counts = { documents: this.#leaves, bytes: this.#bytes, pending: 0 };
      onEvent({ type: 'progress', database: this.#target.database, ...counts });
    });
  }

  async #drain(): Promise<void> {
    await this.#send();
    await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure as Error;
  }

  #problem(problem: DocumentProblem): void {
    this.#problems.push(problem);
    this.#context.onEvent({ type: 'problem', database: this.#target.database, ...problem });
  }

  /** Names the documents of lines that cannot be read. */
  async #nameDamaged(
    chain: Chain,
    { pack, offset }: FramePlace,
    lines: readonly SelectedLine[],
    reason: string,
  ): Promise<void> {
    const numbers = new Set(lines.map(({ line }) => line));
    for await (const { id, leaves } of chain.entries())
      for (const { place, rev } of leaves)
        if (place.pack === pack && place.offset === offset && numbers.has(place.line))
          this.#problem({ id, reason: `revision ${rev}: ${reason}` });
  }

  /** CouchDB counts in one copy of each shard, which may still lack what the others have acknowledged. */
  async #compareCounts(): Promise<void> {
    if (this.#problems.length > 0) return;
    const { documents, deleted } = this.#snapshot.counts;
    const expected = documents + deleted;
    const source = new DatabaseSource(this.#context.couch, this.#target.database);
    const until = performance.now() + COUNT_PATIENCE_MS;
    for (;;) {
      const { total } = await source.info();
      if (total === expected) return;
      if (performance.now() > until || this.#context.signal?.aborted === true)
        throw new BackupError(
          `The database ${this.#target.database} has ${total} documents; the snapshot has ${expected}.`,
        );
      await delay(COUNT_PAUSE_MS);
    }
  }
}

interface Selected {
  readonly selection: Selection;
  readonly designs: readonly IndexedLeaf[];
}

async function select(entries: Entries): Promise<Selected> {
  const selection = new Selection();
  const designs: IndexedLeaf[] = [];
  for await (const { id, leaves } of entries)
    for (const leaf of leaves)
      if (id.startsWith('_design/')) designs.push(leaf);
      else selection.add(leaf);
  return { selection, designs };
}
