// Takes jobs, and runs them one after the other in backup processes: each in one process of one replica.
import { type WriteLog } from '../couch/outage.ts';
import { Conflict, Unavailable } from '../http-errors.ts';
import { type Store } from '../couch/store.ts';
import { isOpen, JOB_PREFIX, LANES, laneOf, newJob, type Job, type Lane } from './job.ts';
import { JobSupervisor } from './job-supervisor.ts';
import { JobStore, type StoredJob } from './job-store.ts';
import { interrupted } from './job-texts.ts';
import { Lease, type HeldLease } from './lease.ts';
import { type ProcessOptions } from './process-client.ts';
import { type JobRequest } from './process-protocol.ts';

export interface JobQueueOptions {
  readonly store: Store;
  readonly process: ProcessOptions;
  readonly leaseMs: number;
  readonly report: WriteLog;
  /** Reports what the operator should look at. */
  readonly warn: WriteLog;
}

const POLL_MS = 10_000;

/** A repository is configured: jobs can be asked for, and this process runs them. */
export class JobQueue {
  readonly #options: JobQueueOptions;
  readonly #jobs: JobStore;
  readonly #leases: Readonly<Record<Lane, Lease>>;
  readonly #running = new Map<Lane, JobSupervisor>();
  readonly #starting = new Map<Lane, Promise<void>>();
  #timer: NodeJS.Timeout | undefined = undefined;
  #isClosed = false;

  constructor(options: JobQueueOptions) {
    this.#options = options;
    this.#jobs = new JobStore(options.store);
    const { store, leaseMs: ttlMs } = options;
    this.#leases = {
      write: new Lease({ store, name: 'write', ttlMs }),
      read: new Lease({ store, name: 'read', ttlMs }),
    };
    // A job that another process has taken in: whoever has time runs it.
    options.store.onRow(({ id, doc }) => {
      if (id.startsWith(JOB_PREFIX) && doc?.['state'] === 'queued') this.#startAll();
    });
  }

  start(): void {
    this.#timer = setInterval(() => this.#startAll(), POLL_MS).unref();
  }

  /** Ends running jobs after their batch. They are interrupted, and a later job goes on from there. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await Promise.all(this.#starting.values());
    await Promise.all([...this.#running.values()].map((run) => run.stop('Couchgate was stopped.')));
  }

  /**
   * Takes a job in. Throws 409 if one of its lane is open, and `Unavailable`. A job of a process that died
   * does not block: it is known to be interrupted as soon as its lease has expired.
   */
  async submit(request: JobRequest, by: string, requestId?: string): Promise<Job> {
    const job = newJob(request, by, requestId, new Date());
    const open = (await this.list()).find((one) => isOpen(one) && laneOf(one) === laneOf(job));
    if (open !== undefined)
      throw new Conflict(
        `Job ${open.id} (${open.kind}) is ${open.state} since ${open.started ?? open.created}; wait until it has ended.`,
      );
    const stored = await this.#jobs.write(job, undefined);
    if (stored === undefined) throw new Unavailable('The job could not be stored.');
    void this.#jobs.prune().catch(this.#unavailable);
    await this.#startLane(laneOf(job));
    return (await this.read(job.id)) ?? job;
  }

  /**
   * Takes a job of the schedule in, unless another process has, or a job of its lane is open. Throws
   * `Unavailable`.
   */
  async submitOnce(id: string, request: JobRequest, by: string): Promise<void> {
    const job = { ...newJob(request, by, undefined, new Date()), id };
    if ((await this.list()).some((one) => isOpen(one) && laneOf(one) === laneOf(job))) return;
    if ((await this.#jobs.write(job, undefined)) === undefined) return;
    void this.#jobs.prune().catch(this.#unavailable);
    await this.#startLane(laneOf(job));
  }

  /** All jobs, newest first. Throws `Unavailable`. */
  async list(): Promise<readonly Job[]> {
    return this.#shown(await this.#jobs.list());
  }

  /** Throws `Unavailable`. */
  async read(id: string): Promise<Job | undefined> {
    const stored = await this.#jobs.read(id);
    return stored === undefined ? undefined : (await this.#shown([stored]))[0];
  }

  /**
   * A running job whose lease nobody holds any more is interrupted, whether somebody has written it down or
   * not. A job writes its end before it releases its lease: what the record says after that decides.
   */
  async #shown(stored: readonly StoredJob[]): Promise<readonly Job[]> {
    const holders = await this.#holders(stored.map(({ job }) => job));
    return Promise.all(
      stored.map(async ({ job }) => {
        if (job.state !== 'running' || holders.get(laneOf(job)) === job.id) return job;
        const now = (await this.#jobs.read(job.id))?.job ?? job;
        return now.state === 'running' ? interrupted(now) : now;
      }),
    );
  }

  /** The job of the holder of each lane with a running job. */
  async #holders(jobs: readonly Job[]): Promise<ReadonlyMap<Lane, string | undefined>> {
    const lanes = LANES.filter((lane) => jobs.some((job) => job.state === 'running' && laneOf(job) === lane));
    const found = await Promise.all(
      lanes.map(async (lane) => [lane, await this.#leases[lane].holder()] as const),
    );
    return new Map(found);
  }

  #startAll(): void {
    for (const lane of LANES) void this.#startLane(lane);
  }

  /** Starts the oldest job of the lane that waits, if this process gets the lease. */
  #startLane(lane: Lane): Promise<void> {
    const present = this.#starting.get(lane);
    if (present !== undefined) return present;
    const starting = this.#tryLane(lane)
      .catch(this.#unavailable)
      .finally(() => this.#starting.delete(lane));
    this.#starting.set(lane, starting);
    return starting;
  }

  async #tryLane(lane: Lane): Promise<void> {
    if (this.#isClosed || this.#running.has(lane)) return;
    const open = (await this.#jobs.list()).filter(({ job }) => isOpen(job) && laneOf(job) === lane);
    const next = open.findLast(({ job }) => job.state === 'queued') ?? open[0];
    if (next === undefined) return;
    const lease = await this.#leases[lane].take(next.job.id);
    if (lease === undefined) return;
    const started = await this.#take(open, next);
    if (started === undefined) await lease.release();
    else this.#run(lane, started, lease);
  }

  /** Ends the jobs whose process is gone, and marks the next one as running here. */
  async #take(open: readonly StoredJob[], next: StoredJob): Promise<StoredJob | undefined> {
    for (const { job, rev } of open) {
      if (job.state !== 'running') continue;
      await this.#jobs.write(interrupted(job), rev);
      const fields = { job: job.id, kind: job.kind, process: job.process };
      this.#options.warn('backup job was interrupted: its process is gone', fields);
    }
    // Another process may have run it meanwhile; then its revision is another one.
    if (next.job.state !== 'queued') return undefined;
    return this.#jobs.write(JobSupervisor.started(next.job), next.rev);
  }

  #run(lane: Lane, stored: StoredJob, lease: HeldLease): void {
    const { process, report, warn } = this.#options;
    const run = new JobSupervisor({ process, report, warn, stored, lease, jobs: this.#jobs });
    this.#running.set(lane, run);
    void run.ended.then(() => {
      this.#running.delete(lane);
      if (!this.#isClosed) void this.#startLane(lane);
    });
  }

  readonly #unavailable = (error: unknown): void => {
    if (!(error instanceof Unavailable)) throw error;
    this.#options.warn('backup jobs cannot be read', { detail: error.detail ?? error.reason });
  };
}
