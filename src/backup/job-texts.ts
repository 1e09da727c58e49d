// Says of a job that did not end by itself what is left of it.
import { type Job } from './job.ts';

/** The job as interrupted, with what the operator can do. */
export function interrupted(job: Job, reason = 'The process that ran this job is gone.'): Job {
  return { ...job, progress: undefined, state: 'interrupted', reason: `${reason} ${afterwards(job)}` };
}

function afterwards({ request }: Job): string {
  if (request.kind === 'backup') return 'The next backup continues where this one ended.';
  if (request.kind === 'verify') return 'A database couchgate-verify-… may be left; remove it.';
  return `The database ${JSON.stringify(request.to)} may be incomplete: delete it before you restore again.`;
}
