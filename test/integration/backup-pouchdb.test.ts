// A PouchDB client with checkpoints of the old database goes on with the restored one.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { overwriteDatabase } from '../../src/backup/overwrite-database.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';
import { localPouch, remotePouch } from '../support/pouch.ts';

const DATABASE = 'restored-pouch';

describe('a PouchDB client of a restored database', () => {
  let bench: BackupBench;

  before(async () => {
    bench = await startBackupBench();
    await bench.ask('PUT', `/${DATABASE}`);
  });
  after(() => bench.close());

  it('goes on with its checkpoints: both sides end with the same revisions', async () => {
    const local = localPouch(`client-${Date.now()}`);
    const remote = remotePouch(`${bench.backend.urls[0] ?? ''}/${DATABASE}`, bench.backend.owner);
    const revisions = async (database: typeof local) =>
      (await database.allDocs({ include_docs: true })).rows.map(({ doc }) => `${doc._id} ${doc._rev}`).sort();
    for (const n of [1, 2, 3]) await bench.ask('PUT', `/${DATABASE}/server-${n}`, { n });
    await local.put({ _id: 'client-1', n: 1 });
    await local.replicate.from(remote);
    await local.replicate.to(remote);
    const snapshot = await bench.backup(DATABASE);
    // After the snapshot: a change that the client has, and one that it does not have.
    const { _rev: before } = await local.get('server-1');
    await local.put({ _id: 'server-1', n: 'later', ...(before === undefined ? {} : { _rev: before }) });
    await local.replicate.to(remote);
    await bench.ask('PUT', `/${DATABASE}/server-4`, { n: 4 });
    const lock = await takeLock(bench.repository, 'test');
    const { repository, couch } = bench;
    await overwriteDatabase({ repository, lock, couch, onEvent: () => undefined }, snapshot);
    await lock.release();
    assert.equal((await remote.get('server-1'))['n'], 1, 'the database is that of the snapshot');
    await bench.ask('PUT', `/${DATABASE}/server-5`, { n: 5 });
    await local.put({ _id: 'client-2', n: 2 });
    assert.equal((await local.replicate.from(remote)).doc_write_failures, 0);
    assert.equal((await local.replicate.to(remote)).doc_write_failures, 0);
    assert.deepEqual(await revisions(local), await revisions(remote));
    assert.equal((await remote.get('server-1'))['n'], 'later', 'the client pushed what it has');
    assert.deepEqual(
      (await revisions(remote)).map((one) => one.split(' ')[0]),
      ['client-1', 'client-2', 'server-1', 'server-2', 'server-3', 'server-5'],
    );
    await local.close();
    await remote.close();
  });
});
