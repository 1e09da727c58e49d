// Finds what a backup continues: the snapshot before it, or a run that did not end.
import { type BackupContext } from './backup-database.ts';
import { Damaged } from './errors.ts';
import { isInFuture } from './future.ts';
import { copiesIn } from './packed-sequence.ts';
import { readPartial, type ChainState, type PartialRun, type Snapshot } from './snapshot.ts';
import { type DatabaseInfo, type DatabaseSource } from './source.ts';

/**
 * An increment needs the same database: made at the same time, and with a sequence that has not gone back, as
 * when the files of an old disk were put back.
 */
export async function usableParent(
  last: Snapshot | undefined,
  source: Pick<DatabaseSource, 'info'>,
  info: DatabaseInfo,
): Promise<Snapshot | undefined> {
  if (last === undefined || last.instance_start_time !== info.instance_start_time) return undefined;
  return (await hasGoneBack(source, info, last)) ? undefined : last;
}

/**
 * The run that did not end, if this one continues it. One that cannot be read is left out with a notice. If
 * it began in the future, by a wrong clock, it begins now: it will have everything that was written before.
 */
export async function usablePartial(
  context: Pick<BackupContext, 'repository' | 'onEvent'>,
  source: DatabaseSource,
  parent: Snapshot | undefined,
  info: DatabaseInfo,
): Promise<PartialRun | undefined> {
  const partial = await partialOf(context, source.database);
  if (partial === undefined || partial.parent !== (parent?.id ?? null)) return undefined;
  if (partial.instance_start_time !== info.instance_start_time) return undefined;
  if (await hasGoneBack(source, info, partial)) return undefined;
  return isInFuture(partial) ? { ...partial, started: new Date().toISOString() } : partial;
}

/** What CouchDB before 3.3 says in place of the time when a database was made. */
const NO_START = '0';

/** How often CouchDB is asked for a copy that was read, before the sums decide. */
const MOST_ASKED = 10;

/**
 * True if the database has gone back behind what was read. The sums of other copies say nothing: one that
 * was away counts fewer changes for ever. So the same files are compared. If none of them answers, the sums
 * decide; but not for CouchDB before 3.3, which does not say when a database was made: it may be another one.
 */
async function hasGoneBack(
  source: Pick<DatabaseSource, 'info'>,
  { update_seq: updateSeq, instance_start_time: start }: DatabaseInfo,
  { since, copies = since }: Pick<ChainState, 'since' | 'copies'>,
): Promise<boolean> {
  let now = updateSeq;
  for (let asked = 0; asked < MOST_ASKED; asked += 1) {
    const verdict = compareCopies(now, since, copies);
    if (verdict !== 'unknown') return verdict === 'back';
    if (start !== NO_START && sequenceNumber(now) >= sequenceNumber(since)) return false;
    now = (await source.info()).update_seq;
  }
  return true;
}

/** `unknown` = no copy is in both. */
function compareCopies(now: string, since: string, copies: string): 'back' | 'forward' | 'unknown' {
  const before = copiesIn(copies);
  const after = copiesIn(now);
  if (before === undefined || after === undefined)
    return sequenceNumber(now) < sequenceNumber(since) ? 'back' : 'forward';
  const counts = new Map(before.map(({ copy, file, count }) => [`${copy} ${file}`, count]));
  const both = after.flatMap(({ copy, file, count }) => {
    const old = counts.get(`${copy} ${file}`);
    return old === undefined ? [] : [count < old];
  });
  if (both.length === 0) return 'unknown';
  return both.includes(true) ? 'back' : 'forward';
}

async function partialOf(
  context: Pick<BackupContext, 'repository' | 'onEvent'>,
  database: string,
): Promise<PartialRun | undefined> {
  try {
    return await readPartial(context.repository, database);
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    noticeDropped(context, database, error);
    return undefined;
  }
}

/** Nothing is lost with it: the next run begins where the last snapshot ends (H39.3). */
export function noticeDropped(
  { onEvent }: Pick<BackupContext, 'onEvent'>,
  database: string,
  { message }: Damaged,
): void {
  const reason = `the run before this one, which did not end, cannot be continued: ${message}`;
  onEvent({ type: 'notice', database, message: reason });
}

/** `123-g1AAAA…` or `123`. */
function sequenceNumber(seq: string): number {
  return parseInt(seq, 10) || 0;
}
