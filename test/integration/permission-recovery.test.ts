// Permissions on a real cluster after a loss: the store database is lost or put back from an old copy, a node is
// replaced by an empty one. Nobody gets more access, and no revocation is undone.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { before, describe, it } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { openAdmin, succeeded, type Admin } from '../../src/setup/admin.ts';
import { joinCluster } from '../../src/setup/join.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

describe('permissions after a loss', { skip: withoutCouchdb }, () => {
  let backend: Backend;
  let admins: readonly [Admin, Admin, Admin];
  const started = closedAfterSuite();
  const sessionSecret = randomBytes(32);
  // Users, not keys: keys are lost with the store.
  const [ann, bob, eve] = ['ann', 'bob', 'eve'].map((name) => ({ name: `loss-${name}`, password: name })) as [
    Credentials,
    Credentials,
    Credentials,
  ];

  before(async () => {
    backend = await started(startBackend({ nodes: 3 }));
    admins = backend.urls.map((url) =>
      openAdmin({ url, credentials: backend.owner }),
    ) as unknown as typeof admins;
    for (const { name, password } of [ann, bob, eve]) {
      const user = { name, password, type: 'user', roles: [] };
      succeeded(await admins[0].ask('PUT', `/_users/org.couchdb.user:${name}`, user), 'a user');
    }
  });

  const gateWith = (storeDatabase: string): Promise<Couchgate> =>
    started(startCouchgate({ backend, sessionSecret, settings: { storeDatabase } }));

  /** The names that may read the database, asked as each of them. */
  async function readers(gate: Couchgate, database: string): Promise<readonly string[]> {
    const allowed: string[] = [];
    for (const as of [ann, bob, eve]) {
      const { status } = await gate.ask('GET', `/${database}`, { as });
      assert.ok(status === 200 || status === 403, String(status));
      if (status === 200) allowed.push(as.name);
    }
    return allowed;
  }

  async function revisionOf(gate: Couchgate, database: string): Promise<number> {
    const { revision } = (await gate.running.services.permissions.inForce(database)) ?? {};
    return revision ?? 0;
  }

  async function isAlike(gate: Couchgate, database: string): Promise<void> {
    const { recordMaintenance, permissions } = gate.running.services;
    await until(async () => {
      await recordMaintenance.inspect(database);
      return permissions.index.recordOf(database)?.isAtRest === true;
    }, 'the database has a record again');
  }

  it('stay as they were without the store – DELETE of the store past Couchgate', async () => {
    const first = await gateWith('loss-store-a');
    await first.database('loss-a', { [ann.name]: ['_reader'], [bob.name]: ['_reader'] });
    await first.grant('loss-a', { [ann.name]: ['_reader'] });
    const revision = await revisionOf(first, 'loss-a');
    await first.close();
    for (const name of ['loss-store-a', 'loss-store-a_history'])
      succeeded(await admins[0].ask('DELETE', `/${name}`), 'deleting the store');
    const again = await gateWith('loss-store-a');
    assert.deepEqual(await readers(again, 'loss-a'), [ann.name]);
    await isAlike(again, 'loss-a');
    assert.deepEqual(await readers(again, 'loss-a'), [ann.name]);
    assert.ok((await revisionOf(again, 'loss-a')) > revision, 'the revision grows');
  });

  it('stay as they were while the store is lost and made again under a running replica', async () => {
    const gate = await gateWith('loss-store-d');
    await gate.database('loss-d', { [ann.name]: ['_reader'], [bob.name]: ['_reader'] });
    await gate.grant('loss-d', { [ann.name]: ['_reader'] });
    succeeded(await admins[0].ask('DELETE', '/loss-store-d'), 'deleting the store');
    await until(() => !gate.running.services.store.up, 'the feed is down');
    assert.deepEqual(await readers(gate, 'loss-d'), [ann.name]);
    succeeded(await admins[0].ask('PUT', '/loss-store-d'), 'making the store');
    await until(() => gate.running.services.store.up, 'the feed is up');
    assert.deepEqual(await readers(gate, 'loss-d'), [ann.name]);
    await gate.grant('loss-d', { [eve.name]: ['_reader'] });
    await until(async () => (await readers(gate, 'loss-d')).join() === eve.name, 'a change is in force');
  });

  it('are what both the old store and the objects grant – the store put back from an old copy', async () => {
    const first = await gateWith('loss-store-b');
    await first.database('loss-b', { [ann.name]: ['_reader'], [bob.name]: ['_reader'] });
    await first.database('loss-c', { [bob.name]: ['_reader'] });
    const { name, password } = backend.owner;
    const url = (database: string): string =>
      `${backend.urls[0]?.replace('://', `://${name}:${password}@`) ?? ''}/${database}`;
    const copy = async (source: string, target: string): Promise<void> => {
      const body = { source: url(source), target: url(target), create_target: true };
      succeeded(await admins[0].ask('POST', '/_replicate', body), 'copying the store');
    };
    await copy('loss-store-b', 'loss-copy-b');
    await first.grant('loss-b', { [ann.name]: ['_reader'], [eve.name]: ['_reader'] });
    await first.grant('loss-c', {});
    const revision = await revisionOf(first, 'loss-b');
    await first.close();
    succeeded(await admins[0].ask('DELETE', '/loss-store-b'), 'deleting the store');
    await copy('loss-copy-b', 'loss-store-b');
    const again = await gateWith('loss-store-b');
    const expected = { 'loss-b': [ann.name], 'loss-c': [] };
    for (const [database, names] of Object.entries(expected)) {
      assert.deepEqual(await readers(again, database), names, database);
      await isAlike(again, database);
      assert.deepEqual(await readers(again, database), names, database);
    }
    assert.ok((await revisionOf(again, 'loss-b')) > revision, 'the revision is above both');
    // A grant that the old copy has and a revocation took away stays away after the next change, too.
    await again.grant('loss-c', { [ann.name]: ['_reader'] });
    assert.deepEqual(await readers(again, 'loss-c'), [ann.name]);
  });

  it('are void at once in a database that was deleted and made again past Couchgate', async () => {
    const gate = await gateWith('loss-store-e');
    await gate.database('loss-e', { [ann.name]: ['_reader'] });
    assert.deepEqual(await readers(gate, 'loss-e'), [ann.name]);
    succeeded(await admins[1].ask('DELETE', '/loss-e'), 'deleting the database');
    succeeded(await admins[1].ask('PUT', '/loss-e'), 'making the database');
    // Couchgate has the grants in its cache. CouchDB refuses: the new database has no markers.
    assert.deepEqual(await readers(gate, 'loss-e'), []);
    await isAlike(gate, 'loss-e');
    assert.deepEqual(await readers(gate, 'loss-e'), []);
  });

  it('are found to differ on an empty node, and repaired – `permissions check --repair`', async (t) => {
    const gate = await gateWith('loss-store-n');
    await gate.database('loss-n', { [ann.name]: ['_reader'] });
    const [, , node] = backend.nodes;
    assert.ok(node, 'node is missing');
    await node.kill();
    await gate.grant('loss-n', { [eve.name]: ['_reader'] });
    await rm(join(dirname(node.logFile), 'data'), { recursive: true, force: true });
    await node.start();
    await joinCluster(admins, { timeoutMs: 60_000 });
    const run = async (...args: readonly string[]): Promise<{ code: number; out: string }> => {
      let out = '';
      const code = await runCommand('permissions', ['check', ...args, 'loss-n'], {
        env: {
          COUCHGATE_CONFIG: gate.configFolder,
          COUCHGATE_STORE_DATABASE: 'loss-store-n',
          COUCHGATE_COUCHDB_NODES: backend.urls.join(),
          COUCHGATE_JWT_SECRET: backend.jwtSecretBase64,
          COUCHGATE_JWT_KID: backend.kid,
        },
        stdin: Readable.from([]),
        stdout: { write: (text) => (out += text) },
        stderr: { write: (text) => (out += text) },
      });
      return { code, out };
    };
    await until(
      async () => (await admins[2].ask('GET', '/loss-n')).status === 200,
      'the node has the database',
    );
    const found = await run();
    t.diagnostic(found.out);
    assert.deepEqual(await readers(gate, 'loss-n'), [eve.name]);
    await until(async () => (await run('--repair')).code === 0 && (await run()).code === 0, 'repaired');
    const objects = await Promise.all(
      admins.map(async (admin) => (await admin.ask('GET', '/loss-n/_security')).body),
    );
    for (const object of objects) assert.deepEqual(object, objects[0]);
    assert.deepEqual(Object.keys((objects[0] as { cloudant: object }).cloudant), [eve.name]);
    assert.deepEqual(await readers(gate, 'loss-n'), [eve.name]);
  });
});
