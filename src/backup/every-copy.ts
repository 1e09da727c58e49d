// Reads every copy of a cluster's database. CouchDB serves a feed from one copy of each range, whichever
// answers first, and that copy may lack what was accepted while it was away, or what it had on a lost disk.
import { databasePath } from '../couch/document-path.ts';
import { type CouchTransfer } from '../couch/transfer.ts';
import { type BackupContext } from './backup-database.ts';
import { CopyPasses } from './copy-passes.ts';
import { BackupError } from './errors.ts';
import { copiesOf, type RangeCopies } from './majority.ts';
import { PresentIds } from './present-ids.ts';
import { nodesOf, type PartialRun, type Snapshot } from './snapshot.ts';
import { DatabaseSource, type ChangeRow, type DatabaseInfo } from './source.ts';

/** A feed of one copy of every range. */
export interface Feed {
  readonly since: string;
  readonly source: DatabaseSource;
  /** The first feed of the run: before it, problems are read again. */
  readonly isFirst: boolean;
  /** What is recorded when everything up to `since` was read. */
  readonly stateAt: (since: string) => Partial<PartialRun>;
  readonly isWanted?: (row: ChangeRow) => boolean;
}

/** What a snapshot says of the copies. */
export interface CopiesRead {
  readonly isEnough: boolean;
  readonly unread: readonly string[];
}

export interface EveryCopy extends CopiesRead {
  readonly state: PartialRun;
}

/** Reads the feed as `readFeed` does, and then what other copies have than those that served it. */
export async function readEveryCopy(
  { couch, onEvent }: Pick<BackupContext, 'couch' | 'onEvent'>,
  { n }: Pick<DatabaseInfo, 'n'>,
  begin: PartialRun,
  readFeed: (state: PartialRun, feed: Feed) => Promise<PartialRun>,
): Promise<EveryCopy> {
  const { database } = begin;
  const first = {
    since: begin.since,
    source: new DatabaseSource(couch, database),
    isFirst: true,
    stateAt: (since: string) => ({ since }),
  };
  if (n === 1) return { state: await readFeed(begin, first), isEnough: true, unread: [] };
  const seen = new PresentIds();
  let state = await readFeed(begin, { ...first, isWanted: (row) => (seen.add(keyOf(row)), true) });
  const passes = new CopyPasses(await rangesOf(couch, database), begin.copies);
  passes.ended(state.since);
  // What a copy names may be on that one alone, so all of them are asked for it.
  const source = new DatabaseSource(couch, database, passes.n);
  for (let since = passes.next(); since !== undefined; since = passes.next()) {
    const stateAt = (passed: string): Pick<PartialRun, 'copies'> => {
      since = passed;
      return { copies: passes.passed(passed) };
    };
    // Of a document with very many leaves, a feed does not name them.
    const isWanted = (row: ChangeRow): boolean => row.revs.length === 0 || !seen.has(keyOf(row));
    state = await readFeed(state, { since, source, isFirst: false, stateAt, isWanted });
    passes.ended(since);
  }
  const { isEnough, unread } = passes;
  if (unread.length > 0) onEvent({ type: 'notice', database, message: unreadText({ isEnough, unread }) });
  return { state: passes.n > 1 ? { ...state, copies: passes.copies } : state, isEnough, unread };
}

/** True if a copy may have something that is not in the snapshot, for which every copy was read. */
export async function hasChanged(
  couch: CouchTransfer,
  { database, since, copies }: Pick<Snapshot, 'database' | 'since' | 'copies'>,
): Promise<boolean> {
  const source = new DatabaseSource(couch, database);
  const passes = new CopyPasses(copies === undefined ? [] : await rangesOf(couch, database), copies);
  for (let next: string | undefined = since; next !== undefined; next = passes.next()) {
    const page = await source.changes(next, 1);
    if (page.rows.length > 0) return true;
    passes.ended(page.since);
  }
  return passes.unread.length > 0;
}

async function rangesOf(couch: CouchTransfer, database: string): Promise<readonly RangeCopies[]> {
  const ranges = await copiesOf(couch, databasePath(database));
  if (ranges === undefined) throw new BackupError(`CouchDB does not name the copies of ${database}.`);
  return ranges;
}

/** Stands for a document with these leaves. */
function keyOf({ id, revs }: ChangeRow): string {
  return JSON.stringify([id, ...revs]);
}

/** Says what a snapshot lacks for which not all copies were read. */
function unreadText({ unread, isEnough }: CopiesRead): string {
  const lacks = isEnough
    ? 'the snapshot has every write that CouchDB answered with 201; one that it answered with 202 may be missing'
    : 'the snapshot may lack confirmed writes';
  return `the copies on ${nodesOf(unread)} could not be read: ${lacks}; the next backup reads them`;
}
