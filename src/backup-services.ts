// Builds the service of backups: the jobs, and the process that answers questions about the repository.
import { extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { JobMetrics } from './backup/job-metrics.ts';
import { JobQueue } from './backup/job-queue.ts';
import { QuestionProcess } from './backup/process-client.ts';
import { type ProcessSettings } from './backup/process-protocol.ts';
import { BackupScheduler } from './backup/scheduler.ts';
import { parseSchedule } from './config/schedule.ts';
import { Unavailable } from './http-errors.ts';
import { type OperationalLog } from './config/operational-log.ts';
import { type Settings } from './config/settings.ts';
import { type Store } from './couch/store.ts';

export interface Backups {
  /** Undefined if `backup_repository` is not set. */
  readonly jobs: JobQueue | undefined;
  readonly questions: QuestionProcess | undefined;
  /** Undefined if `backup_schedule` is not set. */
  readonly scheduler: BackupScheduler | undefined;
  readonly metrics: JobMetrics;
  start(): void;
  close(): Promise<void>;
}

export interface BackupTiming {
  /** A process that was killed holds its lease for this time. */
  readonly leaseMs: number;
  /** Time between two looks at the schedule. */
  readonly pollMs: number;
}

export interface BackupInputs {
  readonly settings: Settings;
  readonly nodeUrls: readonly string[];
  readonly jwtSecret: Buffer;
  readonly store: Store;
  readonly log: OperationalLog;
  /** PEM of the CA of https nodes. */
  readonly ca: string | undefined;
  readonly timing?: BackupTiming;
}

const TIMING: BackupTiming = { leaseMs: 60_000, pollMs: 15_000 };

/** Creates the service; it starts no process before the first job or question. */
export function openBackups(inputs: BackupInputs): Backups {
  const { settings, store, log, timing = TIMING } = inputs;
  const metrics = new JobMetrics();
  if (settings.backupRepository === '') return { ...NONE, metrics };
  const process = { program: programPath(), settings: settingsFor(inputs) };
  const report = (message: string, fields: object): void => log.info(fields, message);
  const jobs = new JobQueue({ store, process, leaseMs: timing.leaseMs, report, warn });
  const questions = new QuestionProcess(process);
  const schedule = parseSchedule(settings.backupSchedule);
  const scheduler =
    schedule === undefined
      ? undefined
      : new BackupScheduler({
          schedule,
          jobs,
          report: warn,
          pollMs: timing.pollMs,
          forget: settings.backupForget,
        });
  store.onRow((row) => metrics.onRow(row));
  store.onState((up) => {
    if (up) void jobs.list().then((all) => metrics.load(all), ignoreUnavailable);
  });
  return {
    jobs,
    questions,
    scheduler,
    metrics,
    start() {
      jobs.start();
      scheduler?.start();
    },
    async close() {
      scheduler?.close();
      await jobs.close();
      questions.close();
    },
  };

  function warn(message: string, fields: object): void {
    log.warn(fields, message);
  }
}

const NONE = {
  jobs: undefined,
  questions: undefined,
  scheduler: undefined,
  start: () => undefined,
  close: () => Promise.resolve(),
};

function ignoreUnavailable(error: unknown): void {
  if (!(error instanceof Unavailable)) throw error;
}

/** The extension is that of this file: `.ts` in tests, `.js` in a build. */
function programPath(): string {
  const here = fileURLToPath(import.meta.url);
  return fileURLToPath(new URL(`./backup-process${extname(here)}`, import.meta.url));
}

function settingsFor({ settings, nodeUrls, jwtSecret, ca }: BackupInputs): ProcessSettings {
  return {
    repository: resolve(settings.backupRepository),
    key: settings.backupKey,
    passphrase: settings.backupPassphrase,
    databases: settings.backupDatabases,
    instance: settings.backupInstance,
    configFolder: resolve(settings.configFolder),
    target: {
      url: settings.backupTarget,
      user: settings.backupTargetUser,
      password: settings.backupTargetPassword,
    },
    keep: settings.backupKeep,
    storeDatabase: settings.storeDatabase,
    nodeUrls,
    ca: ca ?? '',
    connectTimeoutMs: settings.couchdbConnectTimeoutMs,
    jwt: {
      secret: jwtSecret.toString('base64'),
      kid: settings.jwtKid,
      lifetimeSeconds: settings.jwtLifetimeSeconds,
    },
  };
}
