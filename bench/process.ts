// Starts the processes of a measurement and reads their CPU time and memory, children included.
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { resolve as resolvePath } from 'node:path';

/** A server process of the benchmark. */
export interface Running {
  readonly pid: number;
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Linux counts CPU time in 1/100 s on every architecture that Node supports (USER_HZ, proc(5)). */
const TICKS_PER_SECOND = 100;

/**
 * Starts `bench/servers/<name>.ts`. The server sends its URL over IPC once it listens, and exits when the
 * channel closes.
 */
export async function startServer(name: string, args: readonly string[] = []): Promise<Running> {
  const child = fork(resolvePath(import.meta.dirname, 'servers', `${name}.ts`), args, {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const url = await firstMessage(child, name);
  return { pid: child.pid ?? 0, url, stop: () => stopChild(child) };
}

/** True if nginx is installed. */
export function hasNginx(): boolean {
  return spawnSync('nginx', ['-v']).status === 0;
}

async function firstMessage(child: ChildProcess, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as string));
    child.once('exit', (code) => reject(new Error(`${name} ended with ${String(code)} before it listened`)));
  });
}

/** Stops a child by SIGTERM, and by SIGKILL after ten seconds. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const killTimer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(killTimer);
}

/** Returns the CPU seconds (user and system) of a process and its descendants; undefined without /proc. */
export function cpuSeconds(pid: number): number | undefined {
  const ticks = processTree(pid).map((member) => {
    // The second field (command) may contain spaces and brackets: fields are counted from its end.
    const stat = read(`/proc/${String(member)}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  });
  return ticks.length === 0 ? undefined : ticks.reduce((sum, one) => sum + one, 0) / TICKS_PER_SECOND;
}

/**
 * Returns the resident memory in KiB of a process and its descendants: now, and the peak since `forgetPeak`.
 */
export function memoryKiB(pid: number): { readonly now: number; readonly peak: number } | undefined {
  const members = processTree(pid);
  if (members.length === 0) return undefined;
  const total = (field: string): number =>
    members
      .map((member) =>
        new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(read(`/proc/${String(member)}/status`)),
      )
      .reduce((sum, match) => sum + Number(match?.[1] ?? 0), 0);
  return { now: total('VmRSS'), peak: total('VmHWM') };
}

/**
 * Resets `peak` of memoryKiB (proc(5), clear_refs). Without permission, the peak stays that of the whole
 * life.
 */
export function forgetPeak(pid: number): void {
  for (const member of processTree(pid)) {
    try {
      writeFileSync(`/proc/${String(member)}/clear_refs`, '5');
    } catch {
      return;
    }
  }
}

function processTree(pid: number): readonly number[] {
  if (!existsSync(`/proc/${String(pid)}/task`)) return [];
  const children = readdirSync(`/proc/${String(pid)}/task`).flatMap((task) =>
    read(`/proc/${String(pid)}/task/${task}/children`)
      .split(' ')
      .filter(Boolean)
      .map(Number),
  );
  return [pid, ...children.flatMap(processTree)];
}

/** Returns the content of the file; empty if the process has just ended. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
