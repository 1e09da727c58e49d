// Decides which snapshots a policy keeps, and removes the others. The data stay until prune.ts removes them.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupError } from './errors.ts';
import { type Lock } from './lock.ts';
import { type Repository } from './repository.ts';
import { type Snapshot } from './snapshot.ts';

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

export interface Verdict {
  readonly snapshot: Snapshot;
  /** Why it stays; none if it is removed. */
  readonly reasons: readonly string[];
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

/** Judges the snapshots of one database. `snapshots` are sorted, oldest first. */
export function judge(snapshots: readonly Snapshot[], policy: KeepPolicy): readonly Verdict[] {
  refuseEmpty(policy);
  const reasons = new Map<string, string[]>(snapshots.map(({ id }) => [id, []]));
  const newestFirst = [...snapshots].reverse();
  const keep = ({ id }: Snapshot, reason: string): void => void reasons.get(id)?.push(reason);
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
  return snapshots.map((snapshot) => ({ snapshot, reasons: reasons.get(snapshot.id) ?? [] }));
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
