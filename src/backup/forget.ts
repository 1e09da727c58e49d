// Decides which snapshots a policy keeps, and removes the others. The data stay until prune.ts removes them.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupError } from './errors.ts';
import { isInFuture } from './future.ts';
import { listInstances, removeInstances, type InstanceSection } from './instance.ts';
import { type Lock } from './lock.ts';
import { type Repository } from './repository.ts';
import { listSnapshots, type Snapshot } from './snapshot.ts';

/** How many snapshots to keep for each database. Hours, days and others are of UTC. */
export interface KeepPolicy {
  readonly last?: number;
  readonly hourly?: number;
  readonly daily?: number;
  readonly weekly?: number;
  readonly monthly?: number;
  readonly yearly?: number;
  /** Everything younger than this before the newest snapshot, in milliseconds. */
  readonly withinMs?: number;
}

/** Cloudant's roll-up: daily, then weekly, then monthly, then yearly. */
export const DEFAULT_KEEP = 'daily 7, weekly 4, monthly 12, yearly 10';

/** What a policy counts: a snapshot or an instance section. */
type Kept = Pick<Snapshot, 'id' | 'started' | 'complete'>;

export interface Verdict<T extends Kept = Snapshot> {
  readonly snapshot: T;
  /** Why it stays; none if it is removed. */
  readonly reasons: readonly string[];
}

export interface ForgetPlan {
  readonly databases: ReadonlyMap<string, readonly Verdict[]>;
  readonly instances: readonly Verdict<InstanceSection>[];
  /** What the policy does not keep. */
  readonly snapshots: readonly Snapshot[];
  readonly sections: readonly InstanceSection[];
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const UNITS_MS: Readonly<Record<string, number>> = {
  h: HOUR_MS,
  d: DAY_MS,
  w: 7 * DAY_MS,
  m: 31 * DAY_MS,
  y: 366 * DAY_MS,
};

/** Names of the counted rules, with the calendar period of each. */
const PERIODS: Readonly<
  Record<'hourly' | 'daily' | 'weekly' | 'monthly' | 'yearly', (time: Date) => string>
> = {
  hourly: (time) => time.toISOString().slice(0, 13),
  daily: (time) => time.toISOString().slice(0, 10),
  weekly: isoWeek,
  monthly: (time) => time.toISOString().slice(0, 7),
  yearly: (time) => time.toISOString().slice(0, 4),
};

/** Parses `daily 7, weekly 4, within 30d`. Throws a BackupError for a policy that would keep nothing. */
export function parsePolicy(text: string): KeepPolicy {
  const policy: Record<string, number> = {};
  for (const rule of text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')) {
    const [, name = '', count = ''] = /^(\w+)[ =]+(\w+)$/.exec(rule) ?? [];
    if (name === 'within') policy['withinMs'] = parseDuration(count);
    else if ((name === 'last' || Object.hasOwn(PERIODS, name)) && /^\d{1,6}$/.test(count))
      policy[name] = Number(count);
    else
      throw new BackupError(
        `${JSON.stringify(rule)} is not a rule; write for example ${JSON.stringify(DEFAULT_KEEP)} or "within 30d".`,
      );
  }
  refuseEmpty(policy);
  return policy;
}

/** Parses `12h`, `30d`, `8w`, `6m` or `2y` into milliseconds. Throws a BackupError. */
export function parseDuration(text: string): number {
  const [, count, unit = ''] = /^(\d{1,6})([hdwmy])$/.exec(text) ?? [];
  const unitMs = UNITS_MS[unit];
  if (count === undefined || unitMs === undefined)
    throw new BackupError(
      `${JSON.stringify(text)} is not a duration; write for example 12h, 30d, 8w, 6m or 2y.`,
    );
  return Number(count) * unitMs;
}

/** A policy without a rule, or with zeros only, would remove everything. */
export function refuseEmpty(policy: KeepPolicy): void {
  if (Object.values(policy).every((value) => value === 0))
    throw new BackupError('The policy keeps nothing; give at least one rule with a number above 0.');
}

/**
 * Judges all snapshots, or those of `databases`, and without `databases` the instance sections too. A section
 * that stays keeps its snapshots.
 */
export async function forgetByPolicy(
  repository: Repository,
  policy: KeepPolicy,
  databases: readonly string[] = [],
): Promise<ForgetPlan> {
  const sections = await listInstances(repository);
  const instances =
    databases.length > 0
      ? sections.map((snapshot) => ({ snapshot, reasons: ['not chosen'] }))
      : judge(sections, policy);
  const holders = new Map(
    instances.flatMap(({ snapshot: { id, snapshots }, reasons }) =>
      reasons.length === 0 ? [] : Object.values(snapshots).map((held) => [held, id] as const),
    ),
  );
  const groups = new Map<string, Snapshot[]>();
  for (const snapshot of await listSnapshots(repository)) {
    if (databases.length > 0 && !databases.includes(snapshot.database)) continue;
    const group = groups.get(snapshot.database);
    if (group === undefined) groups.set(snapshot.database, [snapshot]);
    else group.push(snapshot);
  }
  const verdicts = new Map<string, readonly Verdict[]>();
  for (const [database, group] of groups)
    verdicts.set(
      database,
      judge(group, policy).map(({ snapshot, reasons }) => {
        const holder = holders.get(snapshot.id);
        return {
          snapshot,
          reasons: holder === undefined ? reasons : [...reasons, `instance section ${holder}`],
        };
      }),
    );
  return {
    databases: verdicts,
    instances: databases.length > 0 ? [] : instances,
    snapshots: [...verdicts.values()].flatMap((group) => removedOf(group)),
    sections: removedOf(instances),
  };
}

function removedOf<T extends Kept>(verdicts: readonly Verdict<T>[]): readonly T[] {
  return verdicts.flatMap(({ snapshot, reasons }) => (reasons.length === 0 ? [snapshot] : []));
}

/** Removes what a plan does not keep: the sections first, so that none names a snapshot that is gone. */
export async function removeForgotten(
  repository: Repository,
  lock: Lock,
  { sections, snapshots }: ForgetPlan,
): Promise<void> {
  await removeInstances(repository, lock, sections);
  await removeSnapshots(repository, lock, snapshots);
}

/** Nobody knows when it was made. It is not counted: it would push out what is made after it. */
const IN_FUTURE = ['in the future: a clock was wrong'];

/** Judges the snapshots of one database. `snapshots` are sorted, oldest first. */
export function judge<T extends Kept>(snapshots: readonly T[], policy: KeepPolicy): readonly Verdict<T>[] {
  refuseEmpty(policy);
  const newestFirst = snapshots.filter((one) => !isInFuture(one)).reverse();
  const reasons = new Map<string, string[]>(newestFirst.map(({ id }) => [id, []]));
  const keep = ({ id }: Kept, reason: string): void => void reasons.get(id)?.push(reason);
  newestFirst
    .slice(0, policy.last ?? 0)
    .forEach((one, at) => keep(one, `last ${at + 1} of ${policy.last ?? 0}`));
  for (const [name, periodOf] of Object.entries(PERIODS)) {
    const wanted = policy[name as keyof typeof PERIODS] ?? 0;
    const seen = new Set<string>();
    for (const one of newestFirst) {
      const period = periodOf(new Date(one.started));
      if (seen.has(period) || seen.size >= wanted) continue;
      seen.add(period);
      keep(one, `${name} ${period}`);
    }
  }
  const newest = newestFirst[0];
  // Counted from the newest snapshot, not from the clock: a wrong clock must not remove everything.
  for (const one of newestFirst)
    if (newest !== undefined && Date.parse(newest.started) - Date.parse(one.started) < (policy.withinMs ?? 0))
      keep(one, `within ${(policy.withinMs ?? 0) / DAY_MS} days`);
  const complete = newestFirst.find(({ complete: isComplete }) => isComplete);
  // An incomplete backup must not push out the last one that holds everything.
  if (complete !== undefined && reasons.get(complete.id)?.length === 0) keep(complete, 'last complete one');
  return snapshots.map((snapshot) => ({ snapshot, reasons: reasons.get(snapshot.id) ?? IN_FUTURE }));
}

/** Removes the manifests of these snapshots. */
export async function removeSnapshots(
  repository: Repository,
  lock: Lock,
  snapshots: readonly Snapshot[],
): Promise<void> {
  for (const { id } of snapshots) {
    await lock.check();
    await rm(join(repository.folder, 'snapshots', id), { force: true });
    await rm(join(repository.folder, 'verified', id), { force: true });
  }
}

/** `2026-W48` by ISO 8601: the week belongs to the year of its Thursday. */
function isoWeek(time: Date): string {
  const day = new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth(), time.getUTCDate()));
  day.setUTCDate(day.getUTCDate() + 4 - (day.getUTCDay() || 7));
  const week = Math.ceil(((day.getTime() - Date.UTC(day.getUTCFullYear(), 0, 1)) / DAY_MS + 1) / 7);
  return `${day.getUTCFullYear()}-W${String(week).padStart(2, '0')}`;
}
