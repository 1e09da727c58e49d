// Lets one process at a time write to a repository. A lock shows its owner and its age, and ends with the
// owner.
import { randomUUID } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import { link, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Cancelled, fileFailure, RepositoryLocked } from './errors.ts';
import { placeNew, readFileIfThere } from './files.ts';
import { type Repository } from './repository.ts';

export interface LockRecord {
  readonly id: string;
  readonly host: string;
  /**
   * Where `pid` means this process: the boot and the process namespace, because containers may have the name
   * of their host. Older records have none.
   */
  readonly pid_scope?: string;
  readonly pid: number;
  /** Start of the process in clock ticks since boot; tells a process from a later one with the same pid. */
  readonly process_start: string;
  readonly command: string;
  readonly since: string;
}

const REFRESH_MS = 5000;
/** A lock of another machine that was not refreshed for this time is stale. */
const STALE_MS = 120_000;
/** A lock that was refreshed in this time has an owner that lives. */
const ALIVE_MS = 3 * REFRESH_MS;
const WAIT_POLL_MS = 1000;
/** Stale locks that other processes put in the place of each other. */
const MAX_REMOVALS = 3;

/** A file that shows who does something, while its process lives. */
export interface Announcement {
  release(): Promise<void>;
}

export interface Lock {
  /** Throws `RepositoryLocked` if another process has taken the lock over, for example after a suspend. */
  check(): Promise<void>;
  release(): Promise<void>;
}

export interface LockOptions {
  /** True: a lock whose owner of another machine seems to be dead is waited for, until it is stale. */
  readonly waits?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Takes the lock of a repository. Throws `RepositoryLocked` with the owner and the age of the present one,
 * and `Cancelled` after an abort.
 */
export async function takeLock(
  repository: Repository,
  command: string,
  { waits = false, signal }: LockOptions = {},
): Promise<Lock> {
  const path = join(repository.folder, 'lock');
  const record = newRecord(command);
  for (let removals = 0; !(await create(repository, path, record));) {
    const other = await readRecord(path);
    if (other === undefined) continue;
    const idleMs = await idleTime(path);
    if (isStale(other, idleMs) && removals <= MAX_REMOVALS) {
      await removeStale(path, other.id);
      removals += 1;
      continue;
    }
    if (!waits || idleMs < ALIVE_MS || removals > MAX_REMOVALS) throw lockedBy(other, idleMs);
    await delay(WAIT_POLL_MS);
    if (signal?.aborted === true) throw new Cancelled('The backup was cancelled while it waited for a lock.');
  }
  const timer = setInterval(() => refresh(path, record), REFRESH_MS);
  timer.unref();
  const isOurs = async (): Promise<boolean> => (await readRecord(path))?.id === record.id;
  return {
    async check() {
      if (!(await isOurs()))
        throw new RepositoryLocked(
          'The lock of the repository was taken over by another process; nothing was lost, start again.',
        );
    },
    async release() {
      clearInterval(timer);
      if (await isOurs()) await rm(path, { force: true });
    },
  };
}

function newRecord(command: string): LockRecord {
  return {
    id: randomUUID(),
    host: hostname(),
    pid_scope: PID_SCOPE,
    pid: process.pid,
    process_start: processStart(process.pid),
    command,
    since: new Date().toISOString(),
  };
}

/**
 * Writes a record at `path`, and keeps it fresh until it is released. Rejects with errors of the file system.
 */
export async function announce({ folder }: Repository, path: string, command: string): Promise<Announcement> {
  const record = newRecord(command);
  const draft = join(folder, 'tmp', record.id);
  for (const parent of [dirname(draft), dirname(path)]) await mkdir(parent, { recursive: true, mode: 0o700 });
  await writeFile(draft, textOf(record), { mode: 0o600 });
  await rename(draft, path);
  const timer = setInterval(() => refresh(path, record), REFRESH_MS);
  timer.unref();
  return {
    async release() {
      clearInterval(timer);
      await rm(path, { force: true });
    },
  };
}

/** The record at `path` if its process lives. */
export async function liveRecordAt(path: string): Promise<LockRecord | undefined> {
  const record = await readRecord(path);
  return record === undefined || isStale(record, await idleTime(path)) ? undefined : record;
}

/**
 * Creates the lock with its record in one step: a process that is killed between the two would leave a lock
 * without an owner.
 */
async function create({ folder }: Repository, path: string, record: LockRecord): Promise<boolean> {
  const text = textOf(record);
  const draft = join(folder, 'tmp', record.id);
  try {
    await mkdir(join(folder, 'tmp'), { recursive: true, mode: 0o700 });
    await writeFile(draft, text, { mode: 0o600 });
    return await placeNew(draft, path, text);
  } catch (error) {
    throw fileFailure(error, 'Locking the repository');
  } finally {
    await rm(draft, { force: true });
  }
}

/** Undefined if there is none. A record that was not written completely is one of an unknown owner. */
async function readRecord(path: string): Promise<LockRecord | undefined> {
  const bytes = await readFileIfThere(path);
  if (bytes === undefined) return undefined;
  try {
    const record = JSON.parse(bytes.toString()) as Partial<LockRecord> | null;
    if (isRecord(record)) return record;
  } catch {
    // Of an unknown owner.
  }
  return { id: '', host: 'unknown', pid: 0, process_start: '', command: 'unknown', since: '' };
}

/** The pid becomes a part of a path. */
function isRecord(record: Partial<LockRecord> | null): record is LockRecord {
  const { id, host, pid_scope: scope = '', pid, process_start: start, command, since } = record ?? {};
  return (
    Number.isSafeInteger(pid) &&
    [id, host, scope, start, command, since].every((one) => typeof one === 'string')
  );
}

function isStale(record: LockRecord, idleMs: number): boolean {
  if (record.host === hostname() && (record.pid_scope ?? PID_SCOPE) === PID_SCOPE && record.pid !== 0)
    return processStart(record.pid) !== record.process_start || record.process_start === '';
  return idleMs > STALE_MS;
}

/**
 * Milliseconds since the last refresh, by the clock of the file system: the clocks of two machines may
 * differ.
 */
async function idleTime(path: string): Promise<number> {
  const probe = `${path}.probe-${randomUUID()}`;
  try {
    await writeFile(probe, '');
    const now = (await stat(probe)).mtimeMs;
    return Math.max(0, now - (await stat(path)).mtimeMs);
  } catch {
    return 0;
  } finally {
    await rm(probe, { force: true });
  }
}

/**
 * Removes a stale lock. Between the check and the rename, another process may have replaced it: a lock with
 * another id is put back.
 */
async function removeStale(path: string, id: string): Promise<void> {
  const aside = `${path}.stale-${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw fileFailure(error, 'Removing a stale lock');
  }
  if ((await readRecord(aside))?.id !== id) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

function lockedBy({ host, pid, command, since }: LockRecord, idleMs: number): RepositoryLocked {
  return new RepositoryLocked(
    `The repository is locked by ${command} (process ${pid} on ${host}) since ${since}, last sign of life ` +
      `${Math.round(idleMs / 1000)} s ago; a lock without a sign of life for ${STALE_MS / 1000} s is taken over.`,
  );
}

/** Field 22 of /proc/PID/stat; empty if there is no such process. Without /proc, only the pid is checked. */
function processStart(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    try {
      if (process.platform === 'linux') return '';
      process.kill(pid, 0);
      return 'running';
    } catch {
      return '';
    }
  }
}

/** Empty without /proc: a host is one scope then. */
const PID_SCOPE = pidScope();

function pidScope(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
}

function textOf(record: LockRecord): string {
  return `${JSON.stringify(record)}\n`;
}

/**
 * Writes the record over itself: so the file system dates it, as it dates the probe of `idleTime`. The clock
 * of this machine may be behind. A file that another process has put in its place is not written to.
 */
function refresh(path: string, record: LockRecord): void {
  const text = Buffer.from(textOf(record));
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const isOurs = fstatSync(file).size === text.length && readFileSync(file).equals(text);
    if (isOurs) writeSync(file, text, 0, text.length, 0);
  } catch {
    // check() reports a lock that is gone.
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
