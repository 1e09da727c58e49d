// Which databases a backup takes: those that hold credentials only by name, and only encrypted.
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
});
