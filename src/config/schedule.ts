// Parses when scheduled backups are due: a cron expression in UTC, or an interval.
import { Cron } from 'croner';

export interface Schedule {
  /** The first due time after `time`. */
  next(time: Date): Date;
  /** The due time at or before `time`, from which an interval starts; undefined for a cron expression. */
  first(time: Date): Date | undefined;
}

const INTERVAL = /^(\d{1,6})([mhd])$/;
const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const MIN_INTERVAL_MS = 5 * 60_000;

/**
 * Parses `30m`, `6h`, `1d`, or a cron expression such as `0 3 * * *`. Undefined for an empty text. Throws a
 * TypeError with a sentence for everything else, and for a time that never comes.
 */
export function parseSchedule(text: string): Schedule | undefined {
  if (text === '') return undefined;
  const [, count, unit = ''] = INTERVAL.exec(text) ?? [];
  if (count !== undefined) {
    const ms = Number(count) * (UNIT_MS[unit] ?? 0);
    if (ms < MIN_INTERVAL_MS) throw new TypeError('is shorter than 5m');
    // Due times are multiples of the interval, so that every replica has the same ones.
    const slotOf = (time: Date): number => Math.floor(time.getTime() / ms) * ms;
    return { next: (time) => new Date(slotOf(time) + ms), first: (time) => new Date(slotOf(time)) };
  }
  let cron: Cron;
  try {
    cron = new Cron(text, { timezone: 'UTC', paused: true, mode: '5-part' });
  } catch {
    throw new TypeError('is neither an interval such as 6h nor a cron expression such as `0 3 * * *`');
  }
  if (cron.nextRun() === null) throw new TypeError('is a time that never comes');
  return {
    first: () => undefined,
    next(time) {
      const next = cron.nextRun(time);
      if (next === null) throw new Error('a schedule has no next run');
      return next;
    },
  };
}
