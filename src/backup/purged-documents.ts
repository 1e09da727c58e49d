// Drops the documents that were purged. A purge removes them from the feed without a change, and
// `_purged_infos` keeps the last 1,000 purges only, so all ids of the database are compared with the chain.
import { isMissing } from './bulk-get-answer.ts';
import { type Chain } from './chain.ts';
import { BATCH_CHARACTERS, type ChangeReaderDeps } from './change-reader.ts';
import { type WantedDocument } from './document-reader.ts';
import { FeedLimit, pagesOf } from './feed.ts';
import { inPages } from './in-pages.ts';
import { type IndexEntry } from './index-file.ts';
import { type LeafToStore } from './leaf-writer.ts';
import { PageGroups } from './page-groups.ts';
import { rest } from './pace.ts';
import { PresentIds } from './present-ids.ts';

export interface PurgeDeps extends Omit<ChangeReaderDeps, 'onProgress' | 'onBatch'> {
  /** Puts what the writer has on disk, when it is a whole batch. */
  readonly onBatch: () => Promise<void>;
}

/** `isDone` = false: it was cancelled, or a majority of the copies cannot be read. */
export interface PurgeOutcome {
  readonly removed: number;
  readonly isDone: boolean;
}

/** Documents that are decided together. */
const PAGE = 1000;

/**
 * Removes what was purged from the chain. The feed says only what may be missing: one copy of each range
 * serves it, which lacks documents while it is filled or after it was away. All copies are asked for these,
 * and what one of them has stays, in the state that they have together.
 */
export async function dropPurged(deps: PurgeDeps): Promise<PurgeOutcome> {
  const { source, writer, chain, signal } = deps;
  const present = await presentIds(deps);
  let removed = 0;
  for await (const page of inPages(absentIn(chain, present), PAGE)) {
    const gone = await readAgain(deps, page);
    if (signal?.aborted === true || (gone.length > 0 && !(await source.hasMajority())))
      return { removed, isDone: false };
    for (const id of gone) writer.remove(id);
    removed += gone.length;
    if (writer.bytes >= BATCH_CHARACTERS) await deps.onBatch();
  }
  return { removed, isDone: signal?.aborted !== true };
}

async function presentIds({ source, pace, signal }: PurgeDeps): Promise<PresentIds> {
  const present = new PresentIds();
  const limit = new FeedLimit();
  let begin = performance.now();
  for await (const page of pagesOf(source, pace.changes)) {
    for (const { id } of page.rows) present.add(id);
    // What is not in it is looked for by its id.
    if (signal?.aborted === true || limit.isPassed(page)) break;
    await rest(pace, performance.now() - begin, signal);
    begin = performance.now();
  }
  return present;
}

/** The documents of the chain that the feed did not name. */
async function* absentIn(chain: Chain, present: PresentIds): AsyncGenerator<IndexEntry> {
  for await (const entry of chain.entries()) if (!present.has(entry.id)) yield entry;
}

/** Reads the documents from all copies. Returns those that none has, and stores what has changed. */
async function readAgain(deps: PurgeDeps, page: readonly IndexEntry[]): Promise<readonly string[]> {
  const { source, pace, signal } = deps;
  const gone: string[] = [];
  const rows = page.map((known) => ({ id: known.id, revs: known.leaves.map(({ rev }) => rev), known }));
  const groups = new PageGroups<WantedDocument>(rows, pace);
  while (!groups.areTaken && signal?.aborted !== true) {
    const begin = performance.now();
    const group = groups.next();
    const there: WantedDocument[] = [];
    for (const [at, read] of (await source.leaves(group.map(({ id }) => id))).entries()) {
      const row = group[at];
      if (row === undefined) continue;
      if ('error' in read && isMissing(read.error)) {
        gone.push(row.id);
        groups.wasRead(row, 0);
      } else there.push('leaves' in read ? { ...row, revs: read.leaves.map(({ rev }) => rev) } : row);
    }
    gone.push(...(await store(deps, there, groups)));
    await rest(pace, performance.now() - begin, signal);
  }
  return gone;
}

/** Stores documents that are there. Returns those that were purged meanwhile. */
async function store(
  { reader, writer, onProblem }: PurgeDeps,
  there: readonly WantedDocument[],
  groups: PageGroups<WantedDocument>,
): Promise<readonly string[]> {
  const gone: string[] = [];
  for (const [at, outcome] of (await reader.read(there)).entries()) {
    const row = there[at];
    if ('problem' in outcome) onProblem({ id: outcome.id, reason: outcome.problem });
    else if ('gone' in outcome) gone.push(outcome.id);
    else {
      groups.wasRead(row, outcome.bytes);
      if (!isStored(row, outcome.leaves)) await writer.add([outcome]);
    }
  }
  return gone;
}

function isStored(row: WantedDocument | undefined, leaves: readonly LeafToStore[]): boolean {
  return row?.known?.leaves.length === leaves.length && leaves.every((leaf) => 'stored' in leaf);
}
