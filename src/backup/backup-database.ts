// Makes one snapshot of one database: reads what changed since the last one, or everything.
import { type CouchTransfer } from '../couch/transfer.ts';
import { Chain, compactChain } from './chain.ts';
import { countAll, countChanges } from './counts.ts';
import { ChangeReader } from './change-reader.ts';
import { DocumentReader, storeIn } from './document-reader.ts';
import { BackupError, Cancelled, Damaged } from './errors.ts';
import { noticeDropped, usableParent, usablePartial } from './earlier-run.ts';
import { type OnEvent } from './events.ts';
import { readEveryCopy, type CopiesRead, type Feed } from './every-copy.ts';
import { type IndexReader, type IndexRef } from './index-file.ts';
import { LeafWriter } from './leaf-writer.ts';
import { type Lock } from './lock.ts';
import { FULL_SPEED, type Pace } from './pace.ts';
import { PackWriter } from './pack.ts';
import { Patience } from './patience.ts';
import { problemCount, ProblemList, type DocumentProblem } from './problem-list.ts';
import { comparePurges, purgesOf, purgeStateOf, type PurgeState } from './purge-counts.ts';
import { dropPurged } from './purged-documents.ts';
import { type Repository } from './repository.ts';
import { listSnapshots, newSnapshotId, removePartial, writePartial, writeSnapshot } from './snapshot.ts';
import type { PartialRun, Snapshot, SnapshotCounts } from './snapshot.ts';
import { DatabaseSource, type DatabaseInfo } from './source.ts';

export interface SecondCluster {
  readonly couch: CouchTransfer;
  /** The databases that it never gets: those of Couchgate, under every name that they have or had (H29.3). */
  readonly withheld: () => Promise<readonly string[]>;
}

export interface BackupContext {
  readonly repository: Repository;
  readonly lock: Lock;
  readonly couch: CouchTransfer;
  readonly onEvent: OnEvent;
  /** Ends the run after the current batch; the next run continues there. */
  readonly signal?: AbortSignal;
  /** How fast it reads; default: at full speed. */
  readonly pace?: Pace;
  /** How long all databases of a run may wait for documents that cannot be read. */
  readonly patience?: Patience;
  /** The second cluster, which gets the snapshots too. */
  readonly target?: SecondCluster | undefined;
}

/**
 * What is unfinished cannot be continued: the database was deleted and made again during the run, or what an
 * earlier run left is damaged.
 */
class MustBeginAgain extends BackupError {}

/**
 * Makes a snapshot and returns it. `complete` is false if something could not be read. Throws `Cancelled`
 * after an abort, `NoDatabase` if the database vanished; what was read stays for the next run.
 */
export async function backupDatabase(context: BackupContext, database: string): Promise<Snapshot> {
  try {
    return await new DatabaseRun(context, database).make();
  } catch (error) {
    if (!(error instanceof MustBeginAgain)) throw error;
    await removePartial(context.repository, database);
    return new DatabaseRun(context, database).make();
  }
}

class DatabaseRun {
  readonly #context: BackupContext;
  readonly #database: string;
  readonly #source: DatabaseSource;
  readonly #writer: LeafWriter;
  readonly #reader: DocumentReader;
  /** The open index files: the changes are compared with the parent's twice, when read and when counted. */
  readonly #indexFiles = new Map<string, IndexReader>();
  /** Bytes stored since the run began or went on. */
  #storedBytes = 0;
  /** What the earlier part of the run stored; undefined if it did not count. */
  #storedBefore: number | undefined = 0;

  constructor(context: BackupContext, database: string) {
    const repository = context.repository.metered((bytes) => (this.#storedBytes += bytes));
    this.#context = { patience: new Patience(), ...context, repository };
    this.#database = database;
    this.#source = new DatabaseSource(context.couch, database);
    this.#writer = new LeafWriter(repository);
    this.#reader = this.#readerOf(this.#source);
  }

  #readerOf(source: DatabaseSource): DocumentReader {
    const { repository, signal, pace = FULL_SPEED, patience = new Patience() } = this.#context;
    return new DocumentReader(source, {
      store: storeIn(repository, pace, signal),
      startPack: () => new PackWriter(repository),
      patience,
    });
  }

  async make(): Promise<Snapshot> {
    const { repository, onEvent } = this.#context;
    const info = await this.#source.info();
    // A damaged snapshot is no parent; the one before it is.
    const snapshots = await listSnapshots(repository, this.#database, (message) =>
      onEvent({ type: 'notice', database: this.#database, message }),
    );
    const parent = await usableParent(snapshots.at(-1), this.#source, info);
    const partial = await usablePartial(this.#context, this.#source, parent, info);
    let state: PartialRun = partial ?? {
      format: 1,
      database: this.#database,
      parent: parent?.id ?? null,
      started: new Date().toISOString(),
      instance_start_time: info.instance_start_time,
      since: parent?.since ?? '0',
      ...(parent?.copies === undefined ? {} : { copies: parent.copies }),
      ...(parent === undefined ? purgeStateOf(info) : purgesOf(parent)),
      index: parent?.index ?? [],
      problems: parent?.problems ?? [],
    };
    if (partial !== undefined) this.#storedBefore = partial.added_bytes;
    onEvent({
      type: 'start',
      database: this.#database,
      action: parent === undefined ? 'full' : 'incremental',
      resumed: partial !== undefined,
      total: info.total,
    });
    try {
      const read = await readEveryCopy(this.#context, info, state, (now, feed) => this.#readFeed(now, feed));
      state = await this.#dropPurged(read.state, info);
      return await this.#finish(state, info, parent, read);
    } catch (error) {
      if (!(error instanceof Damaged) || partial === undefined) throw error;
      noticeDropped(this.#context, this.#database, error);
      throw new MustBeginAgain(error.message);
    } finally {
      await this.#writer.discard();
    }
  }

  /** Reads a feed to its end. Throws `Cancelled` after an abort, when what was read is on disk. */
  async #readFeed(begin: PartialRun, feed: Feed): Promise<PartialRun> {
    const { repository, onEvent, signal, pace = FULL_SPEED } = this.#context;
    const database = this.#database;
    const { source, isFirst, stateAt, isWanted } = feed;
    const reader = this.#readerOf(source);
    let state = begin;
    const changes = new ChangeReader(
      {
        source,
        reader,
        writer: this.#writer,
        signal,
        pace,
        ...(isWanted === undefined ? {} : { isWanted }),
        chain: await Chain.open(repository, begin.index, { cache: this.#indexFiles }),
        onProgress: (documents, bytes, pending) =>
          onEvent({ type: 'progress', database, documents, bytes, pending }),
        onProblem: (problem) => onEvent({ type: 'problem', database, ...problem }),
        onBatch: async (since, ref, problems) => {
          // Of the feeds before, the next run meets these again.
          const more_problems = (problems.more_problems ?? 0) + (isFirst ? 0 : (begin.more_problems ?? 0));
          state = await this.#save({ ...state, ...stateAt(since), ...problems, more_problems }, ref);
        },
      },
      feed.since,
    );
    if (await changes.read(begin.problems, isFirst)) return state;
    throw cancelled(database);
  }

  /** Records the state that refers to a batch; the batch is on disk. */
  async #save(state: PartialRun, ref: IndexRef | undefined): Promise<PartialRun> {
    const index = ref === undefined ? state.index : [ref, ...state.index];
    const next = { ...state, index, ...this.#addedBytes() };
    await this.#context.lock.check();
    await writePartial(this.#context.repository, next);
    return next;
  }

  /** Looks for purged documents if there may be some. */
  async #dropPurged(begin: PartialRun, info: DatabaseInfo): Promise<PartialRun> {
    const { repository, onEvent, signal, pace = FULL_SPEED } = this.#context;
    const database = this.#database;
    const { mayHave, next } = comparePurges(begin, info.purge_seq);
    if (!mayHave) return { ...begin, ...next };
    let state = begin;
    const found = new ProblemList(begin.problems);
    const before = begin.more_problems ?? 0;
    const save = async (purges: PurgeState): Promise<void> => {
      const batch = await this.#writer.endBatch();
      const { problems, more_problems: more } = found.known;
      const next = { ...state, ...purges, problems, more_problems: before + more };
      state = await this.#save(next, await batch.finish());
    };
    const onProblem = (problem: DocumentProblem): void => {
      found.add(problem);
      onEvent({ type: 'problem', database, ...problem });
    };
    const { removed, isDone } = await dropPurged({
      source: this.#source,
      reader: this.#reader,
      writer: this.#writer,
      pace,
      signal,
      onProblem,
      chain: await Chain.open(repository, begin.index),
      onBatch: () => save(purgesOf(begin)),
    });
    // The feed does not name the documents of this comparison: if one is not listed, it is repeated.
    await save(isDone && found.isWhole ? next : purgesOf(begin));
    if (signal?.aborted === true) throw cancelled(database);
    const what = `documents were purged since the last snapshot; ${removed} are gone from this one`;
    const later = 'too few nodes are up to say what was purged; the next backup looks again';
    if (removed > 0 || !isDone) onEvent({ type: 'notice', database, message: isDone ? what : later });
    return state;
  }

  async #finish(
    state: PartialRun,
    info: DatabaseInfo,
    parent: Snapshot | undefined,
    { isEnough, unread }: CopiesRead,
  ): Promise<Snapshot> {
    const { repository, lock } = this.#context;
    const properties = await this.#source.properties(info);
    const security = await this.#source.security();
    const now = await this.#source.info();
    if (now.instance_start_time !== state.instance_start_time)
      throw new MustBeginAgain(
        `The database ${this.#database} was deleted and made again during its backup.`,
      );
    const index = await compactChain(repository, state.index);
    const counts = await this.#count(state, index, parent);
    const finished = new Date();
    const { started, since, copies, problems, more_problems, instance_start_time } = state;
    const snapshot: Snapshot = {
      format: 1,
      id: newSnapshotId(repository, this.#database, new Date(started)),
      database: this.#database,
      started,
      finished: finished.toISOString(),
      full: parent === undefined,
      parent: parent?.id ?? null,
      complete: problemCount(state) === 0 && isEnough,
      ...(unread.length === 0 ? {} : { unread }),
      instance_start_time,
      since,
      ...(copies === undefined ? {} : { copies }),
      ...purgesOf(state),
      index,
      problems,
      ...(more_problems === undefined ? {} : { more_problems }),
      properties,
      security,
      counts,
      ...this.#addedBytes(),
    };
    await lock.check();
    await writeSnapshot(repository, snapshot);
    await removePartial(repository, this.#database);
    return snapshot;
  }

  /** Absent for a run that an older version began: a part of the sum would look like the whole. */
  #addedBytes(): Pick<Snapshot, 'added_bytes'> {
    return this.#storedBefore === undefined ? {} : { added_bytes: this.#storedBefore + this.#storedBytes };
  }

  /** Counts what the snapshot holds; after few changes, only their difference to the parent. */
  async #count(
    state: PartialRun,
    index: readonly IndexRef[],
    parent: Snapshot | undefined,
  ): Promise<SnapshotCounts> {
    const { repository } = this.#context;
    const added = state.index.slice(0, state.index.length - (parent?.index.length ?? 0));
    const isContinued = parent !== undefined && sameIndex(state.index.slice(added.length), parent.index);
    if (!isContinued) return countAll(await Chain.open(repository, index));
    const changes = await Chain.open(repository, added);
    const before = await Chain.open(repository, parent.index, { cache: this.#indexFiles });
    return countChanges(parent.counts, before, changes);
  }
}

function cancelled(database: string): Cancelled {
  return new Cancelled(`The backup of ${database} was cancelled; the next one continues there.`);
}

function sameIndex(a: readonly IndexRef[], b: readonly IndexRef[]): boolean {
  return a.length === b.length && a.every(({ name }, at) => name === b[at]?.name);
}
