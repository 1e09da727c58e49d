// Builds the service of backups: the jobs, and the process that answers questions about the repository.
import { extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BackupJobs } from './backup/jobs.ts';
import { QuestionProcess } from './backup/process-client.ts';
import { type ProcessSettings } from './backup/process-protocol.ts';
import { type OperationalLog } from './config/operational-log.ts';
import { type Settings } from './config/settings.ts';
import { type Store } from './couch/store.ts';

export interface Backups {
  /** Undefined if `backup_repository` is not set. */
  readonly jobs: BackupJobs | undefined;
  readonly questions: QuestionProcess | undefined;
  start(): void;
  close(): Promise<void>;
}

export interface BackupInputs {
  readonly settings: Settings;
  readonly nodeUrls: readonly string[];
  readonly jwtSecret: Buffer;
  readonly store: Store;
  readonly log: OperationalLog;
  /** PEM of the CA of https nodes. */
  readonly ca: string | undefined;
  readonly leaseMs?: number;
}

/** A process that was killed holds its lease for this time. */
const LEASE_MS = 60_000;

/** Creates the service; it starts no process before the first job or question. */
export function openBackups(inputs: BackupInputs): Backups {
  const { settings, store, log, leaseMs = LEASE_MS } = inputs;
  if (settings.backupRepository === '')
    return { jobs: undefined, questions: undefined, start: () => undefined, close: () => Promise.resolve() };
  const process = { program: programPath(), settings: settingsFor(inputs) };
  const report = (message: string, fields: object): void => log.info(fields, message);
  const jobs = new BackupJobs({ store, process, leaseMs, report, onEnded: () => undefined });
  const questions = new QuestionProcess(process);
  return {
    ...{ jobs, questions },
    start: () => jobs.start(),
    async close() {
      await jobs.close();
      questions.close();
    },
  };
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
