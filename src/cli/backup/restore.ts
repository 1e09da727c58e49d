// `couchgate restore`: restores a database or one document from a snapshot.
import { type Lock } from '../../backup/lock.ts';
import { BackupError } from '../../backup/errors.ts';
import { overwriteDatabase } from '../../backup/overwrite-database.ts';
import { restoreDatabase, type RestoreOutcome } from '../../backup/restore-database.ts';
import { diffWithLive, readLive, restoreDocument } from '../../backup/restore-document.ts';
import { chooseSnapshot, lackOf, type Snapshot } from '../../backup/snapshot.ts';
import { leavesIn } from '../../backup/versions.ts';
import { kindOfName, ownDatabases } from '../../catalogue/database-name.ts';
import { UsageError } from '../../setup/arguments.ts';
import { type Widening } from '../../permissions/widening.ts';
import { askPassword } from '../ask-password.ts';
import { openOwner } from '../owner-client.ts';
import { readDatabases } from '../permissions/remote.ts';
import { COUCH_OPTIONS, COUCH_USAGE } from './couch-options.ts';
import { changeLines } from './changes-text.ts';
import { EXIT_CODES_USAGE, REPOSITORY_OPTIONS, REPOSITORY_USAGE } from './repository-options.ts';
import { requireFlags, restoreSecurity } from './restore-security.ts';
import { requireSameAfter, requireSameBefore } from './same-cluster.ts';
import { STORE_OPTIONS, storeRestore } from './restore-store.ts';
import { backupCommand, type Task } from './task.ts';
import { readTime } from './time.ts';

export const RESTORE_USAGE = `Usage: couchgate restore DATABASE [options]
       couchgate restore --store [--snapshot ID | --time TIME] [options]
Restores a database into a new one, with the revisions that it had. The new database is the owner's alone: without
--security, grants of the old one are not restored. Without --snapshot and --time, the newest snapshot is restored.
  --snapshot ID          the snapshot; the beginning of its id is enough
  --time TIME            the newest snapshot that began at or before this time: 2026-11-01T12:00:00Z, or 2d for two days ago
  --to NEWDB             name of the new database, which must not exist; default: DATABASE-restored-TIME
  --overwrite            restore under the same name: backs the present database up, removes it and restores. Its
                         grants are gone then. Asks for the name unless --yes is given
  --security             also restore the grants of the snapshot, through a running Couchgate
  --couchgate URL        with --security: URL of Couchgate; default: COUCHGATE_URL, else http://127.0.0.1:5984
  --ca FILE              with --security: PEM file of the CA that signed the certificate of Couchgate
  --allow-public         with --security: permit that the database is opened to callers without credentials
  --allow-admin          with --security: permit grants of _admin and _security
  --doc DOCID            restore one document only: writes it as a new revision on the present one
  --rev REV              with --doc: the revision of the snapshot to restore; default: its winner
  --current REV          with --doc: fail unless this is the present revision
  --store                put keys, revocations, permission records and users back from an instance section. Whatever
                         is there stays; a revoked key, an older password and a lower revision never come back
  --overwrite-user NAME  with --store: put the user of the section back although there is one; repeatable
  --out FILE             with --store: write the replication documents, prefix grants, server grants and files of the
                         section, which are never put back, into a new JSON file
  --dry-run              show what would be restored; change nothing
  --yes                  do not ask
${REPOSITORY_USAGE}${COUCH_USAGE}${EXIT_CODES_USAGE}`;

const OPTIONS = {
  ...REPOSITORY_OPTIONS,
  ...COUCH_OPTIONS,
  ...STORE_OPTIONS,
  snapshot: { type: 'string' },
  time: { type: 'string' },
  to: { type: 'string' },
  overwrite: { type: 'boolean', default: false },
  security: { type: 'boolean', default: false },
  couchgate: { type: 'string' },
  ca: { type: 'string' },
  'allow-public': { type: 'boolean', default: false },
  'allow-admin': { type: 'boolean', default: false },
  doc: { type: 'string' },
  rev: { type: 'string' },
  current: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
  yes: { type: 'boolean', default: false },
} as const;

type RestoreTask = Task<typeof OPTIONS>;

export const restore = backupCommand(RESTORE_USAGE, OPTIONS, async (task) => {
  const { values, positionals } = task;
  if (values.store) {
    checkStoreOptions(task);
    return storeRestore(task);
  }
  if ((values.out ?? values['overwrite-user']) !== undefined)
    throw new UsageError('--out and --overwrite-user need --store');
  const [database, ...more] = positionals;
  if (database === undefined || more.length > 0) throw new UsageError('pass the name of one database');
  const time = values.time === undefined ? undefined : readTime(values.time);
  checkOptions(task, database);
  const repository = await task.repository();
  const snapshot = await chooseSnapshot(
    repository,
    database,
    { id: values.snapshot, time },
    task.report.onDamaged,
  );
  task.report.line(
    `Snapshot ${snapshot.id} of ${database}: everything written before ${snapshot.started}, nothing written after ${snapshot.finished}.`,
  );
  const lack = lackOf(snapshot);
  if (lack !== '')
    task.report.line(
      `This snapshot is ${snapshot.complete ? 'without' : 'INCOMPLETE, without'} ${lack}: they are missing or older.`,
    );
  return values.doc === undefined ? wholeDatabase(task, snapshot) : oneDocument(task, snapshot, values.doc);
});

function checkStoreOptions({ values }: RestoreTask): void {
  const { to, overwrite, doc, rev, current, security } = values;
  if (overwrite || security || (to ?? doc ?? rev ?? current) !== undefined)
    throw new UsageError('--store excludes --to, --overwrite, --security, --doc, --rev and --current');
}

function checkOptions({ values, settings }: RestoreTask, database: string): void {
  if (values.overwrite && values.to !== undefined)
    throw new UsageError('--overwrite and --to exclude each other');
  if (values.doc !== undefined && values.security) throw new UsageError('--doc restores no grants');
  const { couchgate, ca, 'allow-public': allowPublic, 'allow-admin': allowAdmin } = values;
  if (!values.security && (allowPublic || allowAdmin || (couchgate ?? ca) !== undefined))
    throw new UsageError('--couchgate, --ca, --allow-public and --allow-admin need --security');
  if (values.doc !== undefined && (values.overwrite || values.to !== undefined))
    throw new UsageError('--doc writes into the database itself; it excludes --overwrite and --to');
  if (values.doc === undefined && (values.rev ?? values.current) !== undefined)
    throw new UsageError('--rev and --current need --doc');
  const target = values.to ?? (values.overwrite || values.doc !== undefined ? database : undefined);
  // Documents there give access or run jobs at once.
  if (
    target !== undefined &&
    (target.startsWith('_') ||
      // CouchDB runs the jobs in `x/_replicator` too (H9).
      kindOfName(target) === 'system' ||
      ownDatabases(settings.storeDatabase).includes(target))
  )
    throw new UsageError(
      `${target} is a system database or one of Couchgate's own; restore into another name`,
    );
}

async function wholeDatabase(task: RestoreTask, snapshot: Snapshot): Promise<number> {
  const { values, report, signal } = task;
  const { database, started } = snapshot;
  const stamp = started.slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  const target = values.overwrite ? database : (values.to ?? `${database}-restored-${stamp}`);
  const { documents, attachments } = snapshot.counts;
  const allowed = new Set<Widening>([
    ...(values['allow-public'] ? (['public'] as const) : []),
    ...(values['allow-admin'] ? (['admin'] as const) : []),
  ]);
  if (values.security) requireFlags(snapshot, target, allowed);
  if (values['dry-run']) {
    report.line(`Would restore ${documents} documents and ${attachments} attachments into ${target}.`);
    return 0;
  }
  if (values.overwrite && !values.yes) {
    const question = `This removes the present database ${database} and its grants. Type its name to go on: `;
    if ((await task.ask(question)) !== database) throw new BackupError('Nothing was changed.');
  }
  const couchgate = values.security
    ? await openOwner({ ...values, url: values.couchgate }, task.io, askPassword)
    : undefined;
  // A Couchgate that is away, or another owner, must not be found out after the restore.
  if (couchgate !== undefined) await readDatabases(couchgate);
  const couch = await task.couch();
  if (couchgate !== undefined) await requireSameBefore({ couchgate, couch }, target);
  const repository = await task.repository();
  const lock: Lock | undefined = values.overwrite ? await task.lock(repository, 'restore') : undefined;
  const context = { repository, couch, onEvent: report.onEvent, signal };
  const outcome =
    lock === undefined
      ? await restoreDatabase(context, snapshot, target)
      : await overwriteDatabase({ ...context, lock }, snapshot);
  report.result('restored', outcomeFields(outcome, target), outcomeText(outcome, target));
  if (couchgate !== undefined) {
    await requireSameAfter({ couchgate, couch }, target);
    const names = await restoreSecurity(snapshot, target, {
      couchgate,
      allowed,
      say: (line) => report.line(line),
    });
    report.result('security', { to: target, names }, `The grants of ${names} names are restored.`);
  }
  return outcome.problems.length > 0 || !snapshot.complete ? 3 : 0;
}

function outcomeFields({ snapshot, leaves, problems }: RestoreOutcome, to: string): object {
  return {
    database: snapshot.database,
    to,
    snapshot: snapshot.id,
    started: snapshot.started,
    leaves,
    problems,
  };
}

function outcomeText({ snapshot, leaves, problems }: RestoreOutcome, target: string): string {
  const state =
    problems.length === 0 ? '' : ` INCOMPLETE: ${problems.length} revisions could not be restored.`;
  return (
    `Restored ${leaves} revisions of ${snapshot.counts.documents} documents into ${target}, as of ${snapshot.started}. ` +
    `Only the owner has access.${state}`
  );
}

async function oneDocument(task: RestoreTask, snapshot: Snapshot, id: string): Promise<number> {
  const { values, report } = task;
  const { database } = snapshot;
  const repository = await task.repository();
  const leaves = await leavesIn(repository, snapshot, id);
  const stored = values.rev === undefined ? leaves[0] : leaves.find(({ rev }) => rev === values.rev);
  if (stored === undefined)
    throw new BackupError(
      `The snapshot has no ${values.rev === undefined ? 'such document' : 'such revision of it'}.`,
    );
  const couch = await task.couch();
  const live = await readLive(couch, database, id);
  if (values.current !== undefined && values.current !== live.rev)
    throw new BackupError(
      `The present revision is ${live.rev ?? 'none'}, not ${values.current}; nothing was changed.`,
    );
  const changes = await diffWithLive(repository, stored, live);
  report.line(`Stored revision ${stored.rev}; present revision ${live.rev ?? 'none'}.`);
  for (const line of changes.length === 0 ? ['Both have the same content.'] : changeLines(changes))
    report.line(line);
  if (values['dry-run'] || changes.length === 0) return 0;
  if (!values.yes && (await task.ask('Restore the stored version (-)? Type yes: ')) !== 'yes')
    throw new BackupError('Nothing was changed. Without a terminal, use --yes.');
  const result = await restoreDocument({ repository, couch }, database, id, stored, live);
  if (result.outcome === 'conflict') {
    const text = `Nothing was changed: the document has revision ${result.rev ?? 'none'} meanwhile.`;
    report.result('conflict', { id, rev: result.rev ?? null, changes: result.changes }, [
      text,
      ...changeLines(result.changes),
    ]);
    return 1;
  }
  report.result(
    'restored',
    { id, rev: result.rev, snapshot: snapshot.id },
    `Restored as revision ${result.rev}.`,
  );
  return 0;
}
