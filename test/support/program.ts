// Couchgate as an operator runs it: a process of its own, with a folder and an environment of its own.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
/** `npm test` names the build that it has just made. Without it, the sources run: a build could be old. */
const BUILT = process.env['TESTED_PROGRAM'];
const PROGRAM =
  BUILT === undefined || BUILT === '' ? ['--import', 'tsx', join(ROOT, 'src/main.ts')] : [BUILT];
const LISTENS = /Couchgate listens on (http:\/\/\S+)/u;

export interface Program {
  readonly child: ChildProcess;
  /** Where it listens; resolves as soon as it says so, rejects with what it said when it ends before. */
  readonly url: Promise<string>;
  readonly stderr: () => string;
  readonly stdout: () => string;
  /** Sends the signal and resolves with how the process ended. */
  end(
    signal?: NodeJS.Signals,
  ): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Resolves when it has ended by itself. */
  readonly ended: Promise<number | null>;
}

/** A folder for one test, and its removal. */
export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'couchgate-program-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Variables that would make Couchgate believe that it is a service, as on a runner that systemd started. */
const OF_SERVICES = ['NODE_ENV', 'SYSTEMD_EXEC_PID', 'JOURNAL_STREAM'];

/** Starts `couchgate` with these words and this environment, on any free port; nothing of the tester's own COUCHGATE_ variables comes through. */
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
  // A test that expects the process to end does not ask where it listens.
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
