// Counts what the jobs of the store came to, by database, for the metrics.
import { type ChangeRow } from '../couch/couch.ts';
import { type StoredDocument } from '../couch/store.ts';
import { isFutureTime } from './future.ts';
import { isOpen, JOB_PREFIX, jobOf, type Job } from './job.ts';

export interface DatabaseNumbers {
  /** Seconds since 1970; undefined = no success is known. */
  lastSuccess: number | undefined;
  lastBytes: number;
  lastSeconds: number;
  /** Backups that failed or were incomplete, since this process started. */
  failures: number;
}

/** More databases than this are left out of the metrics. */
const MAX_DATABASES = 1000;

/** The backups of which this process knows, whoever ran them. */
export class JobMetrics {
  readonly databases = new Map<string, DatabaseNumbers>();
  readonly #counted = new Set<string>();
  /** Seconds since 1970. */
  lastRun: number | undefined = undefined;
  failedRuns = 0;

  /** Takes the jobs of the past: their failures are not counted again. */
  load(jobs: readonly Job[]): void {
    for (const job of jobs.toReversed()) this.#add(job, false);
  }

  onRow({ id, doc }: ChangeRow): void {
    if (!id.startsWith(JOB_PREFIX) || doc === undefined) return;
    const job = jobOf(doc as StoredDocument);
    if (job !== undefined) this.#add(job, true);
  }

  #add(job: Job, isNew: boolean): void {
    if (job.kind !== 'backup' || isOpen(job) || this.#counted.has(job.id)) return;
    this.#counted.add(job.id);
    const at = Date.parse(job.finished ?? job.created) / 1000;
    // A success of the future would hide that no other followed.
    const isFuture = isFutureTime(1000 * at);
    if (job.state === 'done' && isFuture) return;
    if (job.state === 'done') this.lastRun = Math.max(this.lastRun ?? 0, at);
    else if (isNew) this.failedRuns += 1;
    for (const { database, state, bytes = 0, seconds } of job.results) {
      const numbers = this.#numbersOf(database);
      if (numbers === undefined) continue;
      if (state !== 'done') {
        if (isNew) numbers.failures += 1;
        continue;
      }
      if (isFuture || (numbers.lastSuccess ?? 0) > at) continue;
      numbers.lastSuccess = at;
      numbers.lastBytes = bytes;
      numbers.lastSeconds = seconds;
    }
  }

  #numbersOf(database: string): DatabaseNumbers | undefined {
    const known = this.databases.get(database);
    if (known !== undefined || this.databases.size >= MAX_DATABASES) return known;
    const made = { lastSuccess: undefined, lastBytes: 0, lastSeconds: 0, failures: 0 };
    this.databases.set(database, made);
    return made;
  }
}
