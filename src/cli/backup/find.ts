// `couchgate find`: lists the stored versions of a document.
import { contentOf } from '../../backup/index-shape.ts';
import { findVersions, type DocumentVersion } from '../../backup/versions.ts';
import { UsageError } from '../../setup/arguments.ts';
import { EXIT_CODES_USAGE, REPOSITORY_OPTIONS, REPOSITORY_USAGE } from './repository-options.ts';
import { backupCommand } from './task.ts';

export const FIND_USAGE = `Usage: couchgate find DATABASE DOCID [options]
Lists every stored version of a document, newest first, with the snapshots that hold it.
${REPOSITORY_USAGE}${EXIT_CODES_USAGE}`;

export const find = backupCommand(FIND_USAGE, REPOSITORY_OPTIONS, async (task) => {
  const { positionals, report } = task;
  const [database, id, ...more] = positionals;
  if (database === undefined || id === undefined || more.length > 0)
    throw new UsageError('pass a database and the id of a document');
  const versions = await findVersions(await task.repository(), database, id, report.onDamaged);
  for (const version of versions) report.result('version', versionFields(version), versionText(version));
  if (versions.length === 0) report.line('No snapshot has this document.');
  return versions.length === 0 ? 1 : 0;
});

function versionFields({ first, last, snapshots, leaves }: DocumentVersion): object {
  return {
    first: { snapshot: first.id, started: first.started },
    last: { snapshot: last.id, started: last.started },
    snapshots,
    leaves: leaves.map(({ rev, deleted, hash, attachments }) => ({
      rev,
      deleted,
      hash,
      attachments: attachments.map((one) => ({
        name: one.name,
        length: one.length,
        sha256: contentOf(one),
      })),
    })),
  };
}

function versionText({ first, last, snapshots, leaves }: DocumentVersion): string {
  const [winner, ...others] = leaves;
  const state = winner === undefined ? 'not there' : winner.deleted ? `${winner.rev} (deleted)` : winner.rev;
  const conflicts = others.filter(({ deleted }) => !deleted).length;
  const more = conflicts === 0 ? '' : `, ${conflicts} conflicts`;
  const span =
    snapshots === 1 ? first.started : `${first.started} … ${last.started} (${snapshots} snapshots)`;
  return `${last.id}  ${span}  ${state}${more}`;
}
