// Asks for scheduled backups. Every process of every replica does; the id of a job is its due time, so the
// store takes each only once.
import { type WriteLog } from '../couch/outage.ts';
import { Unavailable } from '../http-errors.ts';
import { isFutureTime, timeStamp } from './future.ts';
import { type Job } from './job.ts';
import { type JobQueue } from './job-queue.ts';
import { type Schedule } from '../config/schedule.ts';

export interface SchedulerOptions {
  readonly schedule: Schedule;
  readonly jobs: Pick<JobQueue, 'list' | 'submitOnce'>;
  readonly forget: boolean;
  readonly report: WriteLog;
  /** Milliseconds since 1970; injected by tests. */
  readonly now?: () => number;
  /** Time between two looks; injected by tests. */
  readonly pollMs?: number;
}

/** The name of the caller in jobs of the schedule. No user of CouchDB and no key can have it. */
export const BY_SCHEDULE = '(schedule)';

const POLL_MS = 15_000;
/** So often a run that was interrupted is started again. */
const MAX_ATTEMPTS = 5;

/** `20261128T030000000Z-schedule-1`: the due time and the attempt. */
const ID = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\d{3}Z-schedule-(\d+)$/;

export class BackupScheduler {
  readonly #options: SchedulerOptions;
  readonly #now: () => number;
  /** A cron schedule without a run yet counts from here. */
  readonly #since: Date;
  #timer: NodeJS.Timeout | undefined = undefined;
  #looking: Promise<void> | undefined = undefined;
  #missed = 0;
  /** The last job of the future that was reported. */
  #future = '';
  #isClosed = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#since = new Date(this.#now());
  }

  /** Due times that passed without a run, because no process was up or another run took too long. */
  get missed(): number {
    return this.#missed;
  }

  start(): void {
    if (this.#isClosed) return;
    const { pollMs = POLL_MS } = this.#options;
    // Jitter, so that replicas that start together do not look together.
    const wait = pollMs * (0.5 + Math.random());
    this.#timer = setTimeout(() => void this.look().then(() => this.start()), wait).unref();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** The next due time, given the jobs so far. */
  next(jobs: readonly Job[]): Date {
    const last = this.#newest(jobs);
    if (last !== undefined) return this.#options.schedule.next(last.due);
    const { schedule } = this.#options;
    return schedule.first(new Date(this.#now())) ?? schedule.next(this.#since);
  }

  /** Asks for a backup if one is due, or if the last one was interrupted. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error: unknown) => {
        if (!(error instanceof Unavailable)) throw error;
      })
      .finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { jobs, schedule, report } = this.#options;
    const all = await jobs.list();
    this.#reportFuture(all);
    const last = this.#newest(all);
    if (last !== undefined && last.job.state === 'interrupted' && last.attempt < MAX_ATTEMPTS) {
      await this.#ask(last.due, last.attempt + 1);
      return;
    }
    const now = this.#now();
    let due = this.next(all);
    if (due.getTime() > now) return;
    // Of several due times that have passed, the newest is run.
    let passed = 0;
    for (let later = schedule.next(due); later.getTime() <= now; later = schedule.next(later)) {
      due = later;
      passed += 1;
    }
    if (passed > 0) {
      this.#missed += passed;
      report('scheduled backups were missed', { missed: passed, due: due.toISOString() });
    }
    await this.#ask(due, 1);
  }

  /** The newest due time, and of that the newest attempt. */
  #newest(jobs: readonly Job[]): ScheduledJob | undefined {
    const now = this.#now();
    // A replica whose clock was ahead asked for the others: no backup would be due until then.
    const known = scheduledIn(jobs).filter(({ due }) => !isFutureTime(due.getTime(), now));
    return known.reduce<ScheduledJob | undefined>(
      (newest, one) => (newest === undefined || isLater(one, newest) ? one : newest),
      undefined,
    );
  }

  #reportFuture(jobs: readonly Job[]): void {
    const now = this.#now();
    const future = scheduledIn(jobs).find(({ due }) => isFutureTime(due.getTime(), now));
    if (future === undefined || future.job.id === this.#future) return;
    this.#future = future.job.id;
    const fields = { job: future.job.id, now: new Date(now).toISOString() };
    this.#options.report('scheduled backup is in the future: a clock is or was wrong', fields);
  }

  async #ask(due: Date, attempt: number): Promise<void> {
    const id = `${timeStamp(due)}-schedule-${attempt}`;
    const request = { kind: 'backup', databases: [], forget: this.#options.forget } as const;
    await this.#options.jobs.submitOnce(id, request, BY_SCHEDULE);
  }
}

interface ScheduledJob {
  readonly job: Job;
  readonly due: Date;
  readonly attempt: number;
}

/** The jobs that the schedule has asked for. */
function scheduledIn(jobs: readonly Job[]): readonly ScheduledJob[] {
  return jobs.flatMap((job) => {
    const match = ID.exec(job.id);
    if (match === null) return [];
    const [year, month, day, hour, minute, second, attempt] = match.slice(1).map(Number);
    const due = new Date(Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour ?? 0, minute ?? 0, second ?? 0));
    return [{ job, due, attempt: attempt ?? 1 }];
  });
}

function isLater(a: ScheduledJob, b: ScheduledJob): boolean {
  const difference = a.due.getTime() - b.due.getTime();
  return difference > 0 || (difference === 0 && a.attempt > b.attempt);
}
