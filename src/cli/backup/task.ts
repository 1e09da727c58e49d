// Runs one backup command: parses its options, loads the settings, opens what it needs, and turns failures
// into exit codes.
import { createInterface } from 'node:readline/promises';
import { sentenceOf } from '../../backup/backup-databases.ts';
import { BackupError } from '../../backup/errors.ts';
import { takeLock, type Lock } from '../../backup/lock.ts';
import { openOrCreateRepository, openRepository, type Repository } from '../../backup/repository.ts';
import { loadSettings } from '../../config/load.ts';
import { ConfigurationError } from '../../config/problem.ts';
import { type Settings } from '../../config/settings.ts';
import { type CouchTransfer } from '../../couch/transfer.ts';
import { HttpError } from '../../http-errors.ts';
import { UsageError } from '../../setup/arguments.ts';
import { type Command, type CommandIo } from '../command.ts';
import { printable } from '../terminal.ts';
import { parseOptions, type Options, type Parsed } from '../parse-options.ts';
import { openCouch, type CouchValues } from './couch-options.ts';
import { createReport, type Report } from './report.ts';
import { backupSecret, repositoryFolder } from './repository-options.ts';

/** What a command works with. What it opens is closed when it ends. */
export interface Task<O extends Options> {
  readonly values: Parsed<O>['values'];
  readonly positionals: readonly string[];
  readonly io: CommandIo;
  readonly settings: Settings;
  readonly report: Report;
  /** Aborted by SIGTERM and SIGINT. */
  readonly signal: AbortSignal;
  repository(): Promise<Repository>;
  /** Opens the repository, and creates it if the folder is missing or empty. */
  repositoryToWrite(): Promise<Repository>;
  couch(): Promise<CouchTransfer>;
  lock(repository: Repository, command: string): Promise<Lock>;
  /** Asks on the terminal; undefined without one. */
  ask(question: string): Promise<string | undefined>;
}

/** Creates the command. `run` resolves with its exit code. */
export function backupCommand<O extends Options>(
  usage: string,
  options: O,
  run: (task: Task<O>) => Promise<number>,
): Command {
  return async (args, io) => {
    const closers: (() => Promise<void>)[] = [];
    try {
      const parsed = parseOptions(args, options);
      const values = parsed.values as Parsed<O>['values'] & Common;
      const settings = loadSettings({ env: io.env, purpose: 'setup' });
      const report = createReport(io, values.json === true);
      closers.push(() => {
        report.close();
        return Promise.resolve();
      });
      const cancel = abortOnSignal(closers);
      const folder = (): string => repositoryFolder(values, settings);
      return await run({
        values,
        settings,
        report,
        io,
        positionals: parsed.positionals,
        signal: cancel,
        repository: () => openRepository(folder(), backupSecret(settings)),
        async repositoryToWrite() {
          const { repository, created } = await openOrCreateRepository(folder(), backupSecret(settings));
          if (created) report.line(`Created the repository ${repository.folder}${cipherText(repository)}.`);
          return repository;
        },
        async couch() {
          const couch = await openCouch(values, settings, io.env);
          closers.push(() => couch.close());
          return couch;
        },
        async lock(repository, command) {
          const lock = await takeLock(repository, command);
          closers.push(() => lock.release());
          return lock;
        },
        ask,
      });
    } catch (error) {
      return exitCodeFor(error, usage, io);
    } finally {
      for (const close of closers.reverse()) await close();
    }
  };
}

type Common = CouchValues & { readonly repository?: string; readonly json?: boolean };

function cipherText({ cipher }: Repository): string {
  return cipher === undefined ? ', not encrypted' : ', encrypted';
}

/** The first signal ends the work in order; the second one kills the process. */
function abortOnSignal(closers: (() => Promise<void>)[]): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, abort);
    closers.push(() => {
      process.removeListener(signal, abort);
      return Promise.resolve();
    });
  }
  return controller.signal;
}

function exitCodeFor(error: unknown, usage: string, { stderr }: CommandIo): number {
  if (error instanceof UsageError) {
    stderr.write(`${printable(error.message)}\n${usage}`);
    return 2;
  }
  if (error instanceof ConfigurationError) {
    stderr.write(`${error.message}\n`);
    return 2;
  }
  if (!(error instanceof BackupError) && !(error instanceof HttpError)) throw error;
  stderr.write(`${printable(sentenceOf(error))}\n`);
  return error instanceof BackupError ? error.exitCode : 1;
}

async function ask(question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined;
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await reader.question(printable(question));
  } finally {
    reader.close();
  }
}
