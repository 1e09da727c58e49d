// Which databases a backup takes: those that hold credentials only by name, and only encrypted; one that is
// gone does not stop the others.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseDatabases } from '../../src/backup/backup-databases.ts';
import { type CouchTransfer, type TransferRequest } from '../../src/couch/transfer.ts';

const ALL = ['_replicator', '_users', 'fruit', 'store', 'store_history', 'x/_replicator', 'x/_users'];
/** A CouchDB that answers a path so; any other one with 404. */
const couchOf = (answers: Readonly<Record<string, unknown>>): CouchTransfer =>
  ({
    ask: ({ path }: TransferRequest) =>
      Promise.resolve({
        status: path in answers ? 200 : 404,
        bytes: Buffer.from(JSON.stringify(answers[path] ?? {})),
      }),
  }) as unknown as CouchTransfer;
const couch = couchOf({ '/_all_dbs': ALL });
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

  it('include those of every connected node', async () => {
    const listOf = (...ids: readonly string[]) => ({ rows: ids.map((id) => ({ id })) });
    const cluster = couchOf({
      '/_all_dbs': [],
      '/_membership': { all_nodes: ['new@x', 'old@x', 'left@x'] },
      '/_node/new%40x/_dbs/_all_docs': listOf('_design/x'),
      '/_node/old%40x/_dbs/_all_docs': listOf('_users', 'fruit', 'apple'),
    });
    const chosen = await chooseDatabases(cluster, ['*'], { store: 'store', isEncrypted: true });
    assert.deepEqual(chosen, ['apple', 'fruit']);
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
