// The lock of a repository: when it is taken over from a process that has died.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, mock } from 'node:test';
import { Cancelled } from '../../src/backup/errors.ts';
import { takeLock, type LockRecord } from '../../src/backup/lock.ts';
import { openOrCreateRepository, type Repository } from '../../src/backup/repository.ts';

/** A lock of another machine is stale after this time. */
const STALE_SECONDS = 120;

describe('the lock of a repository', () => {
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-lock-'));
  const path = join(folder, 'lock');
  let repository: Repository;

  before(async () => {
    ({ repository } = await openOrCreateRepository(folder, undefined));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Puts the lock of a dead process there, which was refreshed for the last time so many seconds ago. */
  function putLock(idleSeconds: number, changed: Partial<LockRecord> = {}): void {
    const record = {
      ...{ id: 'x', host: 'another', pid: 2 ** 22 + 1, process_start: '1', command: 'backup job', since: '' },
      ...changed,
    };
    writeFileSync(path, JSON.stringify(record));
    const at = Date.now() / 1000 - idleSeconds;
    utimesSync(path, at, at);
  }
  const isFree = async (waits = false): Promise<boolean> => {
    const lock = await takeLock(repository, 'test', { waits }).catch((error: unknown) => {
      assert.match(String(error), /is locked by backup job/);
    });
    await lock?.release();
    return lock !== undefined;
  };

  it('is taken over from a dead process of this machine at once', async () => {
    const lock = await takeLock(repository, 'test');
    const own = JSON.parse(readFileSync(path, 'utf8')) as LockRecord;
    await lock.release();
    const { pid_scope: scope = '' } = own;
    putLock(0, { host: hostname(), pid_scope: scope });
    assert.equal(await isFree(), true);
  });

  it('is kept for a process of another container with the same name of the host', async () => {
    putLock(0, { host: hostname(), pid_scope: 'another' });
    assert.equal(await isFree(), false);
    putLock(STALE_SECONDS + 1, { host: hostname(), pid_scope: 'another' });
    assert.equal(await isFree(), true);
  });

  it('is kept for a process of another machine until it gives no sign of life', async () => {
    putLock(STALE_SECONDS - 30);
    assert.equal(await isFree(), false);
    putLock(STALE_SECONDS + 1);
    assert.equal(await isFree(), true);
  });

  it('is waited for by a job if its owner seems to be dead, so that a schedule has no gap', async () => {
    putLock(STALE_SECONDS - 1);
    assert.equal(await isFree(), false, 'a command does not wait');
    assert.equal(await isFree(true), true);
    putLock(5);
    assert.equal(await isFree(true), false, 'its owner lives');
  });

  it('is dated by the file system, not by the clock of its owner, until another process has it', async () => {
    rmSync(path, { force: true });
    const apis = ['Date', 'setInterval'] as const;
    mock.timers.enable({ apis: [...apis], now: Date.now() - 2 * STALE_SECONDS * 1000 });
    try {
      const lock = await takeLock(repository, 'test');
      const refreshed = (): number => {
        mock.timers.tick(5000);
        return statSync(path).mtimeMs;
      };
      utimesSync(path, 1, 1);
      const probe = join(folder, 'probe');
      writeFileSync(probe, '');
      assert.ok(refreshed() >= statSync(probe).mtimeMs, 'the clock of the owner dates the lock');
      await lock.check();
      putLock(STALE_SECONDS);
      const { mtimeMs } = statSync(path);
      assert.equal(refreshed(), mtimeMs, 'the lock of another process is refreshed');
      await lock.release();
    } finally {
      mock.timers.reset();
    }
  });

  it('is not waited for after an abort', async () => {
    putLock(30);
    await assert.rejects(
      takeLock(repository, 'test', { waits: true, signal: AbortSignal.abort() }),
      Cancelled,
    );
  });
});
