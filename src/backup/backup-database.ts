// Makes one snapshot of one database: reads what changed since the last one, or everything.
import { setTimeout as delay } from 'node:timers/promises';
import { type CouchTransfer } from '../couch/transfer.ts';
import { Chain, compactChain } from './chain.ts';
import { compare } from './canonical.ts';
import { DocumentReader, storeIn, type WantedDocument } from './document-reader.ts';
import { BackupError, Cancelled } from './errors.ts';
import { type OnEvent } from './events.ts';
import { type IndexRef } from './index-file.ts';
import { LeafWriter } from './leaf-writer.ts';
import { type Lock } from './lock.ts';
import { PresentIds } from './present-ids.ts';
import { type Repository } from './repository.ts';
import {
  listSnapshots,
  newSnapshotId,
  readPartial,
  removePartial,
  writePartial,
  writeSnapshot,
} from './snapshot.ts';
import type { PartialRun, Problem, Snapshot, SnapshotCounts } from './snapshot.ts';
import { DatabaseSource, uniqueProblems, type ChangeRow, type DatabaseInfo } from './source.ts';

export interface BackupContext {
  readonly repository: Repository;
  readonly lock: Lock;
  readonly couch: CouchTransfer;
  readonly onEvent: OnEvent;
  /** Ends the run after the current batch; the next run continues there. */
  readonly signal?: AbortSignal;
  /** `_bulk_get` requests at the same time. */
  readonly concurrency?: number;
  /** Waits after each `_bulk_get` for so many times its duration, so that clients notice less. Default 0. */
  readonly restRatio?: number;
}

/** The database was deleted and made again during the run. */
class Recreated extends BackupError {}

/** A batch ends after so many characters or documents, so that a crash loses little. */
const BATCH_CHARACTERS = 16 * 1024 * 1024;
const BATCH_DOCUMENTS = 10_000;
const ANSWER_TARGET_BYTES = 1024 * 1024;
const MAX_IDS = 500;
const DEFAULT_CONCURRENCY = 5;

/**
 * Makes a snapshot and returns it. `complete` is false if something could not be read. Throws `Cancelled`
 * after an abort, `NoDatabase` if the database vanished; what was read stays for the next run.
 */
export async function backupDatabase(context: BackupContext, database: string): Promise<Snapshot> {
  try {
    return await new DatabaseRun(context, database).make();
  } catch (error) {
    if (!(error instanceof Recreated)) throw error;
    await removePartial(context.repository, database);
    return new DatabaseRun(context, database).make();
  }
}

class DatabaseRun {
  readonly #context: BackupContext;
  readonly #database: string;
  readonly #source: DatabaseSource;
  readonly #reader: DocumentReader;
  readonly #writer: LeafWriter;
  readonly #problems = new Map<string, Problem>();
  #documents = 0;
  #bytes = 0;
  #answerBytesPerDocument = 5000;

  constructor(context: BackupContext, database: string) {
    this.#context = context;
    this.#database = database;
    this.#source = new DatabaseSource(context.couch, database);
    this.#reader = new DocumentReader(this.#source, storeIn(context.repository));
    this.#writer = new LeafWriter(context.repository);
  }

  async make(): Promise<Snapshot> {
    const { repository, onEvent } = this.#context;
    const info = await this.#source.info();
    // A damaged snapshot is no parent; the one before it is.
    const snapshots = await listSnapshots(repository, this.#database, (message) =>
      onEvent({ type: 'notice', database: this.#database, message }),
    );
    const parent = usableParent(snapshots.at(-1), info);
    const partial = usablePartial(await readPartial(repository, this.#database), parent, info);
    let state: PartialRun = partial ?? {
      format: 1,
      database: this.#database,
      parent: parent?.id ?? null,
      started: new Date().toISOString(),
      instance_start_time: info.instance_start_time,
      since: parent?.since ?? '0',
      purge_seq: parent?.purge_seq ?? info.purge_seq,
      index: parent?.index ?? [],
      problems: parent?.problems ?? [],
    };
    onEvent({
      type: 'start',
      database: this.#database,
      action: parent === undefined ? 'full' : 'incremental',
      resumed: partial !== undefined,
      total: info.total,
    });
    try {
      state = await this.#readChanges(state);
      if (state.purge_seq !== info.purge_seq) state = await this.#removePurged(state, info.purge_seq);
      return await this.#finish(state, info, parent);
    } finally {
      await this.#writer.discard();
    }
  }

  /** Reads the feed to its end, one batch after the other. */
  async #readChanges(begin: PartialRun): Promise<PartialRun> {
    const chain = await Chain.open(this.#context.repository, begin.index);
    let state = begin;
    // What could not be read last time is tried again: its change is not in the feed any more.
    for (const problem of begin.problems) this.#problems.set(problem.id, problem);
    await this.#rows(
      begin.problems.map(({ id }) => ({ id, revs: [] })),
      chain,
    );
    let next = this.#source.changes(state.since);
    for (let isLast = false; !isLast;) {
      const page = await next;
      isLast = page.rows.length === 0;
      next = isLast ? next : this.#source.changes(page.since);
      // The next page is read ahead; its failure is reported when it is awaited.
      next.catch(() => undefined);
      await this.#rows(page.rows, chain, page.pending);
      const isFull = this.#writer.bytes >= BATCH_CHARACTERS || this.#writer.documents >= BATCH_DOCUMENTS;
      const isCancelled = this.#context.signal?.aborted === true;
      // A page that was read partly before the cancellation is not passed.
      if (isCancelled) {
        await this.#endBatch(state);
        throw new Cancelled(`The backup of ${this.#database} was cancelled; the next one continues there.`);
      }
      state = isFull
        ? await this.#endBatch({ ...state, since: page.since })
        : { ...state, since: page.since };
    }
    return this.#endBatch(state);
  }

  /** Reads the documents of the rows that the repository does not have in this state. */
  async #rows(rows: readonly ChangeRow[], chain: Chain, pending = 0): Promise<void> {
    const newest = new Map(rows.map((row) => [row.id, row]));
    const wanted: WantedDocument[] = [];
    // In the order of ids, so that each block of the index is read once.
    for (const row of [...newest.values()].sort((a, b) => compare(a.id, b.id))) {
      const known = await chain.lookup(row.id);
      if (known === undefined || !hasLeaves(known.leaves, row.revs)) wanted.push({ ...row, known });
    }
    const queue = wanted[Symbol.iterator]();
    const work = async (): Promise<void> => {
      for (let batch = this.#take(queue); batch.length > 0; batch = this.#take(queue)) {
        if (this.#context.signal?.aborted === true) return;
        await this.#readBatch(batch);
        this.#progress(pending);
      }
    };
    const workers = await Promise.allSettled(
      Array.from({ length: this.#context.concurrency ?? DEFAULT_CONCURRENCY }, work),
    );
    for (const worker of workers) if (worker.status === 'rejected') throw worker.reason;
    this.#progress(pending);
  }

  #take(queue: Iterator<WantedDocument, undefined>): readonly WantedDocument[] {
    const size = Math.min(
      MAX_IDS,
      Math.max(1, Math.floor(ANSWER_TARGET_BYTES / this.#answerBytesPerDocument)),
    );
    const batch: WantedDocument[] = [];
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      batch.push(next.value);
      if (batch.length >= size) break;
    }
    return batch;
  }

  async #readBatch(batch: readonly WantedDocument[]): Promise<void> {
    const begin = performance.now();
    const outcomes = await this.#reader.read(batch);
    const known = new Map(batch.map((one) => [one.id, one.known]));
    let bytes = 0;
    const stored = [];
    for (const outcome of outcomes) {
      this.#problems.delete(outcome.id);
      if ('problem' in outcome) this.#problem(outcome.id, outcome.problem);
      else if ('gone' in outcome) {
        if (known.get(outcome.id) !== undefined) this.#writer.remove(outcome.id);
      } else {
        bytes += outcome.bytes;
        stored.push(outcome);
      }
    }
    await this.#writer.add(stored);
    this.#documents += batch.length;
    this.#bytes += bytes;
    this.#answerBytesPerDocument = Math.max(100, (this.#answerBytesPerDocument + bytes / batch.length) / 2);
    const rest = (performance.now() - begin) * (this.#context.restRatio ?? 0);
    if (rest > 0) await delay(rest);
  }

  #problem(id: string, reason: string): void {
    this.#problems.set(id, { id, reason });
    this.#context.onEvent({ type: 'problem', database: this.#database, id, reason });
  }

  #progress(pending: number): void {
    const { database, documents, bytes } = {
      database: this.#database,
      documents: this.#documents,
      bytes: this.#bytes,
    };
    this.#context.onEvent({ type: 'progress', database, documents, bytes, pending });
  }

  /** Puts the batch on disk, then the state that refers to it. */
  async #endBatch(state: PartialRun): Promise<PartialRun> {
    const ref = await this.#writer.endBatch();
    const problems = uniqueProblems([...this.#problems.values()]);
    const next = { ...state, index: ref === undefined ? state.index : [ref, ...state.index], problems };
    await this.#context.lock.check();
    await writePartial(this.#context.repository, next);
    return next;
  }

  /**
   * A purge removes documents from the feed without a change. `_purged_infos` keeps the last 1,000 purges
   * only, so all ids of the database are compared with those of the chain.
   */
  async #removePurged(state: PartialRun, purgeSeq: string): Promise<PartialRun> {
    const { repository, onEvent } = this.#context;
    const present = new PresentIds();
    for (
      let page = await this.#source.changes('0');
      page.rows.length > 0;
      page = await this.#source.changes(page.since)
    )
      for (const { id } of page.rows) present.add(id);
    const chain = await Chain.open(repository, state.index);
    let removed = 0;
    for await (const { id } of chain.entries()) {
      if (present.has(id)) continue;
      this.#writer.remove(id);
      removed += 1;
    }
    const message = `documents were purged since the last snapshot; ${removed} are gone from this one`;
    onEvent({ type: 'notice', database: this.#database, message });
    return this.#endBatch({ ...state, purge_seq: purgeSeq });
  }

  async #finish(state: PartialRun, info: DatabaseInfo, parent: Snapshot | undefined): Promise<Snapshot> {
    const { repository, lock } = this.#context;
    const properties = await this.#source.properties(info);
    const security = await this.#source.security();
    const now = await this.#source.info();
    if (now.instance_start_time !== state.instance_start_time)
      throw new Recreated(`The database ${this.#database} was deleted and made again during its backup.`);
    const index = await compactChain(repository, state.index);
    const isUnchanged = parent !== undefined && sameIndex(index, parent.index);
    const counts = isUnchanged ? parent.counts : await count(await Chain.open(repository, index));
    const finished = new Date();
    const { started, since, problems, instance_start_time, purge_seq } = state;
    const snapshot: Snapshot = {
      format: 1,
      id: newSnapshotId(repository, this.#database, new Date(started)),
      database: this.#database,
      started,
      finished: finished.toISOString(),
      full: parent === undefined,
      parent: parent?.id ?? null,
      complete: problems.length === 0,
      ...{ instance_start_time, since, purge_seq, index, problems, properties, security, counts },
    };
    await lock.check();
    await writeSnapshot(repository, snapshot);
    await removePartial(repository, this.#database);
    return snapshot;
  }
}

/**
 * An increment needs the same database: made at the same time, and with a sequence that has not gone back.
 */
function usableParent(last: Snapshot | undefined, info: DatabaseInfo): Snapshot | undefined {
  if (last === undefined || last.instance_start_time !== info.instance_start_time) return undefined;
  return sequenceNumber(info.update_seq) < sequenceNumber(last.since) ? undefined : last;
}

function usablePartial(
  partial: PartialRun | undefined,
  parent: Snapshot | undefined,
  info: DatabaseInfo,
): PartialRun | undefined {
  if (partial === undefined || partial.parent !== (parent?.id ?? null)) return undefined;
  if (partial.instance_start_time !== info.instance_start_time) return undefined;
  return sequenceNumber(info.update_seq) < sequenceNumber(partial.since) ? undefined : partial;
}

/** `123-g1AAAA…` or `123`. */
function sequenceNumber(seq: string): number {
  return parseInt(seq, 10) || 0;
}

function hasLeaves(leaves: readonly { readonly rev: string }[], revs: readonly string[]): boolean {
  return leaves.length === revs.length && revs.every((rev) => leaves.some((leaf) => leaf.rev === rev));
}

function sameIndex(a: readonly IndexRef[], b: readonly IndexRef[]): boolean {
  return a.length === b.length && a.every(({ name }, at) => name === b[at]?.name);
}

async function count(chain: Chain): Promise<SnapshotCounts> {
  const counts = { documents: 0, deleted: 0, leaves: 0, attachments: 0 };
  for await (const { leaves } of chain.entries()) {
    if (leaves.every((leaf) => leaf.deleted)) counts.deleted += 1;
    else counts.documents += 1;
    counts.leaves += leaves.length;
    for (const { attachments } of leaves) counts.attachments += attachments.length;
  }
  return counts;
}
