// Starts the backup process of one job, holds the lease for it, and keeps the record of the job up to date.
import { type WriteLog } from '../couch/outage.ts';
import { Unavailable } from '../http-errors.ts';
import { type BackupEvent } from './events.ts';
import { withResult, type Job, type JobState } from './job.ts';
import { interrupted } from './job-texts.ts';
import { type JobStore, type StoredJob } from './job-store.ts';
import { processName, type HeldLease } from './lease.ts';
import { type DatabaseResult } from './process-protocol.ts';
import { startJob, type JobEnd, type ProcessOptions, type RunningJob } from './process-client.ts';

export interface JobSupervisorParts {
  readonly process: ProcessOptions;
  readonly jobs: JobStore;
  readonly stored: StoredJob;
  readonly lease: HeldLease;
  readonly report: WriteLog;
  readonly warn: WriteLog;
}

/** Databases that the log names; the job names more. */
const LOGGED_FAILURES = 10;
/** The record of a running job is written at most this often: every replica reads each revision. */
const WRITE_MS = 2000;
/** How long the end of a job is tried to be written. */
const LAST_WRITE_TRIES = 10;
const LAST_WRITE_PAUSE_MS = 3000;

export class JobSupervisor {
  readonly #parts: JobSupervisorParts;
  readonly #process: RunningJob;
  /** Resolves with the job as it ended; never rejects. */
  readonly ended: Promise<Job>;
  #job: Job;
  #rev: string;
  #writing: Promise<void> | undefined = undefined;
  #writtenAt = -Infinity;
  #stopped: string | undefined = undefined;

  constructor(parts: JobSupervisorParts) {
    this.#parts = parts;
    this.#job = parts.stored.job;
    this.#rev = parts.stored.rev;
    this.#process = startJob(parts.process, this.#job.request, {
      onMessage: (message) => {
        if (message.type === 'result') this.#job = withResult(this.#job, message.result);
        else this.#takeEvent(message.event);
        this.#writeSoon();
      },
    });
    parts.lease.onLost(() => void this.stop('The lease of the job was lost.'));
    this.ended = this.#process.ended.then((end) => this.#finish(end));
  }

  /** The record of a job that starts in this process. */
  static started(job: Job): Job {
    return { ...job, state: 'running', started: new Date().toISOString(), process: processName() };
  }

  /** Ends the job after its batch. Resolves when it has ended. */
  async stop(reason: string): Promise<void> {
    this.#stopped ??= reason;
    this.#process.cancel();
    await this.ended;
  }

  #takeEvent(event: BackupEvent): void {
    if (event.type === 'start') {
      const { database, action, total } = event;
      const progress = { database, action, documents: 0, total, bytes: 0, pending: 0 };
      this.#job = { ...this.#job, progress };
    } else if (event.type === 'progress' && this.#job.progress !== undefined) {
      const { documents, bytes, pending } = event;
      this.#job = { ...this.#job, progress: { ...this.#job.progress, documents, bytes, pending } };
    } else if (event.type === 'notice') {
      const { report, warn } = this.#parts;
      const say = event.isWarning === true ? warn : report;
      say('backup job', {
        job: this.#job.id,
        database: event.database,
        notice: event.message,
      });
    }
  }

  #writeSoon(): void {
    if (this.#writing !== undefined || performance.now() - this.#writtenAt < WRITE_MS) return;
    this.#writing = this.#write()
      .then(() => undefined)
      .finally(() => (this.#writing = undefined));
  }

  /** False if the store is away. A record that somebody else has changed is not ours any more. */
  async #write(): Promise<boolean> {
    this.#writtenAt = performance.now();
    try {
      const stored = await this.#parts.jobs.write(this.#job, this.#rev);
      if (stored === undefined) void this.stop('Another process has taken the job over.');
      else this.#rev = stored.rev;
      return true;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      return false;
    }
  }

  async #finish({ exitCode, failure }: JobEnd): Promise<Job> {
    await this.#writing;
    const { lease, report, warn } = this.#parts;
    const facts = { finished: new Date().toISOString(), exit_code: exitCode };
    const job = { ...this.#job, progress: undefined };
    if (this.#stopped !== undefined) this.#job = { ...interrupted(job, this.#stopped), ...facts };
    else if (failure?.kind === 'cancelled') this.#job = { ...interrupted(job, failure.reason), ...facts };
    else {
      const reason = failure === undefined ? {} : { reason: failure.reason };
      this.#job = { ...job, state: stateOf(exitCode), ...facts, ...reason };
    }
    for (let tries = 0; tries < LAST_WRITE_TRIES && !(await this.#write()); tries += 1)
      await new Promise((resolve) => setTimeout(resolve, LAST_WRITE_PAUSE_MS).unref());
    await lease.release();
    const { id, kind, state, reason, databases, results } = this.#job;
    const fields = { job: id, kind, state, exit_code: exitCode, databases };
    if (state === 'done') report('backup job has ended', fields);
    else
      warn('backup job has not succeeded', {
        ...fields,
        ...(reason === undefined ? {} : { reason }),
        failures: failuresIn(results),
      });
    return this.#job;
  }
}

/** The first databases that failed or are incomplete, each with its reason or its first problem. */
function failuresIn(results: readonly DatabaseResult[]): readonly object[] {
  return results
    .filter(({ state }) => state !== 'done')
    .slice(0, LOGGED_FAILURES)
    .map(({ database, state, reason, problems }) => ({
      database,
      state,
      reason: reason ?? problems?.[0]?.reason ?? '',
    }));
}

function stateOf(exitCode: number): JobState {
  if (exitCode === 0) return 'done';
  return exitCode === 3 ? 'incomplete' : 'failed';
}
