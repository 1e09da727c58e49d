// Scheduled backups with two replicas: one runs each, a kill leaves no gap, and full disks are said.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { type Job } from '../../src/backup/job.ts';
import { embeddedBackend, startBackend, type Backend } from '../support/backend.ts';
import { openAdmin } from '../../src/setup/admin.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { NO_LONG_TESTS } from '../support/long-tests.ts';
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
    assert.equal(logged.includes(target.owner.password), false);
    assert.match(await one().running.metrics(), /couchgate_backup_failures\{database="fruit"\} 1/);
  });

  it('shows the next run in the status and the last one in the metrics', async () => {
    const { body } = await one().ask('GET', '/_api/v2/backup', { as: one().owner });
    const { schedule } = body as { schedule: { setting: string; next: string } };
    assert.equal(schedule.setting, '1d');
    assert.equal(Date.parse(schedule.next) > Date.now(), true);
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

describe('scheduled backups and full disks', { skip: NO_LONG_TESTS }, () => {
  const started = closedAfterSuite();
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-full-'));
  const refusals: { readonly status: number; readonly body: string }[] = [];
  let target: Backend;
  let gate: Couchgate;
  let isSmall = false;

  before(async () => {
    await started({ close: () => rmSync(folder, { recursive: true, force: true }) });
    isSmall = mount('size=100k');
    if (isSmall) await started({ close: () => spawnSync('umount', ['-l', folder]) });
    const backend = await started(startBackend());
    const first = await started(startCouchgate({ backend }));
    await first.database('fruit');
    const docs = Array.from({ length: 200 }, (_, at) => ({
      _id: `d${at}`,
      text: randomBytes(1000).toString('hex'),
    }));
    await first.ask('POST', '/fruit/_bulk_docs', { as: first.owner, body: { docs } });
    target = await started(embeddedBackend());
    const proxy = createServer(forwardUnlessFull).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    await started({
      close() {
        proxy.close();
        proxy.closeAllConnections();
      },
    });
    const settings = {
      backupTarget: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
      backupTargetUser: target.owner.name,
      backupTargetPassword: target.owner.password,
      backupRepository: join(folder, 'repository'),
      backupSchedule: '1d',
    };
    const overrides = { backupTiming: { leaseMs: 60_000, pollMs: 100 } };
    gate = await started(startCouchgate({ backend, settings, overrides }));
  });

  /** What a full CouchDB answers, as long as `refusals` has an answer; then it writes again. */
  const forwardUnlessFull = (req: IncomingMessage, res: ServerResponse): void => {
    const { method, url, headers } = req;
    const [full] = refusals;
    if (full !== undefined && url?.endsWith('/_bulk_docs') === true) {
      req.resume().on('end', () => res.writeHead(full.status).end(full.body));
      return;
    }
    const onward = request(`${target.urls[0] ?? ''}${url ?? ''}`, { method, headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    });
    onward.on('error', () => res.destroy());
    req.pipe(onward);
  };

  function mount(options: string): boolean {
    return spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]).status === 0;
  }

  const newest = async (): Promise<Job | undefined> =>
    ((await gate.ask('GET', '/_api/v2/backup/jobs', { as: gate.owner })).body as { jobs: readonly Job[] })
      .jobs[0];
  async function run(): Promise<Job> {
    const { status, body } = await gate.ask('POST', '/_api/v2/backup/run', { as: gate.owner });
    assert.equal(status, 202, JSON.stringify(body));
    return ended((body as Job).id);
  }
  async function ended(id?: string): Promise<Job> {
    let job: Job | undefined;
    await until(async () => {
      job = await newest();
      return job?.finished !== undefined && (id === undefined || job.id === id);
    }, 'the end of the job');
    return job as Job;
  }
  const outcome = ({ state, exit_code: code, results }: Job): readonly unknown[] => [
    state,
    code,
    results[0]?.reason ?? '',
  ];
  const logged = (): string => gate.log.lines.map((line) => JSON.stringify(line)).join('\n');
  const failures = async (): Promise<string> =>
    /couchgate_backup_failures\{database="fruit"\} (\d+)/.exec(await gate.running.metrics())?.[1] ?? '0';

  it('say that the disk of the repository is full, and go on when there is room – 1, 0', async (t) => {
    const full = await ended();
    if (!isSmall) {
      t.skip('needs the right to mount a tmpfs');
      return;
    }
    assert.equal(full.by, '(schedule)');
    const reason = 'Writing to the repository failed: the disk is full.';
    assert.deepEqual(outcome(full), ['failed', 1, reason]);
    // The record is written before the line.
    await until(() => logged().includes('backup job has not succeeded'), 'the failure in the log');
    assert.ok(logged().includes(reason), logged());
    await until(async () => (await failures()) === '1', 'the failure in the metrics');
    assert.equal(spawnSync('mount', ['-o', 'remount,size=64m', folder]).status, 0);
    assert.deepEqual(outcome(await run()), ['done', 0, '']);
    assert.equal(await failures(), '1');
  });

  it('say that the second cluster is full, and make up for it – 3, 0', async () => {
    const before = Number(await failures());
    const full = { error: 'unknown_error', reason: 'enospc' };
    for (const status of [507, 500]) {
      await gate.ask('PUT', `/fruit/of-${status}`, { as: gate.owner, body: { status } });
      refusals.splice(0, 1, { status, body: JSON.stringify(full) });
      const [state, code, reason] = outcome(await run());
      assert.deepEqual([state, code], ['incomplete', 3]);
      assert.match(String(reason), new RegExp(`^backup_target does not have it: .*status ${status}`));
    }
    await until(async () => Number(await failures()) === before + 2, 'the failures in the metrics');
    refusals.length = 0;
    assert.deepEqual(outcome(await run()), ['done', 0, '']);
    const admin = openAdmin({ url: target.urls[0] ?? '', credentials: target.owner });
    for (const status of [507, 500])
      assert.equal((await admin.ask('GET', `/fruit/of-${status}`)).status, 200);
  });
});
