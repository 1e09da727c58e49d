// Why a request is permitted or refused: POST /_api/v2/explain.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { type Explanation } from '../../src/answer/explained-request.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

describe('explain', () => {
  let gate: Couchgate;
  let reader: Credentials;
  let manager: Credentials;
  const started = closedAfterSuite();

  before(async () => {
    gate = await started(startCouchgate({ settings: { ownerAllow: ['127.0.0.1/32'] } }));
    [reader, manager] = [await gate.key(), await gate.key()];
    await gate.database('fruit', {
      [reader.name]: ['_reader'],
      [manager.name]: ['_security'],
      nobody: ['_reader'],
    });
    await gate.database('left');
    const left = { couchdb_auth_only: true, members: { names: ['x'] } };
    assert.equal((await gate.ask('PUT', '/left/_security', { as: gate.owner, body: left })).status, 200);
  });

  const ask = (question: object, as: Credentials = gate.owner) =>
    gate.ask('POST', '/_api/v2/explain', { as, body: question });
  async function explained(question: object, as?: Credentials): Promise<Explanation> {
    const { status, body } = await ask(question, as);
    assert.equal(status, 200, JSON.stringify(body));
    return body as Explanation;
  }

  it('says why a request is refused, and what is missing – PUT as a _reader', async () => {
    const { trace, revision, ...others } = await explained({
      key: reader.name,
      method: 'PUT',
      path: '/fruit/apple',
    });
    assert.deepEqual(others, {
      decision: 'deny',
      rule: 'grant',
      reason: '_writer access is required for this request',
      status: 403,
      operation: 'doc-put',
      database: 'fruit',
      needed: '_writer',
      held: ['_reader'],
      sources: [{ source: '_security', roles: ['_reader'] }],
      missing: [['_writer']],
      couchdb: [],
    });
    const security = await gate.ask('GET', '/fruit/_security', { as: gate.owner });
    assert.equal(revision, security.headers.get('x-couchgate-revision'));
    assert.deepEqual(
      trace.map(({ step }) => step),
      ['address', 'origin', 'framing', 'target', 'classify', 'authenticate', 'authorize'],
    );
  });

  it('shows the roles of all sources, and where they come from', async () => {
    const key = await gate.key();
    const grant = { principal: key.name, databases: 'fruit*', roles: ['_writer'], create: true };
    const put = await gate.ask('PUT', '/_api/v2/prefix_grants/more', { as: gate.owner, body: grant });
    assert.equal(put.status, 201);
    await gate.database('fruit-more', { [key.name]: ['_reader', '_writer'] });
    const of = async (method: string, path: string, name = key.name) => {
      const { decision, rule, held, sources } = await explained({ principal: name, method, path });
      return { decision, rule, held, sources };
    };
    const byPrefix = { source: 'prefix grant', roles: ['_writer'], grant: 'more', create: true };
    assert.deepEqual(await of('PUT', '/fruit-more/a'), {
      decision: 'allow',
      rule: 'grant',
      held: ['_reader', '_writer'],
      sources: [{ source: '_security', roles: ['_reader', '_writer'] }, byPrefix],
    });
    assert.deepEqual(await of('PUT', '/fruit/a'), {
      decision: 'allow',
      rule: 'prefix grant',
      held: ['_writer'],
      sources: [byPrefix],
    });
    // A database that does not exist yet gives no roles.
    assert.deepEqual(await of('PUT', '/fruit-new'), {
      decision: 'allow',
      rule: 'prefix grant',
      held: [],
      sources: [{ ...byPrefix, roles: [] }],
    });
    assert.deepEqual((await of('PUT', '/left/a')).sources, []);
    const owner = await of('PUT', '/fruit/a', gate.owner.name);
    assert.deepEqual(owner.sources, [{ source: 'owner', roles: ['server_admin'] }]);
    const monitor = { roles: ['_monitor'] };
    await gate.ask('PUT', `/_api/v2/server_grants/${reader.name}`, { as: gate.owner, body: monitor });
    assert.deepEqual((await of('GET', '/fruit', reader.name)).held, ['_reader', '_monitor']);
    await gate.ask('DELETE', `/_api/v2/server_grants/${reader.name}`, { as: gate.owner });
  });

  it('names alternatives, and sets of two roles', async () => {
    const missingFor = async (method: string, path: string, more: object = {}) =>
      (await explained({ principal: 'stranger-with-grants', method, path, ...more }, manager)).missing;
    assert.deepEqual(await missingFor('GET', '/fruit/apple'), [['_reader'], ['_replicator']]);
    assert.deepEqual(await missingFor('COPY', '/fruit/a', { headers: { destination: '_design/x' } }), [
      ['_reader', '_design'],
      ['_design', '_replicator'],
    ]);
    assert.deepEqual(await missingFor('POST', '/fruit/_compact'), [['_admin']]);
    assert.deepEqual(await missingFor('GET', '/fruit/_sync_shards'), []);
  });

  it('says what CouchDB decides afterwards', async () => {
    const put = { method: 'PUT', path: '/fruit/apple' };
    assert.deepEqual((await explained({ principal: gate.owner.name, ...put })).couchdb, [
      'validate_doc_update',
    ]);
    const left = await explained({ key: reader.name, method: 'GET', path: '/left/apple' });
    assert.deepEqual(
      [left.decision, left.rule, left.couchdb],
      ['allow', 'couchdb_auth_only', ['couchdb_auth_only']],
    );
  });

  it('is unknown where a body decides that the question does not give', async () => {
    await gate.database('both', { [reader.name]: ['_writer', '_design'] });
    const question = { key: reader.name, method: 'POST', path: '/both/_bulk_docs' };
    const unknown = await explained(question);
    assert.deepEqual([unknown.decision, unknown.rule], ['unknown', 'body']);
    const body = { docs: [{ _id: '_design/x' }] };
    assert.equal((await explained({ ...question, body })).operation, 'bulk-docs-design-holder');
    const local = await explained({ ...question, body: '{"docs":[{"_id":"_local/shard-sync-x"}]}' });
    assert.deepEqual([local.decision, local.rule], ['deny', 'blocked']);
  });

  it('takes the address into account – owner outside of owner_allow', async () => {
    const question = { principal: gate.owner.name, method: 'GET', path: '/_active_tasks' };
    assert.equal((await explained(question)).decision, 'allow');
    const outside = await explained({ ...question, address: '192.0.2.7' });
    assert.deepEqual([outside.decision, outside.rule], ['deny', 'owner address']);
    assert.equal((await explained({ ...question, address: '127.0.0.1' })).decision, 'allow');
  });

  it('says why no credentials of a name are valid', async () => {
    const [revoked, expired] = [await gate.key(), await gate.key()];
    await gate.ask('DELETE', `/_api/v2/api_keys/${revoked.name}`, { as: gate.owner });
    const body = { expires_at: '2020-01-01T00:00:00Z' };
    await gate.ask('PATCH', `/_api/v2/api_keys/${expired.name}`, { as: gate.owner, body });
    for (const [name, words] of [
      [revoked.name, 'revoked'],
      [expired.name, 'expired'],
      ['none', 'unknown name'],
    ] as const) {
      const found = await explained({ principal: name, method: 'GET', path: '/fruit/apple' });
      assert.deepEqual(
        [found.decision, found.rule, found.reason, found.status],
        ['deny', 'credentials', words, 401],
      );
    }
  });

  it('answers a holder of _security by grants alone', async () => {
    const asked = { method: 'GET', path: '/fruit/apple' };
    assert.equal((await explained({ nobody: true, ...asked }, manager)).decision, 'allow');
    assert.equal((await explained({ principal: reader.name, ...asked }, manager)).decision, 'allow');
    const names = [gate.owner.name, 'none'];
    const [ofOwner, ofNone] = await Promise.all(
      names.map((principal) => explained({ principal, ...asked }, manager)),
    );
    const others = (found: Explanation | undefined): object => ({ ...found, trace: undefined });
    assert.deepEqual(others(ofOwner), others(ofNone));
    assert.equal(ofNone?.decision, 'deny');
  });

  it('changes nothing and remembers nothing: the next request is decided anew', async () => {
    const late = await gate.key();
    const question = { key: late.name, method: 'GET', path: '/late/apple' };
    assert.equal((await explained(question)).rule, 'no database');
    await gate.database('late', { [late.name]: ['_reader'] });
    assert.equal((await explained(question)).decision, 'allow');
    await gate.grant('late', {});
    assert.equal((await explained(question)).decision, 'deny');
    const { stats } = gate.running.services.permissions;
    const before = JSON.stringify(stats);
    await explained({ key: late.name, method: 'GET', path: '/never-read/apple' });
    assert.equal(JSON.stringify(gate.running.services.permissions.stats), before);
  });

  it('is an event of the audit log, without the path', async () => {
    await explained({ key: reader.name, method: 'GET', path: '/fruit/banana?password=secret' });
    const linesOf = async () =>
      (await gate.accessLog()).filter(
        (line) => line['operation'] === 'api-explain' && line['statusCode'] === 200,
      );
    const count = (await linesOf()).length;
    await explained({ key: reader.name, method: 'GET', path: '/fruit/apple?password=secret' });
    await until(async () => (await linesOf()).length > count);
    const lines = await linesOf();
    const line = lines.at(-1) ?? {};
    assert.equal(line['management'], true);
    assert.deepEqual(line['change'], {
      action: 'explain',
      name: reader.name,
      method: 'GET',
      operation: 'doc-get',
      database: 'fruit',
      decision: 'allow',
      rule: 'grant',
    });
    assert.equal(JSON.stringify(lines).includes('secret'), false);
  });

  it('refuses questions that are none – 400', async () => {
    const good = { key: 'k', method: 'GET', path: '/fruit' };
    for (const bad of [
      {},
      { ...good, principal: 'x' },
      { ...good, nobody: true },
      { ...good, key: '' },
      { ...good, key: 7 },
      { ...good, method: 'get' },
      { ...good, method: 'GET /x HTTP/1.1\r\n' },
      { ...good, path: '' },
      { ...good, path: 1 },
      { ...good, paths: 'x' },
      { ...good, headers: [] },
      { ...good, headers: { 'a b': 'x' } },
      { ...good, headers: { a: 'x\r\nb: y' } },
      { ...good, headers: { Authorization: 'Basic eDp5' } },
      { ...good, headers: { cookie: 'AuthSession=x' } },
      { ...good, address: 'localhost' },
    ])
      assert.equal((await ask(bad)).status, 400, JSON.stringify(bad));
    assert.equal((await ask({ ...good, body: 'x'.repeat(300_000) })).status, 413);
  });

  it('explains targets that are refused – 400 and 414', async () => {
    for (const [path, status] of [
      ['/fruit/../x%', 400],
      ['fruit', 400],
      ['//a b', 400],
      [`/${'x'.repeat(9000)}`, 414],
    ] as const) {
      const found = await explained({ key: reader.name, method: 'GET', path });
      assert.deepEqual(
        [found.decision, found.rule, found.status],
        ['deny', 'malformed', status],
        path.slice(0, 20),
      );
    }
    const twice = await explained({
      key: reader.name,
      method: 'GET',
      path: '/fruit',
      headers: { Host: ['a', 'b'] },
    });
    assert.equal(twice.status, 400);
  });
});
