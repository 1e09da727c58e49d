// When scheduled backups are due, and what is missed.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { newJob, type Job } from '../../src/backup/job.ts';
import { JobStore } from '../../src/backup/job-store.ts';
import { BackupScheduler } from '../../src/backup/scheduler.ts';
import { parseSchedule } from '../../src/config/schedule.ts';
import { MemoryStore } from '../support/memory-store.ts';

const scheduler = (
  text: string,
  now: { ms: number },
  jobs: Job[],
  report: (message: string, fields: object) => void = () => undefined,
) => {
  const schedule = parseSchedule(text);
  assert.ok(schedule, 'schedule is missing');
  return new BackupScheduler({
    schedule,
    forget: false,
    report,
    now: () => now.ms,
    jobs: {
      list: () => Promise.resolve(jobs),
      submitOnce(id) {
        if (!jobs.some((job) => job.id === id)) jobs.unshift({ id, state: 'done' } as Job);
        return Promise.resolve();
      },
    },
  });
};
const at = (time: string): { ms: number } => ({ ms: Date.parse(time) });
const ids = (jobs: readonly Job[]): readonly string[] => jobs.map(({ id }) => id);

describe('the schedule of backups', () => {
  it('asks once for each due time of a cron expression, in UTC', async () => {
    const [now, jobs] = [at('2026-11-28T02:59:00Z'), [] as Job[]];
    const one = scheduler('0 3 * * *', now, jobs);
    await one.look();
    assert.deepEqual(jobs, []);
    now.ms = Date.parse('2026-11-28T03:00:10Z');
    await one.look();
    await scheduler('0 3 * * *', at('2026-11-28T03:00:12Z'), jobs).look();
    await one.look();
    assert.deepEqual(ids(jobs), ['20261128T030000000Z-schedule-1']);
    assert.equal(one.next(jobs).toISOString(), '2026-11-29T03:00:00.000Z');
  });

  it('runs an interval at once, at the same times on every replica', async () => {
    const jobs: Job[] = [];
    await scheduler('6h', at('2026-11-28T07:15:00Z'), jobs).look();
    await scheduler('6h', at('2026-11-28T07:16:00Z'), jobs).look();
    assert.deepEqual(ids(jobs), ['20261128T060000000Z-schedule-1']);
  });

  it('runs the newest of the due times that passed, and counts the others as missed', async () => {
    const now = at('2026-11-28T06:00:00Z');
    const jobs = [{ id: '20261127T060000000Z-schedule-1', state: 'done' } as Job];
    const one = scheduler('6h', now, jobs);
    await one.look();
    assert.equal(ids(jobs)[0], '20261128T060000000Z-schedule-1');
    assert.equal(one.missed, 3);
  });

  it('starts an interrupted run again, five times at most', async () => {
    const now = at('2026-11-28T06:01:00Z');
    const jobs: Job[] = [];
    const one = scheduler('6h', now, jobs);
    for (let look = 0; look < 8; look += 1) {
      await one.look();
      jobs[0] = { ...(jobs[0] as Job), state: 'interrupted' };
    }
    assert.deepEqual(
      ids(jobs).map((id) => id.at(-1)),
      ['5', '4', '3', '2', '1'],
    );
  });

  it('goes on after a clock was ahead, and reports that once', async () => {
    const jobs = ['20271128T060000000Z-schedule-1', '20261128T000000000Z-schedule-1'].map(
      (id) => ({ id, state: 'done' }) as Job,
    );
    const reported: object[] = [];
    const one = scheduler('6h', at('2026-11-28T06:00:10Z'), jobs, (_, fields) => reported.push(fields));
    await one.look();
    await one.look();
    assert.equal(ids(jobs)[0], '20261128T060000000Z-schedule-1');
    assert.equal(one.next(jobs).toISOString(), '2026-11-28T12:00:00.000Z');
    assert.deepEqual(reported, [{ job: '20271128T060000000Z-schedule-1', now: '2026-11-28T06:00:10.000Z' }]);
  });

  it('runs once at a due time, however many other jobs are run after it', async () => {
    const store = new MemoryStore();
    const stored = new JobStore(store);
    const scheduled = '20261128T000000000Z-schedule-2';
    const add = async (id: string): Promise<void> => {
      const job = newJob({ kind: 'backup', databases: [] }, 'owner', undefined, new Date(0));
      await stored.write({ ...job, id, state: 'done' }, undefined);
    };
    await add(scheduled);
    for (let other = 100; other < 205; other += 1) await add(`20261128T010000${other}Z-x`);
    const now = at('2026-11-28T02:00:00Z');
    await stored.prune(now.ms);
    const jobs = (await stored.list()).map(({ job }) => job);
    assert.deepEqual([jobs.length, jobs.at(-1)?.id], [101, scheduled]);
    await scheduler('6h', now, jobs).look();
    assert.equal(jobs.length, 101);
  });

  it('refuses what is no schedule, and times that never come', () => {
    for (const text of ['1m', '6x', 'daily', '* * *', '0 3 30 2 *', '0 0 3 * * * *'])
      assert.throws(() => parseSchedule(text), TypeError, text);
    assert.equal(parseSchedule(''), undefined);
  });
});
