// A second cluster gets every snapshot: it is equal by content hashes, and the owner's alone.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { backupDatabases, type RunOutcome } from '../../src/backup/backup-databases.ts';
import { checkRestored } from '../../src/backup/check-restored.ts';
import { secondCluster } from '../../src/backup/instance.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { removeSnapshots } from '../../src/backup/forget.ts';
import { openTarget } from '../../src/backup/open-target.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { type CouchTransfer } from '../../src/couch/transfer.ts';
import { fillDatabase, startBackupBench, type BackupBench } from '../support/backup.ts';
import { until } from '../support/until.ts';

const DATABASE = 'target-source';
/** The embedded node cannot purge. */
const isReal = process.env['COUCHDB_HOME'] !== undefined;
const ROUNDS = isReal ? 10 : 3;

describe('a second cluster for backups', () => {
  let source: BackupBench;
  let second: BackupBench;

  before(async () => {
    [source, second] = await Promise.all([startBackupBench({ nodes: 3 }), startBackupBench()]);
    await fillDatabase(source, DATABASE, 40);
    if (!isReal) await source.ask('DELETE', `/${DATABASE}/_design/closed?rev=1-abc`);
  });
  after(async () => {
    await source.close();
    await second.close();
  });

  async function run(target: CouchTransfer | undefined, databases = [DATABASE]): Promise<RunOutcome> {
    const { repository, couch } = source;
    const lock = await takeLock(repository, 'test');
    const onEvent = (): void => undefined;
    try {
      const withTarget = { target: secondCluster(repository, target, 'couchgate') };
      return await backupDatabases({ repository, lock, couch, onEvent, ...withTarget }, databases);
    } finally {
      await lock.release();
    }
  }

  async function assertEqual(outcome: RunOutcome): Promise<Snapshot> {
    const [one] = outcome.databases;
    assert.ok(one !== undefined && 'snapshot' in one, JSON.stringify(one));
    assert.equal(one.target, undefined);
    assert.equal(outcome.exitCode, 0);
    const context = { repository: source.repository, couch: second.couch, onEvent: () => undefined };
    const { differences, leaves } = await checkRestored(context, one.snapshot, one.snapshot.database);
    assert.deepEqual(differences, []);
    assert.equal(leaves, one.snapshot.counts.leaves);
    return one.snapshot;
  }

  async function change(round: number): Promise<void> {
    const path = `/${DATABASE}`;
    const { _rev } = (await source.ask('GET', `${path}/doc-${round}`)).body as { _rev: string };
    const docs = [
      { _id: `doc-${round}`, _rev, round },
      { _id: `new-${round}`, round, _attachments: { a: { content_type: 'text/plain', data: 'aGk=' } } },
    ];
    const written = await source.ask('POST', `${path}/_bulk_docs`, { docs });
    // 202: a busy cluster has not confirmed every copy yet.
    assert.ok([201, 202].includes(written.status), String(written.status));
    const removed = (await source.ask('GET', `${path}/doc-${round + 20}`)).body as { _rev: string };
    await source.ask('DELETE', `${path}/doc-${round + 20}?rev=${removed._rev}`);
    const conflict = {
      _id: `new-${round}`,
      _rev: '1-zzz',
      _revisions: { start: 1, ids: ['zzz'] },
      side: 'b',
    };
    await source.ask('POST', `${path}/_bulk_docs`, { docs: [conflict], new_edits: false });
    if (!isReal) return;
    const purged = (await source.ask('GET', `${path}/doc-${round + 10}`)).body as { _rev: string };
    // Of the document of the round before, one conflict; a document that is made anew has another revision.
    const again = (await source.ask('GET', `${path}/doc-${round + 30}`)).body as { _rev: string };
    const { status } = await source.ask('POST', `${path}/_purge`, {
      [`doc-${round + 10}`]: [purged._rev],
      [`new-${round - 1}`]: ['1-zzz'],
      [`doc-${round + 30}`]: [again._rev],
    });
    assert.ok(status < 300, `${status} < 300`);
    await source.ask('PUT', `${path}/doc-${round + 30}`, { made: 'anew' });
  }

  it('is equal to the source after each increment, and only its owner has access', async () => {
    await assertEqual(await run(second.couch));
    for (let round = 0; round < ROUNDS; round += 1) {
      if (isReal) {
        // The validation function refuses every change, also those of the owner.
        const { _rev } = (await source.ask('GET', `/${DATABASE}/_design/closed`)).body as { _rev: string };
        await source.ask('DELETE', `/${DATABASE}/_design/closed?rev=${_rev}`);
      }
      await change(round);
      if (isReal)
        await source.ask('PUT', `/${DATABASE}/_design/closed`, {
          validate_doc_update: 'function () { throw { forbidden: "closed" }; }',
        });
      await assertEqual(await run(second.couch));
    }
    const { admins, members } = (await second.ask('GET', `/${DATABASE}/_security`)).body as Record<
      string,
      { roles: string[] }
    >;
    assert.deepEqual([admins?.roles, members?.roles], [['_admin'], ['_admin']]);
  });

  it('has no leaf that the snapshot does not have, or says so if its server cannot purge', async () => {
    const name = `${DATABASE}-leaves`;
    await source.ask('PUT', `/${name}`);
    await source.ask('PUT', `/${name}/a`, { n: 1 });
    const { counts } = await assertEqual(await run(second.couch, [name]));
    // The second one is a descendant of the leaf that comes back at the source.
    const old = [
      { _id: 'a', _rev: '9-old', _revisions: { start: 9, ids: ['old'] } },
      { _id: 'b', _rev: '2-b', _revisions: { start: 2, ids: ['b', 'a'] } },
    ];
    await second.ask('POST', `/${name}/_bulk_docs`, { docs: old, new_edits: false });
    const { _rev } = (await source.ask('GET', `/${name}/a`)).body as { _rev: string };
    await source.ask('PUT', `/${name}/a`, { _rev, n: 2 });
    await source.ask('POST', `/${name}/_bulk_docs`, { docs: [{ _id: 'b', _rev: '1-a' }], new_edits: false });
    const outcome = await run(second.couch, [name]);
    if (isReal) assert.equal((await assertEqual(outcome)).counts.leaves, counts.leaves + 1);
    else assert.match(JSON.stringify(outcome), /has other revisions than the snapshot, and .* cannot purge/);
  });

  it('reports a second cluster that is down, and the next run copies what is missing', async () => {
    await source.ask('PUT', `/${DATABASE}-two`);
    const node = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(node, 'listening');
    const url = `http://127.0.0.1:${(node.address() as AddressInfo).port}`;
    const away = openTarget({ url, user: 'a', password: 'b' }, 100, 0);
    const outcome = await run(away, [`${DATABASE}-two`]);
    await away?.close();
    node.close();
    assert.equal(outcome.exitCode, 3);
    const [one] = outcome.databases;
    assert.match(JSON.stringify(one), /"target":"backup_target does not have it: /);
    assert.doesNotMatch(JSON.stringify(outcome), /Basic|YTpi/);
    await assertEqual(await run(second.couch, [`${DATABASE}-two`]));
  });

  it('keeps a database that is not of the repository, or that others can read', async () => {
    await source.ask('PUT', '/target-foreign');
    await second.ask('PUT', '/target-foreign');
    await second.ask('PUT', '/target-foreign/mine', { mine: true });
    const foreign = await run(second.couch, ['target-foreign']);
    assert.match(
      JSON.stringify(foreign.databases),
      /that this repository does not write; it was not touched/,
    );
    assert.equal((await second.ask('GET', '/target-foreign/mine')).status, 200);
    await second.ask('PUT', `/${DATABASE}-two/_security`, { members: { names: ['ann'], roles: [] } });
    await source.ask('PUT', `/${DATABASE}-two/later`, { later: true });
    const open = await run(second.couch, [`${DATABASE}-two`]);
    assert.equal(open.exitCode, 3);
    assert.match(JSON.stringify(open.databases), /is not the owner's alone any more; nothing was written/);
    assert.equal((await second.ask('GET', `/${DATABASE}-two/later`)).status, 404);
  });

  it('gets a database again that was made again, or whose snapshot was forgotten', async () => {
    const before = await assertEqual(await run(second.couch));
    const lock = await takeLock(source.repository, 'test');
    await removeSnapshots(source.repository, lock, [before]);
    await lock.release();
    const forgotten = await assertEqual(await run(second.couch));
    await source.ask('DELETE', `/${DATABASE}`);
    // instance_start_time counts seconds.
    await until(() => Date.now() / 1000 > Number(forgotten.instance_start_time) + 2);
    await source.ask('PUT', `/${DATABASE}`);
    await source.ask('PUT', `/${DATABASE}/only`, { n: 1 });
    const made = await assertEqual(await run(second.couch));
    assert.equal(made.counts.documents, 1);
  });

  it('gets no system database', async () => {
    const outcome = await run(second.couch, ['_users']);
    assert.equal(outcome.exitCode, 0);
    assert.equal((await second.ask('GET', '/_users/_local%2Fcouchgate-backup')).status, 404);
  });
});
