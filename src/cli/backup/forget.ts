// `couchgate forget`: removes snapshots that a policy does not keep, and with --prune the data that they
// used.
import {
  forgetByPolicy,
  parseDuration,
  parsePolicy,
  refuseEmpty,
  removeForgotten,
  type KeepPolicy,
} from '../../backup/forget.ts';
import { prune } from '../../backup/prune.ts';
import { type Settings } from '../../config/settings.ts';
import { UsageError } from '../../setup/arguments.ts';
import { bytesText } from './report.ts';
import { EXIT_CODES_USAGE, REPOSITORY_OPTIONS, REPOSITORY_USAGE } from './repository-options.ts';
import { backupCommand } from './task.ts';

export const FORGET_USAGE = `Usage: couchgate forget [DATABASE]... [options]
Removes snapshots and prints why each of the others stays. The data are removed with --prune only. Without a --keep
option, backup_keep applies. Periods are of UTC; of each period the newest snapshot stays.
  --keep-last N          the newest N snapshots of each database
  --keep-hourly N        one of each of N hours
  --keep-daily N         one of each of N days
  --keep-weekly N        one of each of N weeks
  --keep-monthly N       one of each of N months
  --keep-yearly N        one of each of N years
  --keep-within TIME     all within this time before the newest snapshot: 30d, 8w, 6m, 2y
  --prune                remove data that no snapshot uses
  --dry-run              print what would be removed; remove nothing
${REPOSITORY_USAGE}${EXIT_CODES_USAGE}`;

const OPTIONS = {
  ...REPOSITORY_OPTIONS,
  'keep-last': { type: 'string' },
  'keep-hourly': { type: 'string' },
  'keep-daily': { type: 'string' },
  'keep-weekly': { type: 'string' },
  'keep-monthly': { type: 'string' },
  'keep-yearly': { type: 'string' },
  'keep-within': { type: 'string' },
  prune: { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
} as const;

export const forget = backupCommand(FORGET_USAGE, OPTIONS, async (task) => {
  const { values, positionals, settings, report } = task;
  const policy = policyOf(values, settings);
  const repository = await task.repository();
  const lock = await task.lock(repository, 'forget');
  const plan = await forgetByPolicy(repository, policy, positionals);
  let count = 0;
  for (const [database, verdicts] of [...plan.databases, ['instance sections', plan.instances] as const]) {
    if (verdicts.length > 0) report.line(database);
    for (const { snapshot, reasons } of verdicts) {
      const { id, started } = snapshot;
      const keep = reasons.length > 0;
      count += 1;
      const text = `  ${keep ? 'keep  ' : 'remove'}  ${id}  ${started}  ${reasons.join(', ')}`;
      report.result(keep ? 'keep' : 'remove', { id, database, started, reasons }, text);
    }
  }
  const remove = (): Promise<void> => removeForgotten(repository, lock, plan);
  const isPruning = values.prune && !values['dry-run'];
  const pruned = isPruning ? await prune(repository, lock, remove) : undefined;
  if (!values.prune && !values['dry-run']) await remove();
  const removed = plan.snapshots.length + plan.sections.length;
  const verb = values['dry-run'] ? 'would be removed' : 'were removed';
  report.result('summary', { removed }, `${removed} of ${count} snapshots ${verb}.`);
  if (!values.prune) return 0;
  if (pruned === undefined) {
    report.line('With --dry-run, --prune removes nothing: the snapshots above still use their data.');
    return 0;
  }
  const { files, bytes } = pruned;
  report.result('pruned', { files, bytes }, `${files} files with ${bytesText(bytes)} were removed.`);
  return 0;
});

type KeepValues = Readonly<Partial<Record<`keep-${string}`, string | undefined>>>;

function policyOf(values: KeepValues, { backupKeep }: Pick<Settings, 'backupKeep'>): KeepPolicy {
  const names = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
  const given = names.flatMap((name): [string, number][] => {
    const value = values[`keep-${name}`];
    if (value === undefined) return [];
    if (!/^\d{1,6}$/.test(value)) throw new UsageError(`--keep-${name} must be a whole number`);
    return [[name, Number(value)]];
  });
  const within = values['keep-within'];
  if (within !== undefined) given.push(['withinMs', parseDuration(within)]);
  if (given.length === 0) return parsePolicy(backupKeep);
  const policy = Object.fromEntries(given) as KeepPolicy;
  refuseEmpty(policy);
  return policy;
}
