// `couchgate snapshots`: lists the snapshots of a repository.
import { isInFuture } from '../../backup/future.ts';
import { listInstances } from '../../backup/instance.ts';
import { problemCount } from '../../backup/problem-list.ts';
import { lackOf, listSnapshots, listVerifications, type Snapshot } from '../../backup/snapshot.ts';
import { UsageError } from '../../setup/arguments.ts';
import { EXIT_CODES_USAGE, REPOSITORY_OPTIONS, REPOSITORY_USAGE } from './repository-options.ts';
import { backupCommand } from './task.ts';

export const SNAPSHOTS_USAGE = `Usage: couchgate snapshots [DATABASE] [options]
Lists the snapshots, oldest first, those of the future before them, with the time of the last successful test restore; then the instance sections.
${REPOSITORY_USAGE}${EXIT_CODES_USAGE}`;

export const snapshots = backupCommand(SNAPSHOTS_USAGE, REPOSITORY_OPTIONS, async (task) => {
  const { positionals, report } = task;
  const [database, ...more] = positionals;
  if (more.length > 0) throw new UsageError('pass one database at most');
  const repository = await task.repository();
  const verified = await listVerifications(repository);
  let damaged = 0;
  const all = await listSnapshots(repository, database, (reason) => {
    damaged += 1;
    report.onDamaged(reason);
  });
  for (const snapshot of all) {
    const at = verified.get(snapshot.id)?.verified_at;
    const { id, database: name, started, finished, full, complete, counts, problems, parent } = snapshot;
    const fields = { id, database: name, started, finished, full, parent, complete, counts, problems };
    const { added_bytes = null, unread = [] } = snapshot;
    report.result(
      'snapshot',
      { ...fields, unread, problem_count: problemCount(snapshot), added_bytes, verified_at: at ?? null },
      snapshotText(snapshot, at),
    );
  }
  if (all.length === 0) report.line('There is no snapshot.');
  for (const { id, started, finished, complete, snapshots: parts, problems } of database === undefined
    ? await listInstances(repository)
    : []) {
    const state = complete ? 'complete' : `INCOMPLETE (${problems.join('; ')})`;
    const fields = { id, started, finished, complete, snapshots: parts, problems };
    report.result('instance', fields, `${id}  ${started}  instance section  ${state}`);
  }
  return damaged === 0 ? 0 : 1;
});

/** One line: id, database, time, kind, contents, state. */
export function snapshotText(snapshot: Snapshot, verifiedAt?: string): string {
  const { id, database, started, full, complete, counts } = snapshot;
  const lack = lackOf(snapshot);
  const contained = `${complete ? 'complete' : 'INCOMPLETE'}${lack === '' ? '' : ` (without ${lack})`}`;
  const state = isInFuture(snapshot) ? `${contained}  IN THE FUTURE` : contained;
  const check = verifiedAt === undefined ? 'not verified' : `verified ${verifiedAt}`;
  const added = snapshot.added_bytes === undefined ? '' : `, ${snapshot.added_bytes} bytes added`;
  const contents = `${counts.documents} documents, ${counts.attachments} attachments${added}`;
  return `${id}  ${started}  ${database}  ${full ? 'full' : 'incremental'}  ${contents}  ${state}  ${check}`;
}
