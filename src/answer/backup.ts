// Answers the owner's requests for backups: status, snapshots, and jobs.
import { type Response } from 'express';
import { type Job } from '../backup/job.ts';
import { type JobQueue } from '../backup/job-queue.ts';
import { type QuestionAnswer } from '../backup/questions.ts';
import { RefusedQuestion, type QuestionProcess } from '../backup/process-client.ts';
import { type FailureKind, type JobRequest, type Question } from '../backup/process-protocol.ts';
import { type BackupScheduler } from '../backup/scheduler.ts';
import { type BodyReader } from '../body/read.ts';
import { type Context, known } from '../context.ts';
import { BadRequest, Conflict, HttpError, NotFound } from '../http-errors.ts';
import { requireStillPermitted } from '../revocation/after-wait.ts';
import { type IsStillPermitted } from '../revocation/revocation-watch.ts';
import { sendJson } from '../respond.ts';
import {
  fieldsOf,
  optionalTextIn,
  parametersOf,
  refuseOwn,
  restoreTarget,
  textIn,
} from './backup-request.ts';
import { type Answers } from './index.ts';

export interface BackupDeps {
  readonly bodies: BodyReader;
  /** Undefined if `backup_repository` is not set. */
  readonly jobs: JobQueue | undefined;
  readonly questions: Pick<QuestionProcess, 'ask'> | undefined;
  readonly scheduler: Pick<BackupScheduler, 'next'> | undefined;
  /** The settings backup_schedule and backup_keep. */
  readonly schedule: string;
  readonly keep: string;
  readonly storeDatabase: string;
  readonly isStillPermitted: IsStillPermitted;
}

const NO_REPOSITORY =
  'Backups are off here: set backup_repository to the folder of the repository, the same on every replica.';
const DEFAULT_LIMIT = 1000;
const MAX_LIMIT = 10_000;
const MAX_PATTERNS = 1000;

type BackupAnswers = Pick<
  Answers,
  | 'backup-status'
  | 'backup-snapshots'
  | 'backup-run'
  | 'backup-restore'
  | 'backup-verify'
  | 'backup-jobs'
  | 'backup-job'
>;

/** Creates the handlers. Without `backup_repository` they answer 409, and the status says so. */
export function backupHandlers(deps: BackupDeps): BackupAnswers {
  return {
    async 'backup-status'(_req, res, context) {
      parametersOf(context, []);
      sendJson(res, 200, await statusOf(deps));
    },
    async 'backup-snapshots'(_req, res, context) {
      const { status, text } = await ask(deps, snapshotQuestion(context));
      sendJson(res, status, JSON.parse(text));
    },
    async 'backup-run'(req, res, context) {
      const fields = await fieldsOf(deps.bodies, [req, res], ['databases'], false);
      const databases = patternsIn(fields['databases']);
      for (const pattern of databases) refuseOwn(pattern, deps.storeDatabase);
      await submit(deps, res, context, { kind: 'backup', databases });
    },
    async 'backup-restore'(req, res, context) {
      const fields = await fieldsOf(deps.bodies, [req, res], ['database', 'snapshot', 'to']);
      const database = refuseOwn(textIn(fields, 'database'), deps.storeDatabase);
      const to = restoreTarget(textIn(fields, 'to'), deps.storeDatabase);
      if (to === database)
        throw new Conflict('A restore makes a new database: `to` must be another name than `database`.');
      const snapshot = textIn(fields, 'snapshot');
      await submit(deps, res, context, { kind: 'restore', database, snapshot, to });
    },
    async 'backup-verify'(req, res, context) {
      const fields = await fieldsOf(deps.bodies, [req, res], ['database', 'snapshot'], false);
      const database = optionalTextIn(fields, 'database');
      const snapshot = optionalTextIn(fields, 'snapshot');
      if (snapshot !== undefined && database === undefined)
        throw new BadRequest('`snapshot` needs `database`');
      if (database !== undefined) refuseOwn(database, deps.storeDatabase);
      await submit(deps, res, context, {
        kind: 'verify',
        ...(database === undefined ? {} : { database }),
        ...(snapshot === undefined ? {} : { snapshot }),
      });
    },
    async 'backup-jobs'(_req, res, context) {
      parametersOf(context, []);
      sendJson(res, 200, { jobs: await jobsOf(deps).list() });
    },
    async 'backup-job'(_req, res, context) {
      parametersOf(context, []);
      const id = known(context.target, 'target').segments.at(-1) ?? '';
      const job = await jobsOf(deps).read(id);
      if (job === undefined) throw new NotFound('There is no such job.');
      sendJson(res, 200, job);
    },
  };
}

function jobsOf({ jobs }: BackupDeps): JobQueue {
  if (jobs === undefined) throw new Conflict(NO_REPOSITORY, 'no_backup_repository');
  return jobs;
}

/** Asks the backup process. Throws its refusals as HTTP errors. */
export async function ask(
  { questions }: Pick<BackupDeps, 'questions'>,
  question: Question,
): Promise<QuestionAnswer> {
  if (questions === undefined) throw new Conflict(NO_REPOSITORY, 'no_backup_repository');
  try {
    return await questions.ask(question);
  } catch (error) {
    if (error instanceof RefusedQuestion) throw refusalOf(error);
    throw error;
  }
}

const STATUS: Readonly<Record<FailureKind, readonly [status: number, error: string]>> = {
  missing: [404, 'not_found'],
  forbidden: [403, 'forbidden'],
  busy: [409, 'conflict'],
  setup: [409, 'no_backup_repository'],
  damaged: [500, 'backup_damaged'],
  couchdb: [503, 'service_unavailable'],
  cancelled: [503, 'service_unavailable'],
  failed: [500, 'backup_failed'],
};

function refusalOf({ failure }: RefusedQuestion): HttpError {
  const [status, error] = STATUS[failure.kind];
  return new HttpError(status, error, failure.reason);
}

async function statusOf(deps: BackupDeps): Promise<object> {
  if (deps.jobs === undefined) return { enabled: false, reason: NO_REPOSITORY };
  const jobs = await deps.jobs.list();
  const open = jobs.filter(({ state }) => state === 'queued' || state === 'running');
  const { scheduler, schedule: setting, keep } = deps;
  const schedule =
    scheduler === undefined ? null : { setting, next: scheduler.next(jobs).toISOString(), keep };
  const lastJob = jobs.find((job) => !open.includes(job)) ?? null;
  const common = { enabled: true, schedule, running: open, last_job: lastJob };
  try {
    const { text } = await ask(deps, { kind: 'overview' });
    return { ...common, ...(JSON.parse(text) as object) };
  } catch (error) {
    // Before the first backup there is no repository; the status must say so, not fail.
    if (!(error instanceof HttpError) || error.status === 503) throw error;
    const none = { repository: null, last_success: null, databases: [], damages: [] };
    return { ...common, ...none, reason: error.reason };
  }
}

function snapshotQuestion(context: Context): Question {
  const parameters = parametersOf(context, ['database', 'limit', 'before']);
  const limitText = parameters.get('limit') ?? String(DEFAULT_LIMIT);
  const limit = /^\d{1,6}$/.test(limitText) ? Number(limitText) : 0;
  if (limit < 1 || limit > MAX_LIMIT) throw new BadRequest(`\`limit\` must be from 1 to ${MAX_LIMIT}`);
  const [database, before] = [parameters.get('database'), parameters.get('before')];
  return {
    kind: 'snapshots',
    limit,
    ...(database === undefined ? {} : { database }),
    ...(before === undefined ? {} : { before }),
  };
}

function patternsIn(value: unknown): readonly string[] {
  if (value === undefined) return [];
  const isList =
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= MAX_PATTERNS &&
    value.every((one) => typeof one === 'string' && one !== '');
  if (!isList) throw new BadRequest('`databases` must be a list of names; `*` stands for any characters');
  return value as readonly string[];
}

/** Takes the job in and answers 202 with it. */
async function submit(deps: BackupDeps, res: Response, context: Context, request: JobRequest): Promise<void> {
  await requireStillPermitted(deps.isStillPermitted, context);
  const { principal } = known(context.identified, 'identified');
  const job: Job = await jobsOf(deps).submit(request, principal.name, context.id);
  context.outcome.change = { action: ACTIONS[request.kind], job: job.id, ...facts(request) };
  sendJson(res, 202, job, { Location: `/_api/v2/backup/jobs/${job.id}` });
}

const ACTIONS = { backup: 'run backup', restore: 'restore database', verify: 'verify backup' } as const;

function facts({ kind: _, ...request }: JobRequest): object {
  return request;
}
