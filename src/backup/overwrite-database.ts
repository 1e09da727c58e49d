// Puts a database back to a snapshot in place. The state before is in the repository first, and the snapshot
// is known to be readable before anything is removed.
import { backupDatabase, type BackupContext } from './backup-database.ts';
import { sentenceOf } from './backup-databases.ts';
import { BackupError } from './errors.ts';
import { requireReadable } from './readable.ts';
import { restoreDatabase, type RestoreOutcome } from './restore-database.ts';
import { type Snapshot } from './snapshot.ts';
import { RestoreTarget } from './target.ts';

export interface OverwriteOutcome extends RestoreOutcome {
  /** The snapshot of the state before; undefined if there was no database. */
  readonly before: Snapshot | undefined;
}

/**
 * Backs the database up, checks that the snapshot can be read, removes the database, and restores the
 * snapshot under the same name. The restored database is the owner's alone, whoever had access before.
 */
export async function overwriteDatabase(
  context: BackupContext,
  snapshot: Snapshot,
): Promise<OverwriteOutcome> {
  const { repository, couch, lock } = context;
  const { database } = snapshot;
  const target = new RestoreTarget(couch, database);
  await requireReadable(repository, snapshot);
  if (!(await target.exists()))
    return { ...(await restoreDatabase(context, snapshot, database)), before: undefined };
  const before = await backupDatabase(context, database);
  if (!before.complete)
    throw new BackupError(
      `${database} was not overwritten: ${before.problems.length} of its documents cannot be backed up first.`,
    );
  await lock.check();
  await target.remove();
  try {
    await target.untilGone();
    return { ...(await restoreDatabase(context, snapshot, database)), before };
  } catch (error) {
    throw new BackupError(
      `${sentenceOf(error)} The database ${database} is not complete; its state before is snapshot ${before.id}. ` +
        `Remove the database and restore again.`,
    );
  }
}
