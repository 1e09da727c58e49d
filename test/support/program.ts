// Starts Couchgate as an operator does: a separate process with its own folder and environment.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The folder of the project. */
export const ROOT = join(import.meta.dirname, '../..');
/** The build that `npm test` has just made. Without it, the sources run: a build could be outdated. */
const BUILT = process.env['TESTED_PROGRAM'];
/** The words behind `node`. */
export const PROGRAM =
  BUILT === undefined || BUILT === '' ? ['--import', 'tsx', join(ROOT, 'src/main.ts')] : [BUILT];
const LISTENS = /Couchgate listens on (http:\/\/\S+)/u;

export interface Program {
  readonly child: ChildProcess;
  /** Its URL. Resolves when it listens; rejects with its stderr if it ends before. */
  readonly url: Promise<string>;
  readonly stderr: () => string;
  readonly stdout: () => string;
  /** Sends the signal and resolves with the exit code or signal. */
  end(
    signal?: NodeJS.Signals,
  ): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Resolves with the exit code when the process ends. */
  readonly ended: Promise<number | null>;
}

/** Creates a temporary folder for one test. */
export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'couchgate-program-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Variables by which Couchgate recognises a service. A test runner that systemd started has them too. */
const OF_SERVICES = ['NODE_ENV', 'SYSTEMD_EXEC_PID', 'JOURNAL_STREAM'];

/**
 * Starts `couchgate` with these arguments and this environment, on a free port. COUCHGATE_ variables of the
 * tester are not inherited.
 */
export function startProgram(env: Readonly<Record<string, string>>, words: readonly string[] = []): Program {
  const inherited = Object.entries(process.env).filter(
    ([name]) =>
      !name.startsWith('COUCHGATE_') && !name.startsWith('NODE_TEST') && !OF_SERVICES.includes(name),
  );
  const child = spawn(process.execPath, [...PROGRAM, ...words], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...Object.fromEntries(inherited),
      COUCHGATE_LISTEN: '127.0.0.1:0',
      COUCHGATE_METRICS_LISTEN: 'off',
      ...env,
    },
  });
  let stdout = '';
  let stderr = '';
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  const url = new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      const found = LISTENS.exec(stderr)?.[1];
      if (found !== undefined) resolve(found);
    });
    void ended.then(() => reject(new Error(`couchgate ended: ${stderr}`)));
  });
  // Prevents an unhandled rejection in tests that expect the process to end.
  url.catch(() => undefined);
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  return {
    ...{ child, url, ended },
    stderr: () => stderr,
    stdout: () => stdout,
    async end(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await ended;
      return { code: child.exitCode, signal: child.signalCode };
    },
  };
}
