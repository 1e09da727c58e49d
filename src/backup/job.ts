// The record of a job: what was asked, how far it is, and what it came to. It is a document of the store, so
// every process of every replica shows the same, also after a restart.
import { randomBytes } from 'node:crypto';
import { type StoredDocument } from '../couch/store.ts';
import { timeStamp } from './future.ts';
import { type DatabaseResult, type JobRequest } from './process-protocol.ts';

/**
 * `incomplete` = something could not be read; `interrupted` = its process ended, or lost the lease, before
 * the job did.
 */
export type JobState = 'queued' | 'running' | 'done' | 'incomplete' | 'failed' | 'interrupted';

export interface JobProgress {
  readonly database: string;
  readonly action: 'full' | 'incremental' | 'restore' | 'check';
  /** Documents so far, and at most. */
  readonly documents: number;
  readonly total: number;
  readonly bytes: number;
  /** Changes that remain. */
  readonly pending: number;
}

export interface Job {
  readonly id: string;
  readonly kind: JobRequest['kind'];
  readonly state: JobState;
  /** Name of the owner, or `schedule`. */
  readonly by: string;
  readonly request_id?: string;
  readonly request: JobRequest;
  /** ISO 8601, as are all times. */
  readonly created: string;
  readonly started?: string;
  readonly finished?: string;
  /** `host:pid` of the process that runs it. */
  readonly process?: string;
  /** Exit code of the command that does the same. */
  readonly exit_code?: number;
  readonly reason?: string;
  readonly progress?: JobProgress | undefined;
  readonly databases: { readonly done: number; readonly incomplete: number; readonly failed: number };
  /** Failures are kept first. */
  readonly results: readonly DatabaseResult[];
  /** Databases whose result was left out of `results`. */
  readonly results_left_out: number;
}

/** Jobs that must not run at the same time share a lane. */
export type Lane = 'write' | 'read';

export const LANES: readonly Lane[] = ['write', 'read'];

/** A backup writes to the repository; the others read it, and write to CouchDB. */
export function laneOf({ kind }: Pick<Job, 'kind'>): Lane {
  return kind === 'backup' ? 'write' : 'read';
}

export const JOB_PREFIX = 'backup_job:';
const MAX_RESULTS = 100;

/** Ids sort by time. */
export function newJob(request: JobRequest, by: string, requestId: string | undefined, now: Date): Job {
  return {
    id: `${timeStamp(now)}-${randomBytes(4).toString('hex')}`,
    kind: request.kind,
    state: 'queued',
    by,
    ...(requestId === undefined ? {} : { request_id: requestId }),
    request,
    created: now.toISOString(),
    databases: { done: 0, incomplete: 0, failed: 0 },
    results: [],
    results_left_out: 0,
  };
}

/** Adds the result of a database. */
export function withResult(job: Job, result: DatabaseResult): Job {
  const { databases, results } = job;
  const counts = { ...databases, [result.state]: databases[result.state] + 1 };
  // Failures first: they must not be left out.
  const rank = (one: DatabaseResult): number => (one.state === 'done' ? 1 : 0);
  const kept = [...results, result].sort((a, b) => rank(a) - rank(b));
  const left = Math.max(0, kept.length - MAX_RESULTS);
  return {
    ...job,
    databases: counts,
    results: kept.slice(0, MAX_RESULTS),
    results_left_out: job.results_left_out + left,
  };
}

export function documentOf(job: Job, rev: string | undefined): StoredDocument {
  return { _id: `${JOB_PREFIX}${job.id}`, ...(rev === undefined ? {} : { _rev: rev }), ...job };
}

/** Reads a stored job; undefined for anything else. */
export function jobOf(document: StoredDocument): Job | undefined {
  const fields = Object.entries(document).filter(([name]) => !name.startsWith('_'));
  const job = Object.fromEntries(fields) as unknown as Job;
  return document._id === `${JOB_PREFIX}${job.id}` && typeof job.state === 'string' ? job : undefined;
}

export function isOpen({ state }: Pick<Job, 'state'>): boolean {
  return state === 'queued' || state === 'running';
}
