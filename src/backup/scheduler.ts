// Asks for scheduled backups. Every process of every replica does; the id of a job is its due time, so the
// store takes each only once.
import { type WriteLog } from '../couch/outage.ts';
import { Unavailable } from '../http-errors.ts';
import { isFutureTime } from './future.ts';
import { type Job } from './job.ts';
import { type JobQueue } from './job-queue.ts';
import { newestScheduled, scheduledId, scheduledIn } from './scheduled-job.ts';
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
    const last = newestScheduled(jobs, this.#now());
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
    const last = newestScheduled(all, this.#now());
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

  #reportFuture(jobs: readonly Job[]): void {
    const now = this.#now();
    const future = scheduledIn(jobs).find(({ due }) => isFutureTime(due.getTime(), now));
    if (future === undefined || future.job.id === this.#future) return;
    this.#future = future.job.id;
    const fields = { job: future.job.id, now: new Date(now).toISOString() };
    this.#options.report('scheduled backup is in the future: a clock is or was wrong', fields);
  }

  async #ask(due: Date, attempt: number): Promise<void> {
    const request = { kind: 'backup', databases: [], forget: this.#options.forget } as const;
    await this.#options.jobs.submitOnce(scheduledId(due, attempt), request, BY_SCHEDULE);
  }
}
