// Puts a database back to a snapshot in place. The state before is in the repository first, and the snapshot
// is known to be readable before anything is removed.
import { databasePath } from '../couch/document-path.ts';
import { type CouchTransfer } from '../couch/transfer.ts';
import { backupDatabase, type BackupContext } from './backup-database.ts';
import { sentenceOf } from './backup-databases.ts';
import { BackupError } from './errors.ts';
import { hasChanged } from './every-copy.ts';
import { requireReadable } from './readable.ts';
import { restoreDatabase, type RestoreOutcome } from './restore-database.ts';
import { lackOf, type Snapshot } from './snapshot.ts';
import { RestoreTarget } from './target.ts';

export interface OverwriteOutcome extends RestoreOutcome {
  /** The snapshot of the state before; undefined if there was no database. */
  readonly before: Snapshot | undefined;
}

/** So often the closed database is backed up until nothing is written meanwhile. */
const MAX_ROUNDS = 5;

/**
 * Backs the database up, checks that the snapshot can be read, removes the database, and restores the
 * snapshot under the same name. The restored database is the owner's alone, whoever had access before.
 */
export async function overwriteDatabase(
  context: BackupContext,
  snapshot: Snapshot,
): Promise<OverwriteOutcome> {
  const { repository, couch } = context;
  const { database } = snapshot;
  const target = new RestoreTarget(couch, database);
  await requireReadable(repository, snapshot);
  if (!(await target.exists()))
    return { ...(await restoreDatabase(context, snapshot, database)), before: undefined };
  // While clients still have access: the database is closed to them only for what is written meanwhile.
  await backupWhole(context, database);
  const before = await closeAndBackUp(context, target);
  try {
    await target.remove();
    await target.untilGone();
    return { ...(await restoreDatabase(context, snapshot, database)), before };
  } catch (error) {
    throw new BackupError(
      `${sentenceOf(error)} The database ${database} is closed to others, removed, or not complete; ` +
        `its state before, with its grants, is snapshot ${before.id}. Remove the database and restore again.`,
    );
  }
}

/** Closes the database and backs it up to its last write. After a failure, its grants are put back. */
async function closeAndBackUp(context: BackupContext, target: RestoreTarget): Promise<Snapshot> {
  const security = await target.security();
  try {
    return await backUpClosed(context, target, security);
  } catch (error) {
    try {
      // If somebody has set other permissions meanwhile, those stay.
      if (await target.isOwnerOnly()) await target.setSecurity(security);
    } catch {
      throw new BackupError(
        `${sentenceOf(error)} The database ${target.database} stays closed to everybody but server admins.`,
      );
    }
    throw error;
  }
}

/**
 * A write that CouchDB accepted before it was closed may still be stored, server admins may write, and a
 * prefix grant opens the database again: so this is repeated until nothing came after the snapshot.
 */
async function backUpClosed(
  context: BackupContext,
  target: RestoreTarget,
  security: string,
): Promise<Snapshot> {
  const { couch, lock } = context;
  const { database } = target;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    await target.close();
    const open = { ...context, couch: withSecurity(couch, database, security) };
    const before = await backupWhole(open, database);
    await lock.check();
    const isClosed = await target.isOwnerOnly();
    if (isClosed && !(await hasChanged(couch, before))) return before;
  }
  throw new BackupError(
    `${database} was not overwritten: somebody opens it again, or writes into it as a server admin.`,
  );
}

async function backupWhole(context: BackupContext, database: string): Promise<Snapshot> {
  const snapshot = await backupDatabase(context, database);
  // What only a copy has that cannot be read would be lost.
  if (snapshot.complete && snapshot.unread === undefined) return snapshot;
  throw new BackupError(
    `${database} was not overwritten: not all of it can be backed up first (${lackOf(snapshot)}).`,
  );
}

/** Reads the security object of the database as it was before it was closed: the snapshot has to keep it. */
function withSecurity(couch: CouchTransfer, database: string, security: string): CouchTransfer {
  const path = `${databasePath(database)}/_security`;
  return {
    ask: (request, maxBytes) =>
      request.method === 'GET' && request.path === path
        ? Promise.resolve({ status: 200, bytes: Buffer.from(security) })
        : couch.ask(request, maxBytes),
    read: (request) => couch.read(request),
    close: () => couch.close(),
  };
}
