// Finds what a backup continues: the snapshot before it, or a run that did not end.
import { type BackupContext } from './backup-database.ts';
import { Damaged } from './errors.ts';
import { isInFuture } from './future.ts';
import { readPartial, type PartialRun, type Snapshot } from './snapshot.ts';
import { type DatabaseInfo } from './source.ts';

/**
 * An increment needs the same database: made at the same time, and with a sequence that has not gone back.
 */
export function usableParent(last: Snapshot | undefined, info: DatabaseInfo): Snapshot | undefined {
  if (last === undefined || last.instance_start_time !== info.instance_start_time) return undefined;
  return sequenceNumber(info.update_seq) < sequenceNumber(last.since) ? undefined : last;
}

/**
 * The run that did not end, if this one continues it. One that cannot be read is left out with a notice. If
 * it began in the future, by a wrong clock, it begins now: it will have everything that was written before.
 */
export async function usablePartial(
  context: Pick<BackupContext, 'repository' | 'onEvent'>,
  database: string,
  parent: Snapshot | undefined,
  info: DatabaseInfo,
): Promise<PartialRun | undefined> {
  const partial = await partialOf(context, database);
  if (partial === undefined || partial.parent !== (parent?.id ?? null)) return undefined;
  if (partial.instance_start_time !== info.instance_start_time) return undefined;
  if (sequenceNumber(info.update_seq) < sequenceNumber(partial.since)) return undefined;
  return isInFuture(partial) ? { ...partial, started: new Date().toISOString() } : partial;
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
