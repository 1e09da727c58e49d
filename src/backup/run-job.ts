// Runs one job in the backup process: a backup, a restore, or a test restore.
import { ownDatabases } from '../catalogue/database-name.ts';
import { type CouchTransfer } from '../couch/transfer.ts';
import { chooseDatabases, copyToTarget, warnOfFuture } from './backup-databases.ts';
import { backupDatabase, type BackupContext } from './backup-database.ts';
import { BackupError, Cancelled, RepositoryLocked } from './errors.ts';
import { type BackupEvent, type OnEvent } from './events.ts';
import { failureOf, NotInRepository } from './failure.ts';
import { forgetByPolicy, parsePolicy, removeForgotten } from './forget.ts';
import {
  backupInstance,
  instanceDatabases,
  ownNames,
  refuseOwnNames,
  requireEncryption,
  secondCluster,
} from './instance.ts';
import { takeLock, type Lock } from './lock.ts';
import { BESIDE_CLIENTS } from './pace.ts';
import { Patience } from './patience.ts';
import { problemCount, someProblems, type DocumentProblem } from './problem-list.ts';
import { type DatabaseResult, type JobRequest, type ProcessSettings } from './process-protocol.ts';
import { prune } from './prune.ts';
import { RepositoryInUse } from './readers.ts';
import { type Repository } from './repository.ts';
import { restoreDatabase } from './restore-database.ts';
import { lackOf, listSnapshots, type Snapshot } from './snapshot.ts';
import { verifyRestore } from './verify-restore.ts';

export interface JobContext {
  readonly settings: ProcessSettings;
  readonly couch: CouchTransfer;
  /** The client of `backup_target`. */
  readonly target: CouchTransfer | undefined;
  /** Opens the repository; with `create`, makes it if the folder is missing or empty. */
  readonly repository: (create: boolean) => Promise<Repository>;
  readonly onEvent: OnEvent;
  readonly onResult: (result: DatabaseResult) => void;
  readonly signal: AbortSignal;
}

const RESTORE_PACE = { concurrency: 2 };
/** Stands for the instance section in the results of a job; no database can have this name. */
const INSTANCE = '(instance)';

/** Resolves with the exit code of the command that does the same; rejects as the engine does. */
export async function runJob(context: JobContext, job: JobRequest): Promise<number> {
  if (job.kind === 'backup') return runBackup(context, job);
  if (job.kind === 'restore') return runRestore(context, job);
  return runVerify(context, job);
}

async function runBackup(
  context: JobContext,
  { databases: patterns, forget = false }: Extract<JobRequest, { kind: 'backup' }>,
): Promise<number> {
  const { settings, couch, signal } = context;
  // Patterns come from a request; what they name is in the instance section, without a copy on the target.
  const own = settings.instance
    ? instanceDatabases(settings.storeDatabase)
    : ownDatabases(settings.storeDatabase);
  if (patterns.some((pattern) => own.includes(pattern)))
    throw new BackupError('Databases of the instance are backed up with the instance section only.');
  const repository = await context.repository(true);
  const lock = await takeLock(repository, 'backup job', { waits: true, signal });
  try {
    const isEncrypted = repository.cipher !== undefined;
    const chosen = patterns.length === 0 ? settings.databases : patterns;
    const names = await chooseDatabases(couch, chosen, { store: settings.storeDatabase, isEncrypted });
    const backup = { repository, lock, couch, signal, pace: BESIDE_CLIENTS, patience: new Patience() };
    const withInstance = settings.instance && patterns.length === 0;
    const ofInstance = settings.instance ? instanceDatabases(settings.storeDatabase) : [];
    const target = secondCluster(repository, context.target, settings.storeDatabase);
    const ordinary = names.filter((name) => !ofInstance.includes(name));
    let exitCode = await eachDatabase(context, ordinary, async (database, onEvent) =>
      withTarget({ ...backup, onEvent, target }, database),
    );
    if (withInstance) {
      const code = await eachDatabase(context, [INSTANCE], async (_, onEvent) => {
        requireEncryption(repository);
        const { storeDatabase: store, configFolder } = settings;
        const { problems } = await backupInstance({ ...backup, onEvent }, { store, configFolder });
        const state = problems.length === 0 ? 'done' : 'incomplete';
        return { state, ...someOf(problems.map((reason) => ({ id: '', reason }))) };
      });
      if (code !== 0 && exitCode === 0) exitCode = 3;
    }
    if (forget && exitCode !== 1) await removeOld(repository, lock, settings.keep, context.onEvent);
    return exitCode;
  } finally {
    await lock.release();
  }
}

/** Removes the snapshots that the policy does not keep, and the data that only they used. */
async function removeOld(repository: Repository, lock: Lock, keep: string, onEvent: OnEvent): Promise<void> {
  const plan = await forgetByPolicy(repository, parsePolicy(keep));
  if (plan.snapshots.length === 0 && plan.sections.length === 0) return;
  try {
    await prune(repository, lock, () => removeForgotten(repository, lock, plan));
  } catch (error) {
    if (!(error instanceof RepositoryInUse)) throw error;
    // The next backup removes them.
    onEvent({ type: 'notice', database: '', message: `old snapshots stay for now: ${error.message}` });
  }
}

async function withTarget(context: BackupContext, database: string): Promise<Outcome> {
  const snapshot = await backupDatabase(context, database);
  await warnOfFuture(context, database);
  const reason = await copyToTarget(context, snapshot);
  const outcome = ofSnapshot(snapshot);
  if (reason === undefined) return outcome;
  context.onEvent({ type: 'notice', database, message: reason });
  return { ...outcome, state: 'incomplete', reason };
}

function ofSnapshot(snapshot: Snapshot): Outcome {
  const { id, full, complete, counts, problems, unread } = snapshot;
  const { documents, attachments } = counts;
  const reason = unread === undefined ? {} : { reason: `without ${lackOf(snapshot)}` };
  const contents = { snapshot: id, full, documents, attachments };
  return {
    state: complete ? 'done' : 'incomplete',
    ...contents,
    ...reason,
    ...someOf(problems, problemCount(snapshot)),
  };
}

async function runRestore(
  context: JobContext,
  { database, snapshot: id, to }: Extract<JobRequest, { kind: 'restore' }>,
): Promise<number> {
  const repository = await context.repository(false);
  await refuseOwnNames(repository, context.settings.storeDatabase, database);
  const snapshot = await snapshotOf(repository, database, id);
  const { couch, signal } = context;
  return eachDatabase(context, [to], async (_, onEvent) => {
    const restore = { repository, couch, signal, onEvent, ...RESTORE_PACE };
    const { problems } = await restoreDatabase(restore, snapshot, to);
    const state = problems.length === 0 && snapshot.complete ? 'done' : 'incomplete';
    const { documents, attachments } = snapshot.counts;
    return { state, snapshot: snapshot.id, documents, attachments, ...someOf(problems) };
  });
}

async function runVerify(
  context: JobContext,
  { database, snapshot: id }: Extract<JobRequest, { kind: 'verify' }>,
): Promise<number> {
  const repository = await context.repository(false);
  const { storeDatabase } = context.settings;
  if (database !== undefined) await refuseOwnNames(repository, storeDatabase, database);
  const own = database === undefined ? await ownNames(repository, storeDatabase) : [];
  const chosen = new Map<string, Snapshot>();
  for (const snapshot of await listSnapshots(repository, database, () => undefined))
    if (id === undefined || snapshot.id === id) chosen.set(snapshot.database, snapshot);
  if (chosen.size === 0) throw new NotInRepository('The repository has no such snapshot.');
  const { couch, signal } = context;
  const names = [...chosen.keys()].filter((name) => !own.includes(name));
  return eachDatabase(context, names, async (name, onEvent) => {
    const snapshot = chosen.get(name) as Snapshot;
    const verify = { repository, couch, signal, onEvent, ...RESTORE_PACE };
    const outcome = await verifyRestore(verify, snapshot);
    if (!outcome.verified)
      return {
        state: 'failed',
        snapshot: snapshot.id,
        reason: 'The restored database is not equal to the snapshot.',
        ...someOf(outcome.problems),
      };
    return { state: 'done', snapshot: snapshot.id, attachments: outcome.verification.attachments };
  });
}

type Outcome = Omit<DatabaseResult, 'database' | 'seconds' | 'bytes'>;

/** A database that fails does not stop the others; a cancellation and a lost lock do. */
async function eachDatabase(
  context: JobContext,
  names: readonly string[],
  work: (database: string, onEvent: OnEvent) => Promise<Outcome>,
): Promise<number> {
  let exitCode = 0;
  let failures = 0;
  const isCancelled = (): boolean => context.signal.aborted;
  for (const database of names) {
    if (isCancelled()) throw new Cancelled('The job was cancelled.');
    const begin = performance.now();
    let bytes = 0;
    const onEvent = (event: BackupEvent): void => {
      if (event.type === 'progress') ({ bytes } = event);
      context.onEvent(event);
    };
    let outcome: Outcome;
    try {
      outcome = await work(database, onEvent);
    } catch (error) {
      if (error instanceof Cancelled || error instanceof RepositoryLocked || isCancelled()) throw error;
      outcome = { state: 'failed', reason: failureOf(error).reason };
    }
    if (outcome.state === 'failed') failures += 1;
    if (outcome.state !== 'done') exitCode = 3;
    const seconds = Math.round((performance.now() - begin) / 100) / 10;
    context.onResult({ database, bytes, seconds, ...outcome });
  }
  return failures > 0 && failures === names.length ? 1 : exitCode;
}

function someOf(
  problems: readonly DocumentProblem[],
  count = problems.length,
): Pick<DatabaseResult, 'problems' | 'problem_count'> {
  return count === 0 ? {} : { problems: someProblems(problems), problem_count: count };
}

/** The snapshot with exactly this id. Throws `NotInRepository`. */
export async function snapshotOf(repository: Repository, database: string, id: string): Promise<Snapshot> {
  // The id comes from a request: it is compared with the files that are there, and never becomes a path.
  const all = await listSnapshots(repository, database, () => undefined);
  const found = all.find((snapshot) => snapshot.id === id);
  if (found === undefined)
    throw new NotInRepository(`The repository has no snapshot ${JSON.stringify(id)} of this database.`);
  return found;
}
