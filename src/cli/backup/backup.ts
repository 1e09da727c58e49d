// `couchgate backup`: makes a snapshot of each database.
import { lackOf } from '../../backup/snapshot.ts';
import { openTarget, targetSettings } from '../../backup/open-target.ts';
import { backupDatabases, chooseDatabases, type DatabaseOutcome } from '../../backup/backup-databases.ts';
import {
  backupInstance,
  instanceDatabases,
  requireEncryption,
  secondCluster,
  type InstanceSection,
} from '../../backup/instance.ts';
import { COUCH_OPTIONS, COUCH_USAGE } from './couch-options.ts';
import { EXIT_CODES_USAGE, REPOSITORY_OPTIONS, REPOSITORY_USAGE } from './repository-options.ts';
import { backupCommand } from './task.ts';

export const BACKUP_USAGE = `Usage: couchgate backup [options]
Makes a snapshot of databases: the first one whole, the next ones what changed. It reads with the privilege of the
owner. After SIGTERM or a crash, the next backup continues where this one ended.
  --instance             also back up the instance section, once per run: keys, permission records, prefix and server
                         grants, _users, _replicator, the whitelist and CORS files. Needs an encrypted repository.
                         default: backup_instance
  --databases PATTERN    databases, \`*\` matches any characters; repeatable; default: backup_databases
${REPOSITORY_USAGE}${COUCH_USAGE}${EXIT_CODES_USAGE}`;

const OPTIONS = {
  ...REPOSITORY_OPTIONS,
  ...COUCH_OPTIONS,
  databases: { type: 'string', multiple: true },
  instance: { type: 'boolean', default: false },
} as const;

export const backup = backupCommand(BACKUP_USAGE, OPTIONS, async (task) => {
  const { values, settings, report, signal } = task;
  const repository = await task.repositoryToWrite();
  const withInstance = values.instance || settings.backupInstance;
  if (withInstance) requireEncryption(repository);
  const lock = await task.lock(repository, 'backup');
  const couch = await task.couch();
  const patterns = values.databases ?? settings.backupDatabases;
  const isEncrypted = repository.cipher !== undefined;
  const store = settings.storeDatabase;
  const chosen = await chooseDatabases(couch, patterns, { store, isEncrypted });
  const ofInstance = withInstance ? instanceDatabases(store) : [];
  const databases = chosen.filter((name) => !ofInstance.includes(name));
  const targetCouch = openTarget(targetSettings(settings), settings.couchdbConnectTimeoutMs);
  const target = secondCluster(repository, targetCouch, store);
  const context = { repository, lock, couch, target, signal, onEvent: report.onEvent };
  const run = await backupDatabases(context, databases).finally(() => targetCouch?.close());
  const outcomes = run.databases;
  let { exitCode } = run;
  for (const outcome of outcomes) report.result('snapshot', outcome, outcomeText(outcome));
  if (withInstance) {
    const section = await backupInstance(context, { store, configFolder: settings.configFolder });
    report.result('instance', fieldsOf(section), sectionText(section));
    if (!section.complete) exitCode = 3;
  }
  report.result('summary', { databases: outcomes.length, exit_code: exitCode }, summaryText(outcomes));
  return exitCode;
});

function outcomeText(outcome: DatabaseOutcome): string {
  const { database } = outcome;
  if ('failure' in outcome) return `${database}: FAILED: ${outcome.failure}`;
  const { id, full, counts, complete, added_bytes: bytes } = outcome.snapshot;
  const lack = lackOf(outcome.snapshot);
  const added = bytes === undefined ? '' : `, ${bytes} bytes added`;
  const kind = full ? 'full' : 'incremental';
  const missing = lack === '' ? '' : `; ${complete ? '' : 'INCOMPLETE, '}without ${lack}`;
  const state = outcome.target === undefined ? missing : `${missing}; ${outcome.target}`;
  return `${database}: snapshot ${id} (${kind}), ${counts.documents} documents, ${counts.attachments} attachments${added}${state}`;
}

/** The contents of the files are left out: they are for the repository only. */
function fieldsOf({ id, started, finished, complete, snapshots, problems }: InstanceSection): object {
  return { id, started, finished, complete, snapshots, problems };
}

function sectionText({ id, snapshots, problems }: InstanceSection): string {
  const state = problems.length === 0 ? '' : `; INCOMPLETE: ${problems.join('; ')}`;
  return `instance section ${id}: ${Object.keys(snapshots).join(', ')}${state}`;
}

function summaryText(outcomes: readonly DatabaseOutcome[]): string {
  const failed = outcomes.filter(isNotComplete).length;
  return failed === 0
    ? `${outcomes.length} databases are backed up.`
    : `${outcomes.length - failed} of ${outcomes.length} databases are backed up completely.`;
}

function isNotComplete(outcome: DatabaseOutcome): boolean {
  return 'failure' in outcome || !outcome.snapshot.complete || outcome.target !== undefined;
}
