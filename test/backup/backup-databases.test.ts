// Which databases a backup takes: those that hold credentials only by name, and only encrypted; one that is
// gone does not stop the others.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseDatabases } from '../../src/backup/backup-databases.ts';
import { type CouchTransfer } from '../../src/couch/transfer.ts';

const ALL = ['_replicator', '_users', 'fruit', 'store', 'store_history', 'x/_replicator', 'x/_users'];
const couch = {
  ask: () => Promise.resolve({ status: 200, bytes: Buffer.from(JSON.stringify(ALL)) }),
} as unknown as CouchTransfer;
const choose = (patterns: readonly string[], isEncrypted: boolean) =>
  chooseDatabases(couch, patterns, { store: 'store', isEncrypted });

describe('the databases of a backup', () => {
  it('leave out those with credentials if a pattern has a *', async () => {
    assert.deepEqual(await choose(['*'], true), ['fruit']);
    assert.deepEqual(await choose(['x/*'], true), []);
  });

  it('include those with credentials by name, in an encrypted repository only', async () => {
    for (const name of ['_users', 'store', 'store_history', 'x/_replicator']) {
      assert.deepEqual(await choose([name], true), [name]);
      await assert.rejects(choose([name], false), /encrypted repository only/);
    }
  });

  it('include a named one that does not exist, if there are others', async () => {
    assert.deepEqual(await choose(['gone', 'f*', 'gone'], true), ['fruit', 'gone']);
    for (const names of [['gone'], ['gone', 'none-*']])
      await assert.rejects(choose(names, true), /The database gone does not exist/);
    // Another path of CouchDB, or none that it could have.
    for (const name of ['_all_dbs', '_node/_local', '.', 'Gone'])
      await assert.rejects(choose(['fruit', name], true), /does not exist/);
    // It may be made in the meantime.
    await assert.rejects(choose(['fruit', 'gone/_users'], false), /encrypted repository only/);
  });
});
