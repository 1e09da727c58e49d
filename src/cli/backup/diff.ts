// `couchgate diff`: compares two versions of a document.
import { BackupError } from '../../backup/errors.ts';
import { comparable, jsonDiff, type JsonChange } from '../../backup/json-diff.ts';
import { type Repository } from '../../backup/repository.ts';
import { readLive } from '../../backup/restore-document.ts';
import { chooseSnapshot } from '../../backup/snapshot.ts';
import { leavesIn, readLeaf } from '../../backup/versions.ts';
import { UsageError } from '../../setup/arguments.ts';
import { changeLines } from './changes-text.ts';
import { COUCH_OPTIONS, COUCH_USAGE } from './couch-options.ts';
import { EXIT_CODES_USAGE, REPOSITORY_OPTIONS, REPOSITORY_USAGE } from './repository-options.ts';
import { backupCommand, type Task } from './task.ts';

export const DIFF_USAGE = `Usage: couchgate diff DATABASE DOCID [options]
Compares two versions of a document: - lines are of the first, + lines of the second. Attachments are compared by
their content.
  --from ID              snapshot of the first version; default: the newest one
  --to ID                snapshot of the second version, or \`live\`; default: live
${REPOSITORY_USAGE}${COUCH_USAGE}${EXIT_CODES_USAGE}`;

const OPTIONS = {
  ...REPOSITORY_OPTIONS,
  ...COUCH_OPTIONS,
  from: { type: 'string' },
  to: { type: 'string', default: 'live' },
} as const;

export const diff = backupCommand(DIFF_USAGE, OPTIONS, async (task) => {
  const { values, positionals, report } = task;
  const [database, id, ...more] = positionals;
  if (database === undefined || id === undefined || more.length > 0)
    throw new UsageError('pass a database and the id of a document');
  const repository = await task.repository();
  const before = await storedContent(repository, database, id, values.from);
  const after =
    values.to === 'live'
      ? await liveContent(task, database, id)
      : await storedContent(repository, database, id, values.to);
  const changes: readonly JsonChange[] = jsonDiff(before, after);
  report.result(
    'diff',
    { id, changes },
    changes.length === 0 ? 'Both versions are equal.' : changeLines(changes),
  );
  return 0;
});

/** The content of the winner; an empty object if it is deleted. */
async function storedContent(
  repository: Repository,
  database: string,
  id: string,
  snapshotId: string | undefined,
): Promise<unknown> {
  const snapshot = await chooseSnapshot(repository, database, { id: snapshotId });
  const [winner] = await leavesIn(repository, snapshot, id);
  if (winner === undefined) throw new BackupError(`Snapshot ${snapshot.id} does not have the document.`);
  return winner.deleted ? {} : comparable(await readLeaf(repository, winner));
}

async function liveContent(task: Task<typeof OPTIONS>, database: string, id: string): Promise<unknown> {
  return (await readLive(await task.couch(), database, id)).content ?? {};
}
