// H21: two replicas change the permissions of one database at the same time. A revocation that was answered 200 is
// not undone by the other replica, which has read the object before.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { startBackend, type Backend } from '../support/backend.ts';
import { startCouchgate, type Answer, type Couchgate } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

/** On a real cluster, one of two rounds undid the revocation before there were records. */
const ROUNDS = 10;

describe('H21 two replicas and one security object', () => {
  let backend: Backend;
  let first: Couchgate;
  let second: Couchgate;
  const started = closedAfterSuite();

  before(async () => {
    backend = await started(startBackend({ nodes: 3 }));
    const sessionSecret = randomBytes(32);
    const urlOf = (at: number): string => backend.urls[at] ?? backend.urls[0] ?? '';
    // Each replica uses a node of its own.
    first = await started(startCouchgate({ backend: { ...backend, urls: [urlOf(0)] }, sessionSecret }));
    second = await started(startCouchgate({ backend: { ...backend, urls: [urlOf(1)] }, sessionSecret }));
  });

  const newName = (): string => `h21-${randomBytes(4).toString('hex')}`;

  const grantsAt = async (gate: Couchgate, database: string): Promise<unknown> => {
    const { status, body } = await gate.ask('GET', `/${database}/_security`, { as: gate.owner });
    assert.equal(status, 200);
    return (body as { readonly cloudant?: unknown }).cloudant;
  };

  const setPermissions = (gate: Couchgate, database: string, name: string, role: string): Promise<Answer> =>
    gate.ask('POST', '/api/set_permissions', {
      as: gate.owner,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      body: `database=${database}&username=${name}&roles=${role}`,
    });

  it('keeps a revocation – PUT /db/_security here, POST /api/set_permissions there – 200 and 200', async () => {
    const database = newName();
    const alice = await first.key();
    await first.database(database);
    for (let round = 0; round < ROUNDS; round += 1) {
      await first.grant(database, { [alice.name]: ['_reader'] });
      const [revoked, granted] = await Promise.all([
        first.ask('PUT', `/${database}/_security`, { as: first.owner, body: { cloudant: {} } }),
        setPermissions(second, database, 'bob', '_writer'),
      ]);
      assert.deepEqual([revoked.status, granted.status], [200, 200]);
      for (const gate of [first, second]) {
        const grants = await grantsAt(gate, database);
        const isOneOfTwoOrders = [{}, { bob: ['_writer'] }].some(
          (order) => JSON.stringify(order) === JSON.stringify(grants),
        );
        assert.ok(isOneOfTwoOrders, `round ${round}: ${JSON.stringify(grants)}`);
      }
      const read = (gate: Couchgate): Promise<Answer> => gate.ask('GET', `/${database}`, { as: alice });
      assert.equal((await read(first)).status, 403);
      await until(async () => (await read(second)).status === 403, 'the other replica refuses too');
    }
  });

  it('lets one of two writers with the same If-Match through – PUT /db/_security – 200 and 412', async () => {
    const database = newName();
    await first.database(database, {});
    for (let round = 0; round < ROUNDS; round += 1) {
      const { headers } = await first.ask('GET', `/${database}/_security`, { as: first.owner });
      const put = (gate: Couchgate, name: string): Promise<Answer> =>
        gate.ask('PUT', `/${database}/_security`, {
          as: gate.owner,
          headers: { 'If-Match': headers.get('etag') ?? '' },
          body: { cloudant: { [name]: ['_reader'] } },
        });
      const answers = await Promise.all([put(first, `a${round}`), put(second, `b${round}`)]);
      assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 412]);
      const winner = answers[0].status === 200 ? `a${round}` : `b${round}`;
      for (const gate of [first, second])
        assert.deepEqual(await grantsAt(gate, database), { [winner]: ['_reader'] });
    }
  });

  it('says the revision in force to the loser – PUT /db/_security with ?rev= – 412', async () => {
    const database = newName();
    await first.database(database, { bob: ['_reader'] });
    const path = `/_api/v2/db/${database}/_security`;
    const read = await second.ask('GET', path, { as: second.owner });
    const revision = read.headers.get('x-couchgate-revision') ?? '';
    assert.equal(read.headers.get('etag'), `"${revision}"`);
    const body = { cloudant: {} };
    const done = await first.ask('PUT', `${path}?rev=${revision}`, { as: first.owner, body });
    assert.equal(done.status, 200);
    const late = await second.ask('PUT', `${path}?rev=${revision}`, {
      as: second.owner,
      body: { cloudant: { x: ['_admin'] } },
    });
    assert.equal(late.status, 412);
    const { error, revision: present } = late.body as Record<string, unknown>;
    assert.deepEqual([error, present], ['precondition_failed', (done.body as { revision: number }).revision]);
    assert.deepEqual(await grantsAt(second, database), {});
    const weak = `W/"${done.headers.get('x-couchgate-revision') ?? ''}"`;
    const compressed = await second.ask('PUT', path, {
      as: second.owner,
      body,
      headers: { 'If-Match': weak },
    });
    assert.equal(compressed.status, 200, 'a proxy that compresses weakens the tag');
  });
});
