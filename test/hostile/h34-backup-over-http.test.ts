// H34: backups over HTTP as a way to data, to files, or to the secrets of the backup process.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { backupDatabase } from '../../src/backup/backup-database.ts';
import { backupInstance } from '../../src/backup/instance.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { type JobRequest, type ProcessSettings } from '../../src/backup/process-protocol.ts';
import { openRepository, type Repository } from '../../src/backup/repository.ts';
import { runJob } from '../../src/backup/run-job.ts';
import { type CouchTransfer } from '../../src/couch/transfer.ts';
import { transferTo } from '../support/backup.ts';
import { startCouchgate, type Answer, type Couchgate } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

const KEY = 'a key of a test with more than 32 characters';
const secret = { type: 'key-file', bytes: Buffer.from(KEY) } as const;

describe('H34: backups over HTTP', () => {
  const started = closedAfterSuite();
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-h34-'));
  let gate: Couchgate;
  let repository: Repository;
  let couch: CouchTransfer;
  let snapshot = '';
  let ofStore = '';
  /** Of a database that an instance section names as the store of its time. */
  let ofFormer = '';

  const ask = (method: string, path: string, body?: unknown): Promise<Answer> =>
    gate.ask(method, `/_api/v2/backup${path}`, { as: gate.owner, ...(body === undefined ? {} : { body }) });

  async function backup(database: string): Promise<string> {
    const { body } = await ask('POST', '/run', { databases: [database] });
    const { id } = body as { id: string };
    await until(
      async () => ((await ask('GET', `/jobs/${id}`)).body as { state: string }).state === 'done',
      'a backup',
    );
    const job = (await ask('GET', `/jobs/${id}`)).body as { results: { snapshot: string }[] };
    return job.results[0]?.snapshot ?? '';
  }

  before(async () => {
    await started({ close: () => rmSync(folder, { recursive: true, force: true }) });
    process.env['COUCHGATE_BACKUP_KEY'] = KEY;
    await started({ close: () => delete process.env['COUCHGATE_BACKUP_KEY'] });
    const settings = { backupRepository: join(folder, 'repository'), backupKey: KEY };
    gate = await started(startCouchgate({ settings }));
    await gate.database('fruit');
    await gate.key();
    await gate.ask('PUT', '/fruit/x', { as: gate.owner, body: {} });
    await gate.database('former');
    await gate.ask('PUT', '/former/x', { as: gate.owner, body: {} });
    snapshot = await backup('fruit');
    // A snapshot of the store is made by the command.
    repository = await openRepository(settings.backupRepository, secret);
    const lock = await takeLock(repository, 'test');
    couch = transferTo(gate.backend);
    await started({ close: () => couch.close() });
    const context = { repository, lock, couch, onEvent: () => undefined };
    ofStore = (await backupDatabase(context, 'couchgate')).id;
    ofFormer = (await backupDatabase(context, 'former')).id;
    await backupInstance(context, { store: 'former', configFolder: folder });
    await lock.release();
  });

  it('refuses to back up the store of the API keys on request, so that no second cluster gets it', async () => {
    for (const databases of [['couchgate'], ['fruit', 'couchgate_history']])
      assert.equal((await ask('POST', '/run', { databases })).status, 403);
  });

  it('refuses to show or restore what the store of the API keys had', async () => {
    const key = (await gate.key()).name;
    const refused = [
      await ask('POST', '/restore', { database: 'couchgate', snapshot: ofStore, to: 'copy' }),
      await ask('GET', `/documents/couchgate/key:${key}`),
      await ask('GET', `/documents/couchgate?id=key:${key}&snapshot=${ofStore}`),
      await ask('POST', '/documents/couchgate', { id: `key:${key}`, snapshot: ofStore, revision: null }),
      await ask('POST', '/verify', { database: 'couchgate' }),
      await ask('POST', '/verify', { database: 'couchgate_history', snapshot: ofStore }),
    ];
    assert.deepEqual(
      refused.map(({ status }) => status),
      Array<number>(6).fill(403),
    );
  });

  it('refuses the same for a name that the store had before', async () => {
    const refused = [
      await ask('GET', '/documents/former/x'),
      await ask('GET', `/documents/former/x?snapshot=${ofFormer}`),
      await ask('POST', '/documents/former/x/restore', { snapshot: ofFormer, revision: null }),
    ];
    assert.deepEqual(
      refused.map(({ status }) => status),
      [403, 403, 403],
    );
    const results: string[] = [];
    const run = (job: JobRequest): Promise<number> =>
      runJob(
        {
          settings: { storeDatabase: 'couchgate' } as ProcessSettings,
          couch,
          target: undefined,
          repository: () => Promise.resolve(repository),
          onEvent: () => undefined,
          onResult: ({ database }) => void results.push(database),
          signal: AbortSignal.timeout(60_000),
        },
        job,
      );
    const restore = { kind: 'restore', database: 'former', snapshot: ofFormer, to: 'copy' } as const;
    for (const job of [restore, { kind: 'verify', database: 'former' }] as const)
      await assert.rejects(run(job), /credentials of Couchgate/);
    await run({ kind: 'verify' });
    assert.deepEqual(
      results.filter((name) => !name.startsWith('_')),
      ['fruit'],
    );
  });

  it('refuses to restore into system databases, the store, and names that CouchDB does not have', async () => {
    const targets = [
      '_users',
      '_replicator',
      'x/_replicator',
      'x/_users',
      'couchgate',
      'couchgate_history',
      'A',
      '../x',
    ];
    for (const to of targets) {
      const { status } = await ask('POST', '/restore', { database: 'fruit', snapshot, to });
      assert.ok([400, 403].includes(status), `${to}: ${status}`);
    }
    for (const database of ['_users', '_replicator', 'x%2F_replicator', 'couchgate']) {
      const body = { snapshot, revision: null };
      const { status } = await ask('POST', `/documents/${database}/doc/restore`, body);
      assert.equal(status, 403, database);
    }
    assert.equal((await ask('POST', '/restore', { database: 'fruit', snapshot, to: 'fruit' })).status, 409);
  });

  it('never makes a path of the file system out of what a request names', async () => {
    writeFileSync(join(folder, 'secret'), 'not for anybody');
    assert.equal((await ask('GET', `/documents/fruit/x?snapshot=${snapshot}`)).status, 200);
    for (const id of [
      '../../secret',
      '../couchgate-backup.json',
      `${snapshot}/../${snapshot}`,
      `${snapshot}\0`,
    ]) {
      const { status, body } = await ask('GET', `/documents/fruit/x?snapshot=${encodeURIComponent(id)}`);
      assert.equal(status, 404, `${id}: ${JSON.stringify(body)}`);
      const listed = await ask('GET', `/snapshots?database=${encodeURIComponent(id)}`);
      assert.deepEqual((listed.body as { snapshots: unknown[] }).snapshots, []);
    }
  });

  it(
    'gives the backup process no secret in its arguments or its environment',
    { skip: process.platform !== 'linux' },
    async () => {
      await ask('GET', '/snapshots');
      const children = readdirSync('/proc').filter(
        (pid) =>
          /^\d+$/.test(pid) &&
          parentOf(pid) === String(process.pid) &&
          read(pid, 'cmdline').includes('backup-process'),
      );
      assert.equal(children.length, 1);
      const [pid = ''] = children;
      const seen = read(pid, 'cmdline') + read(pid, 'environ');
      assert.equal(seen.includes(KEY), false);
      assert.equal(seen.includes(gate.backend.jwtSecretBase64), false);
      assert.equal(seen.includes('COUCHGATE_'), false);
    },
  );

  it('has no key, password or secret in a job, a log line or an answer', async () => {
    const text = JSON.stringify([
      (await ask('GET', '/jobs')).body,
      (await ask('GET', '')).body,
      await gate.accessLog(),
      gate.log.lines,
    ]);
    for (const secret of [KEY, gate.backend.jwtSecretBase64, gate.owner.password])
      assert.equal(text.includes(secret), false);
  });

  const read = (pid: string, file: string): string => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'utf8');
    } catch {
      return '';
    }
  };
  const parentOf = (pid: string): string => read(pid, 'stat').split(') ').at(-1)?.split(' ')[1] ?? '';
});
