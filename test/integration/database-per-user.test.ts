// CouchDB's couch_peruser behind Couchgate: who gets into the database of a user (docs/recipes/database-per-user.md).
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startCluster, withoutCouchdb, type Cluster } from '../support/cluster.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { until } from '../support/until.ts';

const ANN = { name: 'ann', password: 'secret of ann' };
const DATABASE = '/userdb-616e6e';

describe('couch_peruser', { skip: withoutCouchdb }, () => {
  let cluster: Cluster;
  let gate: Couchgate;
  before(async () => {
    cluster = await startCluster({ ini: '[couch_peruser]\nenable = true\n' });
    const unused = { log: () => Promise.resolve(''), close: () => Promise.resolve() };
    gate = await startCouchgate({ backend: { ...cluster, ...unused, kind: 'couchdb' } });
  });
  after(async () => {
    await gate.close();
    await cluster.close();
  });

  const statusOf = async (method: string, path: string): Promise<number> =>
    (await gate.ask(method, `${DATABASE}${path}`, { as: ANN, ...(method === 'PUT' ? { body: {} } : {}) }))
      .status;

  it('creates a database that only the owner may use – GET /userdb-616e6e – 403', async () => {
    const as = gate.owner;
    const user = { ...ANN, type: 'user', roles: [] };
    assert.equal((await gate.ask('PUT', '/_users/org.couchdb.user:ann', { as, body: user })).status, 201);
    await until(async () => (await gate.ask('GET', DATABASE, { as })).status === 200);
    assert.equal(await statusOf('GET', ''), 403);
  });

  const ways: readonly [name: string, security: object, mayDesign: number][] = [
    ['grants', { cloudant: { ann: ['_reader', '_writer'] } }, 403],
    [
      'couchdb_auth_only',
      { couchdb_auth_only: true, admins: { names: ['ann'] }, members: { names: ['ann'] } },
      201,
    ],
  ];
  for (const [name, body, mayDesign] of ways)
    it(`lets the user in, and nobody else, by ${name}`, async () => {
      const as = gate.owner;
      assert.equal((await gate.ask('PUT', `${DATABASE}/_security`, { as, body })).status, 200);
      await until(async () => (await statusOf('GET', '')) === 200);
      assert.equal(await statusOf('PUT', `/${name}`), 201);
      assert.equal(await statusOf('PUT', `/_design/${name}`), mayDesign);
      assert.equal((await gate.ask('GET', DATABASE)).status, 401);
    });

  it('lets the user of a new database in at once if a pattern of `adopt` matches', async () => {
    const unused = { log: () => Promise.resolve(''), close: () => Promise.resolve() };
    const backend = { ...cluster, ...unused, kind: 'couchdb' } as const;
    const adopting = await startCouchgate({ backend, settings: { adopt: ['userdb-*'] } });
    const as = adopting.owner;
    const bob = { name: 'bob', password: 'secret of bob' };
    const user = { ...bob, type: 'user', roles: [] };
    assert.equal((await adopting.ask('PUT', '/_users/org.couchdb.user:bob', { as, body: user })).status, 201);
    await until(async () => (await adopting.ask('GET', '/userdb-626f62', { as: bob })).status === 200);
    assert.equal((await adopting.ask('PUT', '/userdb-626f62/x', { as: bob, body: {} })).status, 201);
    assert.equal((await adopting.ask('GET', '/userdb-626f62', { as: ANN })).status, 403);
    assert.equal((await adopting.ask('GET', '/userdb-626f62')).status, 401);
    await adopting.close();
  });
});
