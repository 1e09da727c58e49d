// `couchgate restore --store`: puts keys, revocations, permission records and users back.
import { exportInstance, writeInstanceExport } from '../../backup/instance-export.ts';
import { chooseInstance } from '../../backup/instance.ts';
import { BackupError } from '../../backup/errors.ts';
import { restoreStore, STORE_KINDS, type KindOutcome } from '../../backup/restore-store.ts';
import { UsageError } from '../../setup/arguments.ts';
import { type COUCH_OPTIONS } from './couch-options.ts';
import { type REPOSITORY_OPTIONS } from './repository-options.ts';
import { type Task } from './task.ts';
import { readTime } from './time.ts';

/** Options of the form with --store, besides those that it has in common with the others. */
export const STORE_OPTIONS = {
  store: { type: 'boolean', default: false },
  'overwrite-user': { type: 'string', multiple: true },
  out: { type: 'string' },
} as const;

/** All options that this form reads. */
type Used = typeof REPOSITORY_OPTIONS &
  typeof COUCH_OPTIONS &
  typeof STORE_OPTIONS & {
    readonly snapshot: { readonly type: 'string' };
    readonly time: { readonly type: 'string' };
    readonly 'dry-run': { readonly type: 'boolean'; readonly default: false };
    readonly yes: { readonly type: 'boolean'; readonly default: false };
  };

/** Refusals that are printed for each kind. */
const MAX_NAMED = 100;

/** Resolves with 0, or 3 if something does not come back. */
export async function storeRestore(task: Task<Used>): Promise<number> {
  const { values, positionals, settings, report, signal } = task;
  if (positionals.length > 0) throw new UsageError('--store restores no database');
  const time = values.time === undefined ? undefined : readTime(values.time);
  const repository = await task.repository();
  const section = await chooseInstance(repository, { id: values.snapshot, time });
  report.line(`Instance section ${section.id}: as of ${section.started}.`);
  if (!section.complete) report.line(`This section is INCOMPLETE: ${section.problems.join('; ')}.`);
  if (values.out !== undefined) {
    const content = await exportInstance(repository, section);
    await writeInstanceExport(values.out, content);
    const { replicator, prefix_grants: prefixes, server_grants: servers } = content;
    report.line(
      `${replicator.docs.length} replication documents, ${prefixes.length} prefix grants, ${servers.length} server grants and ` +
        `${content.files.length} files are in ${values.out}, with credentials; they are not put back.`,
    );
  }
  const dryRun = values['dry-run'];
  if (!dryRun && !values.yes) {
    const question = 'Put keys, revocations, permission records and users back? Type yes: ';
    if ((await task.ask(question)) !== 'yes')
      throw new BackupError('Nothing was changed. Without a terminal, use --yes.');
  }
  const outcome = await restoreStore({ repository, couch: await task.couch(), signal }, section, {
    store: settings.storeDatabase,
    overwriteUsers: values['overwrite-user'] ?? [],
    dryRun,
  });
  let refused = 0;
  for (const kind of STORE_KINDS) {
    refused += outcome[kind].refused.length;
    report.result(
      dryRun ? 'would-restore' : 'restored',
      { kind, ...outcome[kind] },
      linesOf(kind, outcome[kind], dryRun),
    );
  }
  return refused === 0 && section.complete ? 0 : 3;
}

function linesOf(kind: string, { restored, kept, refused }: KindOutcome, dryRun: boolean): readonly string[] {
  return [
    `${kind}: ${restored} ${dryRun ? 'would be ' : ''}restored, ${kept} are there and stay, ${refused.length} do not come back`,
    ...refused.slice(0, MAX_NAMED).map(({ id, reason }) => `  ${id}: ${reason}`),
    ...(refused.length > MAX_NAMED ? [`  and ${refused.length - MAX_NAMED} more`] : []),
  ];
}
