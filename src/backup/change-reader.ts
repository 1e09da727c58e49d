// Reads what changed in a database into packs: it reads the feed ahead, sends several `_bulk_get` at the same
// time, and writes files behind them.
import { type Chain } from './chain.ts';
import { compare } from './canonical.ts';
import { type DocumentReader, type WantedDocument } from './document-reader.ts';
import { BackupError } from './errors.ts';
import { FeedLimit } from './feed.ts';
import { type IndexRef } from './index-file.ts';
import { type LeafWriter } from './leaf-writer.ts';
import { rest, type Pace } from './pace.ts';
import { PageGroups } from './page-groups.ts';
import { ProblemList, type KnownProblems, type DocumentProblem } from './problem-list.ts';
import { type ChangeRow, type ChangesPage, type DatabaseSource } from './source.ts';

export interface ChangeReaderDeps {
  readonly source: DatabaseSource;
  readonly reader: DocumentReader;
  readonly writer: LeafWriter;
  /** What the repository has. */
  readonly chain: Chain;
  readonly pace: Pace;
  readonly signal: AbortSignal | undefined;
  /** False for a document that was read in this state, from another copy. Default: true. */
  readonly isWanted?: (row: ChangeRow) => boolean;
  readonly onProgress: (documents: number, bytes: number, pending: number) => void;
  readonly onProblem: (problem: DocumentProblem) => void;
  /** Records that a batch is on disk: everything in the feed up to `since` was read. Calls do not overlap. */
  readonly onBatch: (since: string, ref: IndexRef | undefined, problems: KnownProblems) => Promise<void>;
}

/** A batch ends after so many characters or documents, so that a crash loses little. */
export const BATCH_CHARACTERS = 8 * 1024 * 1024;
const BATCH_DOCUMENTS = 5000;
/** Index blocks that are read at the same time. */
const LOOKUPS = 32;

/** Reads one feed once. */
export class ChangeReader {
  readonly #deps: ChangeReaderDeps;
  #problems = new ProblemList([]);
  /** Where the feed was read to when a problem could not be listed. */
  #held = '';
  readonly #running = new Set<Promise<void>>();
  /** Documents that are being read. */
  readonly #unread = new Set<string>();
  /** Pages that are not read completely, oldest first. */
  readonly #pages: { readonly since: string; open: number; started: boolean }[] = [];
  #saving: Promise<void> = Promise.resolve();
  #isBehind = false;
  #failure: { readonly error: unknown } | undefined;
  #since: string;
  #documents = 0;
  #bytes = 0;
  #pending = 0;

  constructor(deps: ChangeReaderDeps, since: string) {
    this.#deps = deps;
    this.#since = since;
  }

  /**
   * Reads the feed to its end. Before it, with `again`, it reads the documents that could not be read last
   * time: their change is not in the feed any more. Resolves with true when everything is on disk; with false
   * after an abort, when what was read is on disk. Rejects with the first failure, and if the feed grows as
   * fast as it is read.
   */
  async read(problems: readonly DocumentProblem[], again = true): Promise<boolean> {
    try {
      this.#problems = new ProblemList(problems);
      const rows = again ? problems.map(({ id }) => ({ id, revs: [] })) : [];
      const isRead =
        (await this.#page({ rows, since: this.#since, pending: 0, isLast: false })) && (await this.#feed());
      await this.#drain();
      await this.#endBatch();
      await this.#saved();
      if (this.#isBehind) throw behind(this.#deps.source.database);
      return isRead;
    } finally {
      // Nothing may write to the repository after the run has ended.
      await Promise.allSettled([...this.#running, this.#saving]);
    }
  }

  /** False after an abort, and if the feed grows as fast as it is read. */
  async #feed(): Promise<boolean> {
    const { source, pace } = this.#deps;
    const limit = new FeedLimit();
    let next = source.changes(this.#since, pace.changes);
    for (;;) {
      const page = await next;
      this.#isBehind = limit.isPassed(page);
      if (this.#isBehind) return false;
      if (!page.isLast) {
        next = source.changes(page.since, pace.changes);
        // The page is read ahead; its failure is reported when it is awaited.
        next.catch(() => undefined);
      }
      if (!(await this.#page(page))) return false;
      if (page.isLast) return true;
    }
  }

  /** Begins to read the documents of a page that the repository does not have in this state. */
  async #page({ rows, since, pending }: ChangesPage): Promise<boolean> {
    const newest = new Map(rows.map((row) => [row.id, row]));
    // Two reads of a document must not end in the other order.
    if (rows.some(({ id }) => this.#unread.has(id))) await this.#drain();
    this.#pending = pending;
    // In the order of ids, so that each block of the index is read once.
    const { isWanted = () => true } = this.#deps;
    const left = [...newest.values()].filter(isWanted);
    const wanted = await this.#wanted(left.sort((a, b) => compare(a.id, b.id)));
    const page = { since, open: 0, started: false };
    this.#pages.push(page);
    const { signal, pace, writer } = this.#deps;
    const groups = new PageGroups(wanted, pace);
    while (!groups.areTaken) {
      while (this.#running.size >= pace.concurrency) await Promise.race(this.#running);
      if (this.#failure !== undefined) throw this.#failure.error;
      if (signal?.aborted === true) return false;
      page.open += 1;
      this.#start(groups.next(), groups, page);
      if (writer.bytes >= BATCH_CHARACTERS || writer.documents >= BATCH_DOCUMENTS) await this.#endBatch();
    }
    page.started = true;
    this.#passPages();
    return this.#deps.signal?.aborted !== true;
  }

  async #wanted(rows: readonly ChangeRow[]): Promise<readonly WantedDocument[]> {
    const { chain } = this.#deps;
    if (chain.isEmpty) return rows.map((row) => ({ ...row, known: undefined }));
    const wanted: WantedDocument[] = [];
    for (let at = 0; at < rows.length; at += LOOKUPS) {
      const some = rows.slice(at, at + LOOKUPS);
      const known = await Promise.all(some.map(({ id }) => chain.lookup(id)));
      for (const [number, row] of some.entries())
        if (!hasLeaves(known[number]?.leaves ?? [], row.revs)) wanted.push({ ...row, known: known[number] });
    }
    return wanted;
  }

  #start(group: readonly WantedDocument[], groups: PageGroups<WantedDocument>, page: { open: number }): void {
    for (const { id } of group) this.#unread.add(id);
    const work = this.#readGroup(group, groups).then(
      () => {
        page.open -= 1;
        for (const { id } of group) this.#unread.delete(id);
        this.#passPages();
      },
      (error: unknown) => {
        this.#failure ??= { error };
      },
    );
    this.#running.add(work);
    void work.then(() => this.#running.delete(work));
  }

  /** The feed is read up to the oldest page that has unread documents. */
  #passPages(): void {
    for (let first = this.#pages[0]; first?.started === true && first.open === 0; first = this.#pages[0]) {
      this.#since = first.since;
      this.#pages.shift();
    }
  }

  async #readGroup(group: readonly WantedDocument[], groups: PageGroups<WantedDocument>): Promise<void> {
    const { reader, writer, pace, signal, onProgress } = this.#deps;
    const begin = performance.now();
    const outcomes = await reader.read(group);
    let bytes = 0;
    const stored = [];
    for (const [at, outcome] of outcomes.entries()) {
      const { id } = outcome;
      const document = group[at];
      if ('problem' in outcome) {
        this.#hasProblem({ id, reason: outcome.problem });
        continue;
      }
      this.#problems.delete(id);
      if ('gone' in outcome) {
        if (document?.known !== undefined) writer.remove(id);
      } else {
        bytes += outcome.bytes;
        stored.push(outcome);
        groups.wasRead(document, outcome.bytes);
      }
    }
    await writer.add(stored);
    this.#documents += group.length;
    this.#bytes += bytes;
    onProgress(this.#documents, this.#bytes, this.#pending);
    await rest(pace, performance.now() - begin, signal);
  }

  #hasProblem(problem: DocumentProblem): void {
    const wasWhole = this.#problems.isWhole;
    this.#problems.add(problem);
    // The page of this document is not passed yet: the next run meets it again.
    if (wasWhole) this.#held = this.#since;
    this.#deps.onProblem(problem);
  }

  async #drain(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Begins to put the batch on disk, then the state that refers to it. Waits for the batch before. */
  async #endBatch(): Promise<void> {
    await this.#saved();
    // Documents behind this sequence may be in the batch too: the next run finds them there.
    const since = this.#problems.isWhole ? this.#since : this.#held;
    const problems = this.#problems.known;
    const batch = await this.#deps.writer.endBatch();
    this.#saving = batch
      .finish()
      .then((ref) => this.#deps.onBatch(since, ref, problems))
      .catch((error: unknown) => {
        this.#failure ??= { error };
      });
  }

  async #saved(): Promise<void> {
    await this.#saving;
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

function behind(database: string): BackupError {
  return new BackupError(
    `${database} is written as fast as it is read; what was read stays, and the next backup continues there.`,
  );
}

function hasLeaves(leaves: readonly { readonly rev: string }[], revs: readonly string[]): boolean {
  return (
    leaves.length > 0 &&
    leaves.length === revs.length &&
    revs.every((rev) => leaves.some((leaf) => leaf.rev === rev))
  );
}
