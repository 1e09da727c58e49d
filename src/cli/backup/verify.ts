// `couchgate verify`: checks a repository, and with --restore proves that a snapshot can be restored.
import { listSnapshots, type Snapshot } from '../../backup/snapshot.ts';
import { verifyRestore } from '../../backup/verify-restore.ts';
import { verifyRepository } from '../../backup/verify.ts';
import { BackupError } from '../../backup/errors.ts';
import { UsageError } from '../../setup/arguments.ts';
import { COUCH_OPTIONS, COUCH_USAGE } from './couch-options.ts';
import { EXIT_CODES_USAGE, REPOSITORY_OPTIONS, REPOSITORY_USAGE } from './repository-options.ts';
import { backupCommand, type Task } from './task.ts';

export const VERIFY_USAGE = `Usage: couchgate verify [options]
       couchgate verify --restore [DATABASE]... [options]
Checks that every snapshot of the repository is complete: manifests, index, packs and attachments.
  --read-data            also read every document and attachment, and compare its hash
  --restore              restore the newest snapshot of each database (default: all) into a scratch database, read
                         every revision and attachment again and compare its hash, remove the scratch database, and
                         record the time, which \`couchgate snapshots\` shows
  --snapshot ID          with --restore: this snapshot instead of the newest one
${REPOSITORY_USAGE}${COUCH_USAGE}${EXIT_CODES_USAGE}`;

const OPTIONS = {
  ...REPOSITORY_OPTIONS,
  ...COUCH_OPTIONS,
  'read-data': { type: 'boolean', default: false },
  restore: { type: 'boolean', default: false },
  snapshot: { type: 'string' },
} as const;

type VerifyTask = Task<typeof OPTIONS>;

export const verify = backupCommand(VERIFY_USAGE, OPTIONS, async (task) => {
  const { values, positionals } = task;
  if (values.restore && values['read-data']) throw new UsageError('--restore and --read-data are two steps');
  if (!values.restore && (positionals.length > 0 || values.snapshot !== undefined))
    throw new UsageError('a database or --snapshot needs --restore');
  return values.restore ? byRestore(task) : inPlace(task);
});

async function inPlace(task: VerifyTask): Promise<number> {
  const { values, report } = task;
  const repository = await task.repository();
  const outcome = await verifyRepository(repository, { readData: values['read-data'] });
  for (const { reason, databases } of outcome.damages)
    report.result(
      'damage',
      { reason, databases },
      `DAMAGED: ${reason} It belongs to ${databases.join(', ')}.`,
    );
  const { snapshots, indexFiles, packs, attachments, damages } = outcome;
  const depth = values['read-data'] ? 'all data were read' : 'data were not read';
  const state = damages.length === 0 ? 'no damage' : `${damages.length} damages`;
  report.result(
    'verified',
    {
      snapshots,
      index_files: indexFiles,
      packs,
      attachments,
      damages: damages.length,
      read_data: values['read-data'],
    },
    `${snapshots} snapshots, ${packs} packs, ${attachments} attachments: ${state} (${depth}).`,
  );
  return damages.length === 0 ? 0 : 1;
}

async function byRestore(task: VerifyTask): Promise<number> {
  const { report, signal } = task;
  const repository = await task.repository();
  const chosen = chooseSnapshots(task, await listSnapshots(repository));
  const context = { repository, couch: await task.couch(), onEvent: report.onEvent, signal };
  let exitCode = 0;
  for (const snapshot of chosen) {
    const { database: name } = snapshot;
    const outcome = await verifyRestore(context, snapshot);
    if (outcome.verified) {
      const { leaves, attachments, verified_at } = outcome.verification;
      const text = `${name}: snapshot ${snapshot.id} can be restored: ${leaves} revisions and ${attachments} attachments are equal.`;
      report.result(
        'verified',
        { database: snapshot.database, snapshot: snapshot.id, leaves, attachments, verified_at },
        text,
      );
      continue;
    }
    exitCode = 1;
    const { problems } = outcome;
    const first = problems.slice(0, 20).map(({ id, reason }) => `  ${JSON.stringify(id)}: ${reason}`);
    report.result('not_verified', { database: snapshot.database, snapshot: snapshot.id, problems }, [
      `${name}: snapshot ${snapshot.id} is NOT equal after a restore: ${problems.length} differences.`,
      ...first,
    ]);
  }
  return exitCode;
}

function chooseSnapshots({ values, positionals }: VerifyTask, all: readonly Snapshot[]): readonly Snapshot[] {
  const { snapshot: id } = values;
  if (id !== undefined) {
    const found = all.filter((one) => one.id.startsWith(id));
    if (found.length !== 1)
      throw new BackupError(`${found.length} snapshots begin with ${id}; one is needed.`);
    return found;
  }
  const newest = new Map(all.map((one) => [one.database, one]));
  const missing = positionals.find((database) => !newest.has(database));
  if (missing !== undefined) throw new BackupError(`The repository has no snapshot of ${missing}.`);
  if (newest.size === 0) throw new BackupError('The repository has no snapshot.');
  return [...newest.values()].filter(
    ({ database }) => positionals.length === 0 || positionals.includes(database),
  );
}
