// Names the jobs of the schedule by their due time, and finds the newest one.
import { isFutureTime, timeStamp } from './future.ts';
import { type Job } from './job.ts';

export interface ScheduledJob {
  readonly job: Job;
  readonly due: Date;
  readonly attempt: number;
}

/** `20261128T030000000Z-schedule-1`: the due time and the attempt. */
const ID = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\d{3}Z-schedule-(\d+)$/;

/** The id of a job of the schedule. */
export function scheduledId(due: Date, attempt: number): string {
  return `${timeStamp(due)}-schedule-${attempt}`;
}

/** The jobs that the schedule has asked for. */
export function scheduledIn(jobs: readonly Job[]): readonly ScheduledJob[] {
  return jobs.flatMap((job) => {
    const match = ID.exec(job.id);
    if (match === null) return [];
    const [year, month, day, hour, minute, second, attempt] = match.slice(1).map(Number);
    const due = new Date(Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour ?? 0, minute ?? 0, second ?? 0));
    return [{ job, due, attempt: attempt ?? 1 }];
  });
}

/** The newest due time, and of that the newest attempt. */
export function newestScheduled(jobs: readonly Job[], now: number): ScheduledJob | undefined {
  // A replica whose clock was ahead asked for the others: no backup would be due until then.
  const known = scheduledIn(jobs).filter(({ due }) => !isFutureTime(due.getTime(), now));
  return known.reduce<ScheduledJob | undefined>(
    (newest, one) => (newest === undefined || isLater(one, newest) ? one : newest),
    undefined,
  );
}

function isLater(a: ScheduledJob, b: ScheduledJob): boolean {
  const difference = a.due.getTime() - b.due.getTime();
  return difference > 0 || (difference === 0 && a.attempt > b.attempt);
}
