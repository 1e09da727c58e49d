// A key that is made together with its grants: it works at once, or there is no key.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { startCouchgate, type Answer, type Couchgate } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

describe('POST /_api/v2/api_keys with grants', () => {
  let gate: Couchgate;
  const started = closedAfterSuite();
  before(async () => {
    gate = await started(startCouchgate());
    await gate.database('fruit', { old: ['_reader'] });
    await gate.database('nuts');
  });
  const create = (grants: object): Promise<Answer> =>
    gate.ask('POST', '/_api/v2/api_keys', { as: gate.owner, body: { grants } });
  const keyCount = async (): Promise<number> => {
    const { body } = await gate.ask('GET', '/_api/v2/api_keys', { as: gate.owner });
    return (body as { api_keys: unknown[] }).api_keys.length;
  };
  const cloudantOf = async (database: string): Promise<unknown> => {
    const { body } = await gate.ask('GET', `/${database}/_security`, { as: gate.owner });
    return (body as { cloudant?: unknown }).cloudant;
  };

  it('answers with a key that may do what was granted, and leaves other grants alone – 201', async () => {
    const made = await create({ fruit: ['_reader'], nuts: ['_writer'] });
    assert.equal(made.status, 201);
    assert.equal(made.headers.get('cache-control'), 'no-store');
    const { key, password, grants } = made.body as Record<string, string>;
    const as = { name: key ?? '', password: password ?? '' };
    assert.deepEqual(grants, { fruit: ['_reader'], nuts: ['_writer'] });
    assert.equal((await gate.ask('GET', '/fruit/_all_docs', { as })).status, 200);
    assert.equal((await gate.ask('PUT', '/nuts/a', { as, body: {} })).status, 201);
    assert.equal((await gate.ask('PUT', '/fruit/a', { as, body: {} })).status, 403);
    assert.deepEqual(await cloudantOf('fruit'), { old: ['_reader'], [as.name]: ['_reader'] });
    await until(async () =>
      (await gate.accessLog()).some(
        ({ change }) =>
          JSON.stringify((change as { grants?: unknown } | undefined)?.grants) === JSON.stringify(grants),
      ),
    );
  });

  it('makes no key if a database is missing – 404', async () => {
    const before = [await keyCount(), await cloudantOf('fruit')];
    const refused = await create({ fruit: ['_reader'], missing: ['_reader'] });
    assert.equal(refused.status, 404);
    assert.deepEqual([await keyCount(), await cloudantOf('fruit')], before);
  });

  it('leaves no key and no grant if a database vanishes in between – 404', async () => {
    await gate.database('brief');
    const before = [await keyCount(), await cloudantOf('fruit')];
    // The key document is written after the databases were looked at, and before the grants.
    const held = gate.recorder.hold(/^\/couchgate\/key/);
    const answer = create({ fruit: ['_reader'], brief: ['_reader'] });
    await until(() => held.count > 0);
    assert.equal((await gate.ask('DELETE', '/brief', { as: gate.owner })).status, 200);
    held.release();
    const { status, body } = await answer;
    assert.deepEqual([status, (body as { error: string }).error], [404, 'not_found']);
    assert.deepEqual([await keyCount(), await cloudantOf('fruit')], before);
  });
});
