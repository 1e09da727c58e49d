// Scheduled backups with two replicas: one runs each, and a kill in the middle leaves no gap.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { type Job } from '../../src/backup/job.ts';
import { embeddedBackend, startBackend, type Backend } from '../support/backend.ts';
import { openAdmin } from '../../src/setup/admin.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

describe('scheduled backups of two replicas', { skip: process.platform !== 'linux' }, () => {
  const started = closedAfterSuite();
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-schedule-'));
  let target: Backend;
  let gates: readonly [Couchgate, Couchgate];
  let held: readonly { readonly count: number; release(): void }[];

  before(async () => {
    await started({ close: () => rmSync(folder, { recursive: true, force: true }) });
    const backend = await started(startBackend());
    const first = await started(startCouchgate({ backend }));
    await first.database('fruit');
    const docs = Array.from({ length: 500 }, (_, at) => ({ _id: `d${at}`, at }));
    await first.ask('POST', '/fruit/_bulk_docs', { as: first.owner, body: { docs } });
    // A test process has one real cluster.
    target = await started(embeddedBackend());
    const settings = {
      backupTarget: target.urls[0] ?? '',
      backupTargetUser: target.owner.name,
      backupTargetPassword: target.owner.password,
      backupRepository: join(folder, 'repository'),
      backupSchedule: '1d',
      backupForget: true,
      backupInstance: true,
      backupKey: 'k'.repeat(40),
    };
    const overrides = { backupTiming: { leaseMs: 60_000, pollMs: 100 } };
    const start = (): Promise<Couchgate> => started(startCouchgate({ backend, settings, overrides }));
    const one = await start();
    // The documents of the backup wait, so that it can be killed in the middle.
    const firstHeld = one.recorder.hold(/_bulk_get/);
    const two = await start();
    gates = [one, two];
    held = [firstHeld, two.recorder.hold(/_bulk_get/)];
  });

  const jobs = async (gate: Couchgate): Promise<readonly Job[]> => {
    const { body } = await gate.ask('GET', '/_api/v2/backup/jobs', { as: gate.owner });
    return (body as { jobs: readonly Job[] }).jobs;
  };
  const [one, two] = [() => gates[0], () => gates[1]];

  it('runs one job for a due time, and after a kill one more: one snapshot, no gap', async () => {
    await until(() => held.some(({ count }) => count > 0), 'a backup that reads documents');
    assert.deepEqual(
      (await jobs(two())).map(({ id, state }) => [id.split('-').slice(1).join('-'), state]),
      [['schedule-1', 'running']],
    );
    for (const pid of backupProcesses()) process.kill(pid, 'SIGKILL');
    for (const each of held) each.release();
    await until(async () => (await jobs(one()))[0]?.state === 'done', 'the second attempt');
    const all = await jobs(two());
    assert.deepEqual(
      all.map(({ id, state, by }) => [id.split('-').slice(1).join('-'), state, by]),
      [
        ['schedule-2', 'done', '(schedule)'],
        ['schedule-1', 'interrupted', '(schedule)'],
      ],
    );
    assert.deepEqual(
      all[0]?.results.map(({ database, state }) => [database, state]),
      [
        ['fruit', 'done'],
        ['(instance)', 'done'],
      ],
    );
    const { body } = await one().ask('GET', '/_api/v2/backup/snapshots?database=fruit', { as: one().owner });
    const { snapshots } = body as {
      snapshots: { database: string; complete: boolean; counts: { documents: number } }[];
    };
    assert.deepEqual(
      snapshots.map(({ database, complete, counts }) => [database, complete, counts.documents]),
      [['fruit', true, 500]],
    );
  });

  it('writes to the second cluster as well, and says if that is away', async () => {
    const admin = openAdmin({ url: target.urls[0] ?? '', credentials: target.owner });
    assert.equal(((await admin.ask('GET', '/fruit')).body as { doc_count: number }).doc_count, 500);
    await target.close();
    const as = one().owner;
    const run = await one().ask('POST', '/_api/v2/backup/run', { as, body: { databases: ['fruit'] } });
    assert.equal(run.status, 202, JSON.stringify([run.body, await jobs(one())]));
    await until(async () => (await jobs(one()))[0]?.state === 'incomplete', 'the job');
    const [job] = await jobs(one());
    assert.equal(job?.exit_code, 3);
    assert.match(job.results[0]?.reason ?? '', /^backup_target does not have it: /);
    const logged = [...one().log.lines, ...two().log.lines].map((line) => JSON.stringify(line)).join('');
    assert.match(logged, /backup_target does not have it/);
    assert.ok(!logged.includes(target.owner.password));
    assert.match(await one().running.metrics(), /couchgate_backup_failures\{database="fruit"\} 1/);
  });

  it('shows the next run in the status and the last one in the metrics', async () => {
    const { body } = await one().ask('GET', '/_api/v2/backup', { as: one().owner });
    const { schedule } = body as { schedule: { setting: string; next: string } };
    assert.equal(schedule.setting, '1d');
    assert.ok(Date.parse(schedule.next) > Date.now());
    await until(
      async () =>
        /backup_last_success_timestamp_seconds\{database="fruit"\} \d/.test(await two().running.metrics()),
      'the metric',
    );
    assert.match(await two().running.metrics(), /couchgate_backup_missed_runs_total 0/);
  });

  function backupProcesses(): readonly number[] {
    const read = (pid: string, file: string): string => {
      try {
        return readFileSync(`/proc/${pid}/${file}`, 'utf8');
      } catch {
        return '';
      }
    };
    return readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid) && read(pid, 'cmdline').includes('backup-process'))
      .filter((pid) => read(pid, 'stat').split(') ').at(-1)?.split(' ')[1] === String(process.pid))
      .map(Number);
  }
});
