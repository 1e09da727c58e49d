// A scheduled backup whose whole replica is killed, main process and children, in the middle: the other one
// makes the snapshot.
import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { type Job } from '../../src/backup/job.ts';
import { openAdmin, succeeded } from '../../src/setup/admin.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { basic } from '../support/couchgate.ts';
import { NO_LONG_TESTS } from '../support/long-tests.ts';
import { startRecorder, type Recorder } from '../support/recorder.ts';
import { type Replica } from '../support/replica-program.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

const DOCUMENTS = 500;
/** Production: a minute. */
const LEASE_MS = 5000;
const PROGRAM = join(import.meta.dirname, '../support/replica-program.ts');

describe('two replicas with a schedule, one of which is killed', { skip: NO_LONG_TESTS }, () => {
  const started = closedAfterSuite();
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-replicas-'));
  const repository = join(folder, 'repository');
  const replicas: { readonly child: ChildProcess; readonly url: string }[] = [];
  let backend: Backend;
  let recorder: Recorder;

  before(async () => {
    await started({ close: () => rmSync(folder, { recursive: true, force: true }) });
    backend = await started(startBackend());
    recorder = await started(startRecorder(backend.urls[0] ?? ''));
    const admin = openAdmin({ url: recorder.url, credentials: backend.owner });
    succeeded(await admin.ask('PUT', '/fruit'), 'creating a database');
    const docs = Array.from({ length: DOCUMENTS }, (_, at) => ({ _id: `d${at}`, at }));
    succeeded(await admin.ask('POST', '/fruit/_bulk_docs', { docs }), 'writing documents');
  });

  async function start(): Promise<void> {
    // In a process group of its own. What a killed replica leaves is removed with the folder.
    const child = fork(PROGRAM, [], {
      execArgv: ['--import', 'tsx'],
      env: { ...process.env, TMPDIR: folder },
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    await started({ close: () => kill(child) });
    const { kind, owner, jwtSecretBase64, kid } = backend;
    const settings = { backupRepository: repository, backupSchedule: '1d' };
    const backupTiming = { leaseMs: LEASE_MS, pollMs: 100 };
    const message: Replica = {
      ...{ settings, backupTiming },
      backend: { kind, urls: [recorder.url], owner, jwtSecretBase64, kid },
    };
    child.send(message);
    const [url] = (await once(child, 'message')) as [string];
    replicas.push({ child, url });
  }

  async function kill(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    process.kill(-(child.pid ?? 0), 'SIGKILL');
    await ended;
  }

  async function read<T>(url: string, path: string, method = 'GET'): Promise<T> {
    const headers = { Authorization: basic(backend.owner) };
    const answer = await fetch(`${url}/_api/v2/backup${path}`, { method, headers });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
    return (await answer.json()) as T;
  }
  const jobs = async (url: string): Promise<readonly Job[]> =>
    (await read<{ jobs: readonly Job[] }>(url, '/jobs')).jobs;
  const attempts = (all: readonly Job[]): readonly string[] =>
    all.map(({ id, state }) => `${id.split('-').slice(1).join('-')} ${state}`);

  it('has one snapshot afterwards, no gap, and no lock that stays', async () => {
    await start();
    const held = recorder.hold(/_bulk_get/);
    await start();
    await until(() => held.count > 0, 'a backup that reads documents');
    const [running] = await jobs(replicas[0]?.url ?? '');
    const victim = replicas.find(({ child }) => running?.process?.endsWith(`:${child.pid}`) === true);
    const survivor = replicas.find((replica) => replica !== victim);
    assert.ok(victim !== undefined && survivor !== undefined, 'no replica runs the job');
    await kill(victim.child);
    held.release();
    assert.ok(existsSync(join(repository, 'lock')), 'the dead process has left its lock');
    await until(async () => (await jobs(survivor.url))[0]?.state === 'done', 'the second attempt');
    assert.deepEqual(attempts(await jobs(survivor.url)), ['schedule-2 done', 'schedule-1 interrupted']);
    const { snapshots } = await read<{
      snapshots: readonly { database: string; complete: boolean; counts: { documents: number } }[];
    }>(survivor.url, '/snapshots');
    assert.deepEqual(
      snapshots.map(({ database, complete, counts }) => [database, complete, counts.documents]),
      [['fruit', true, DOCUMENTS]],
    );
    const left = readdirSync(repository).filter((name) => name.startsWith('lock'));
    assert.deepEqual([left, readdirSync(join(repository, 'partial'))], [[], []]);
    // The lease is free too: a backup that is asked for runs at once.
    const { id } = await read<{ id: string }>(survivor.url, '/run', 'POST');
    await until(
      async () => (await read<Job>(survivor.url, `/jobs/${id}`)).state === 'done',
      'a backup by hand',
    );
  });
});
