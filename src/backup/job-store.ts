// Reads and writes the records of jobs in the store.
import { type Store } from '../couch/store.ts';
import { newestScheduled } from './scheduled-job.ts';
import { documentOf, isOpen, JOB_PREFIX, jobOf, type Job } from './job.ts';

export interface StoredJob {
  readonly job: Job;
  readonly rev: string;
}

/** Older jobs are removed. */
const KEPT_JOBS = 100;

export class JobStore {
  readonly #store: Pick<Store, 'read' | 'write' | 'writeAll' | 'each'>;

  constructor(store: Pick<Store, 'read' | 'write' | 'writeAll' | 'each'>) {
    this.#store = store;
  }

  /** All jobs, newest first. Throws `Unavailable`, as do all functions below. */
  async list(): Promise<readonly StoredJob[]> {
    const found: StoredJob[] = [];
    await this.#store.each(JOB_PREFIX, (document) => {
      const job = jobOf(document);
      if (job !== undefined) found.push({ job, rev: document._rev ?? '' });
    });
    return found.reverse();
  }

  async read(id: string): Promise<StoredJob | undefined> {
    const document = await this.#store.read(`${JOB_PREFIX}${id}`);
    const job = document === undefined ? undefined : jobOf(document);
    return job === undefined ? undefined : { job, rev: document?._rev ?? '' };
  }

  /** Writes a job; undefined if another process has changed it since `rev`. */
  async write(job: Job, rev: string | undefined): Promise<StoredJob | undefined> {
    const outcome = await this.#store.write(documentOf(job, rev));
    return outcome.outcome === 'written' ? { job, rev: outcome.rev } : undefined;
  }

  /**
   * Removes the oldest jobs that have ended. The newest one of the schedule stays: without it, the schedule
   * would run the same due time again.
   */
  async prune(now = Date.now()): Promise<void> {
    const all = await this.list();
    const last = newestScheduled(
      all.map(({ job }) => job),
      now,
    );
    const old = all.slice(KEPT_JOBS).filter(({ job }) => !isOpen(job) && job.id !== last?.job.id);
    if (old.length === 0) return;
    await this.#store.writeAll(
      old.map(({ job, rev }) => ({ _id: `${JOB_PREFIX}${job.id}`, _rev: rev, _deleted: true })),
    );
  }
}
