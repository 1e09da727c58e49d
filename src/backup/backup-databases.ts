// Backs up the databases of a cluster, one after the other, and reports the outcome of each.
import { kindOfName, ownDatabases, SERVED_SYSTEM_DATABASES } from '../catalogue/database-name.ts';
import { matchesPattern } from '../permissions/database-pattern.ts';
import { parseJson } from '../json/parse.ts';
import { HttpError, Unavailable } from '../http-errors.ts';
import { type CouchTransfer, type TransferAnswer } from '../couch/transfer.ts';
import { compare } from './canonical.ts';
import { backupDatabase, type BackupContext } from './backup-database.ts';
import { BackupError, Cancelled, RepositoryLocked, type BackupExitCode } from './errors.ts';
import { isFutureId } from './future.ts';
import { Patience } from './patience.ts';
import { writeToSecondCluster } from './second-cluster.ts';
import { snapshotIds, type Snapshot } from './snapshot.ts';
import { fieldsIn } from './snapshot-shape.ts';

export type DatabaseOutcome =
  /** `target` = why the second cluster does not have the snapshot. */
  | { readonly database: string; readonly snapshot: Snapshot; readonly target?: string }
  | { readonly database: string; readonly failure: string };

export interface RunOutcome {
  readonly databases: readonly DatabaseOutcome[];
  readonly exitCode: 0 | BackupExitCode;
}

/**
 * Lists the databases that fit a pattern, in the order of CouchDB. `*` stands for any characters. System
 * databases and those of Couchgate hold credentials, names and grants: they are left out unless a pattern
 * names them without `*`, and they are refused for a repository without encryption.
 *
 * Names of databases that do not exist come last: their backup fails, and that of the others does not. An
 * `_admin` may have deleted one. Throws a BackupError if there is no other, and for a name that no database
 * can have.
 */
export async function chooseDatabases(
  couch: CouchTransfer,
  patterns: readonly string[],
  options: { readonly store: string; readonly isEncrypted: boolean },
): Promise<readonly string[]> {
  const all = await databaseNames(couch);
  const own = ownDatabases(options.store);
  const hasCredentials = (name: string): boolean =>
    name.startsWith('_') || kindOfName(name) === 'system' || own.includes(name);
  const there = all.filter((name) =>
    patterns.some((pattern) => pattern === name || (!hasCredentials(name) && matchesPattern(pattern, name))),
  );
  const missing = patterns.filter((pattern) => !pattern.includes('*') && !all.includes(pattern));
  // A missing name is asked for: one that is no name of a database could be another path of CouchDB.
  const refused = there.length === 0 ? missing[0] : missing.find((name) => !isNameOfDatabase(name));
  if (refused !== undefined) throw new BackupError(`The database ${refused} does not exist.`);
  const chosen = [...there, ...new Set(missing)];
  const secret = chosen.find(hasCredentials);
  if (secret !== undefined && !options.isEncrypted)
    throw new BackupError(
      `${secret} holds credentials; it is backed up into an encrypted repository only (backup_key_file).`,
    );
  return chosen;
}

const LIST_PATIENCE_MS = 5000;

/**
 * The names that any connected node has. `_all_dbs` is the list of the node that answers, which lacks names
 * while a node that has joined, or that has a new disk, is filled.
 */
async function databaseNames(couch: CouchTransfer): Promise<readonly string[]> {
  const answer = await couch.ask({ method: 'GET', path: '/_all_dbs' });
  if (answer.status !== 200)
    throw new BackupError(`The databases cannot be listed: CouchDB answered ${answer.status}.`);
  const names = new Set(parseJson(answer.bytes) as readonly string[]);
  const membership = await couch.ask({ method: 'GET', path: '/_membership' });
  const { all_nodes: nodes } = membership.status === 200 ? fieldsIn(parseJson(membership.bytes)) : {};
  if (!Array.isArray(nodes) || nodes.length < 2) return [...names];
  for (const node of nodes) {
    const path = `/_node/${encodeURIComponent(String(node))}/_dbs/_all_docs`;
    const list = await couch
      .ask({ method: 'GET', path, patienceMs: LIST_PATIENCE_MS })
      .catch(unavailableAs404);
    if (list.status !== 200) continue;
    const { rows } = parseJson(list.bytes) as { readonly rows: readonly { readonly id: string }[] };
    for (const { id } of rows) if (!id.startsWith('_design/')) names.add(id);
  }
  return [...names].sort(compare);
}

/** A node that fails or has left must not stop the backup: the others have its names. */
function unavailableAs404(error: unknown): TransferAnswer {
  if (!(error instanceof Unavailable)) throw error;
  return { status: 404, bytes: Buffer.alloc(0) };
}

function isNameOfDatabase(name: string): boolean {
  return SERVED_SYSTEM_DATABASES.has(name) || kindOfName(name) !== 'illegal';
}

/**
 * Makes a snapshot of each database. A database that fails does not stop the others; a cancellation, a lost
 * lock and a repository that cannot be written do.
 */
export async function backupDatabases(
  context: BackupContext,
  databases: readonly string[],
): Promise<RunOutcome> {
  const outcomes: DatabaseOutcome[] = [];
  const patience = new Patience();
  let exitCode: 0 | BackupExitCode = 0;
  for (const database of databases) {
    if (context.signal?.aborted === true) throw new Cancelled('The backup was cancelled.');
    try {
      const snapshot = await backupDatabase({ patience, ...context }, database);
      await warnOfFuture(context, database);
      const target = await copyToTarget(context, snapshot);
      outcomes.push({ database, snapshot, ...(target === undefined ? {} : { target }) });
      if (!snapshot.complete || target !== undefined) exitCode = 3;
    } catch (error) {
      if (error instanceof Cancelled || error instanceof RepositoryLocked) throw error;
      const failure = sentenceOf(error);
      context.onEvent({ type: 'problem', database, reason: failure });
      outcomes.push({ database, failure });
      exitCode = 3;
    }
  }
  const isTotalFailure = databases.length > 0 && outcomes.every((outcome) => 'failure' in outcome);
  return { databases: outcomes, exitCode: isTotalFailure ? 1 : exitCode };
}

/**
 * Warns if the database has a snapshot of the future. The backup is made all the same, because it cannot be
 * made up for: retention keeps what is made after that snapshot, and a restore asks which one is meant.
 */
export async function warnOfFuture(
  { repository, onEvent }: Pick<BackupContext, 'repository' | 'onEvent'>,
  database: string,
): Promise<void> {
  const tag = repository.databaseTag(database);
  const id = (await snapshotIds(repository)).findLast((one) => one.split('-')[1] === tag);
  if (id === undefined || !isFutureId(id)) return;
  const message =
    `snapshot ${id} is in the future: the clock was wrong when it was made, or is wrong here; ` +
    `if it is right here, remove the file snapshots/${id} of the repository`;
  onEvent({ type: 'notice', database, message, isWarning: true });
}

/**
 * Writes the snapshot to the second cluster, if there is one. Returns a sentence if that fails: the backup
 * stands, and the next run makes up for it. System databases and those of Couchgate are left out: documents
 * there would give access (H29.3).
 */
export async function copyToTarget(
  { repository, target, onEvent, signal }: BackupContext,
  snapshot: Snapshot,
): Promise<string | undefined> {
  const { database } = snapshot;
  if (target === undefined || database.startsWith('_') || kindOfName(database) === 'system') return undefined;
  try {
    if ((await target.withheld()).includes(database)) return undefined;
    const context = { repository, couch: target.couch, onEvent, ...(signal === undefined ? {} : { signal }) };
    await writeToSecondCluster(context, snapshot);
    return undefined;
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    const reason = `backup_target does not have it: ${sentenceOf(error)}`;
    onEvent({ type: 'problem', database, reason });
    return reason;
  }
}

/**
 * Returns a sentence for a failure. Of a fault of Couchgate it has the name only, because its text may hold
 * anything. Rethrows an error of the file system.
 */
export function sentenceOf(error: unknown): string {
  if (error instanceof BackupError) return error.message;
  if (error instanceof HttpError)
    return error.detail === undefined ? error.reason : `${error.reason} (${error.detail})`;
  if (!(error instanceof Error) || 'syscall' in error) throw error;
  return `Something failed unexpectedly (${error.name}).`;
}
