// Snapshots of the future, by a clock that was ahead: what is made after them stays, and counts as newer.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { backupDatabases } from '../../src/backup/backup-databases.ts';
import { forgetByPolicy } from '../../src/backup/forget.ts';
import { timeStamp } from '../../src/backup/future.ts';
import { chooseInstance, type InstanceSection } from '../../src/backup/instance.ts';
import { JobMetrics } from '../../src/backup/job-metrics.ts';
import { type Job } from '../../src/backup/job.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { answerQuestion } from '../../src/backup/questions.ts';
import { SnapshotCache } from '../../src/backup/snapshot-cache.ts';
import {
  chooseSnapshot,
  listSnapshots,
  newSnapshotId,
  writeBox,
  writePartial,
  writeSnapshot,
  type Snapshot,
} from '../../src/backup/snapshot.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';

const DATABASE = 'future';
const YEAR_MS = 366 * 86_400_000;

describe('a snapshot of the future', () => {
  let bench: BackupBench;
  let first: Snapshot;
  let ahead: Snapshot;
  let now: Snapshot;

  before(async () => {
    bench = await startBackupBench();
    await bench.ask('PUT', `/${DATABASE}`);
    await bench.ask('PUT', `/${DATABASE}/doc`, { n: 1 });
    first = await bench.backup(DATABASE);
    const time = new Date(Date.now() + YEAR_MS);
    const [started, finished] = [time.toISOString(), time.toISOString()];
    ahead = { ...first, id: newSnapshotId(bench.repository, DATABASE, time), started, finished };
    await writeSnapshot(bench.repository, ahead);
    await bench.ask('PUT', `/${DATABASE}/later`, { n: 2 });
    now = await bench.backup(DATABASE);
  });
  after(() => bench.close());

  it('is not what the next one continues', async () => {
    assert.equal(now.parent, first.id);
    const listed = await listSnapshots(bench.repository, DATABASE);
    assert.deepEqual(
      listed.map(({ id }) => id),
      [ahead.id, first.id, now.id],
    );
  });

  it('is not restored unless it is named', async () => {
    const choose = (choice: { readonly id?: string; readonly time?: Date }) =>
      chooseSnapshot(bench.repository, DATABASE, choice);
    await assert.rejects(choose({}), /Snapshot \S+ is in the future: .* choose it with --snapshot or --time/);
    assert.equal((await choose({ id: ahead.id })).id, ahead.id);
    assert.equal((await choose({ time: new Date() })).id, now.id);
  });

  it('does not push out what was made after it', async () => {
    for (const policy of [{ last: 1 }, { yearly: 1 }, { withinMs: 1 }]) {
      const { snapshots } = await forgetByPolicy(bench.repository, policy);
      assert.deepEqual(
        snapshots.map(({ id }) => id),
        [first.id],
      );
    }
  });

  it('is refused in the same way if it is an instance section', async () => {
    const { repository } = bench;
    const ids = [now, ahead].map(({ started }) => `${timeStamp(new Date(started))}-instance-abcdef`);
    for (const [at, { started, finished }] of [now, ahead].entries()) {
      const facts = {
        format: 1,
        id: ids[at] ?? '',
        started,
        finished,
        complete: true,
        store: 'couchgate',
      } as const;
      const section: InstanceSection = { ...facts, snapshots: {}, files: [], problems: [] };
      await writeBox(repository, 'instance', section.id, 'instance', section);
    }
    await assert.rejects(chooseInstance(repository, {}), /Instance section \S+ is in the future/);
    assert.equal((await chooseInstance(repository, { time: new Date() })).id, ids[0]);
    const { sections } = await forgetByPolicy(repository, { last: 1 });
    assert.deepEqual(sections, []);
  });

  it('does not hide that backups have stopped', async () => {
    const { couch, repository } = bench;
    const context = { couch, repository, snapshots: new SnapshotCache(), storeDatabase: 'couchgate' };
    const { text } = await answerQuestion(context, { kind: 'overview' });
    const overview = JSON.parse(text) as {
      readonly last_success: string;
      readonly databases: readonly { readonly newest: { readonly id: string } }[];
    };
    assert.equal(overview.last_success, now.finished);
    assert.equal(overview.databases[0]?.newest.id, now.id);
    const metrics = new JobMetrics();
    const results = [{ database: DATABASE, state: 'done', seconds: 1 }];
    const job = { kind: 'backup', state: 'done', results } as unknown as Job;
    metrics.load([
      { ...job, id: 'ahead', finished: ahead.finished },
      { ...job, id: 'now', finished: now.finished },
    ]);
    const seconds = Date.parse(now.finished) / 1000;
    assert.equal(metrics.lastRun, seconds);
    assert.equal(metrics.databases.get(DATABASE)?.lastSuccess, seconds);
  });

  it('is warned of by each backup, and does not date a run that goes on', async () => {
    const { couch, repository, events } = bench;
    const { format, instance_start_time, since, purge_seq, index, problems } = now;
    const state = { format, database: DATABASE, instance_start_time, since, purge_seq, index, problems };
    await writePartial(repository, { ...state, parent: now.id, started: ahead.started });
    const lock = await takeLock(repository, 'test');
    const onEvent = (event: (typeof events)[number]): void => void events.push(event);
    const run = await backupDatabases({ repository, lock, couch, onEvent }, [DATABASE]);
    await lock.release();
    assert.equal(run.exitCode, 0);
    const [outcome] = run.databases;
    assert.ok(outcome !== undefined && 'snapshot' in outcome, 'there is no snapshot');
    assert.ok(outcome.snapshot.started < ahead.started, 'the run has the time of the wrong clock');
    assert.equal(
      events.some((event) => event.type === 'start' && event.resumed),
      true,
    );
    const warnings = events.filter((event) => event.type === 'notice' && event.isWarning === true);
    assert.match(JSON.stringify(warnings), new RegExp(`snapshot ${ahead.id} is in the future`));
  });
});
