// H30: a question about permissions must tell nobody which databases, keys and users exist, neither by its answer,
// nor by what CouchDB is asked for it.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { ownAccess } from '../../src/answer/own-access.ts';
import { endpoint } from '../../src/catalogue/catalogue.ts';
import { Context } from '../../src/context.ts';
import { roleSet } from '../../src/permissions/role.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

/** Requests about a database or a name. Couchgate sends others by itself from time to time. */
const ABOUT_A_NAME = /h30|org\.couchdb\.user|permissions|api_key|admins|_security/;

describe('H30: questions about access', () => {
  let gate: Couchgate;
  let reader: Credentials;
  let manager: Credentials;
  const started = closedAfterSuite();

  before(async () => {
    gate = await started(startCouchgate());
    [reader, manager] = [await gate.key(), await gate.key()];
    await gate.database('h30-secret', { other: ['_reader'] });
    await gate.database('h30-own', { [manager.name]: ['_security'], [reader.name]: ['_reader', '_writer'] });
    await gate.database('h30-left', { [manager.name]: ['_reader'] });
  });

  const access = (query: string): string => `/_api/v2/access?${query}`;

  /** Asks as the key, and asserts that CouchDB got no request for it. Returns the refusal. */
  async function refused(path: string, as: Credentials, question?: object): Promise<unknown> {
    // The credentials are in memory after this.
    await gate.ask('GET', '/_session', { as });
    gate.recorder.takeEverything();
    const how = question === undefined ? { as } : { as, body: question };
    const { status, body } = await gate.ask(question === undefined ? 'GET' : 'POST', path, how);
    assert.equal(status, 403, `${path} ${JSON.stringify(question)}`);
    const asked = gate.recorder.takeEverything().filter(({ url }) => ABOUT_A_NAME.test(url));
    assert.deepEqual(
      asked.map(({ method, url }) => `${method} ${url}`),
      [],
      path,
    );
    return body;
  }

  it('are refused alike for known and unknown databases and names, without a read – GET /_api/v2/access', async () => {
    const databases = ['h30-secret', 'h30-none', 'couchgate', '_users', 'h30-own', 'h30-left', '', 'a/../b'];
    const ofDatabases = databases.map((name) => `database=${encodeURIComponent(name)}`);
    const names = [reader.name, manager.name, gate.owner.name, 'nobody', 'none'];
    // Only the decoded name as a whole, in its own letters, is one's own.
    const nearly = [
      ...[reader.name.toUpperCase(), `${reader.name}%20`, `%00${reader.name}`, `${reader.name}%00`],
      ...['', '%6eobody', 'Nobody', `${reader.name}%252f`, reader.name.slice(1), '..'],
    ];
    const questions = [...ofDatabases, ...[...names, ...nearly].map((name) => `principal=${name}`)];
    const refusals = new Set<string>();
    for (const query of questions) {
      if (query !== `principal=${reader.name}`)
        refusals.add(JSON.stringify(await refused(access(query), reader)));
      if (query !== 'database=h30-own' && query !== `principal=${manager.name}`)
        refusals.add(JSON.stringify(await refused(access(query), manager)));
    }
    assert.equal(refusals.size, 1, [...refusals].join());
    for (const query of [
      `principal=${reader.name}&principal=${manager.name}`,
      `principal=${manager.name}&principal=${reader.name}`,
      `principal=${reader.name}&%70rincipal=${manager.name}`,
      `principal=${reader.name}&database=h30-secret`,
    ])
      assert.equal((await gate.ask('GET', access(query), { as: reader })).status, 400, query);
  });

  it('are answered about oneself, with nothing of others and nothing that the owner wrote', async () => {
    const body = { label: 'secret label' };
    await gate.ask('PATCH', `/_api/v2/api_keys/${reader.name}`, { as: gate.owner, body });
    await gate.ask('PUT', `/_api/v2/server_grants/${reader.name}`, {
      ...{ as: gate.owner, body: { roles: ['_monitor'] } },
    });
    const grant = { principal: reader.name, databases: 'h30-se*', roles: ['_reader'], create: true };
    await gate.ask('PUT', '/_api/v2/prefix_grants/h30-own', { as: gate.owner, body: grant });
    const encoded = `%${reader.name.charCodeAt(0).toString(16)}${reader.name.slice(1)}`;
    // What CouchDB is asked for it is the list of all databases, whoever asks.
    gate.recorder.takeEverything();
    const answer = await gate.ask('GET', access(`principal=${encoded}`), { as: reader });
    const asked = gate.recorder.takeEverything().filter(({ url }) => ABOUT_A_NAME.test(url));
    assert.deepEqual([answer.status, asked], [200, []]);
    const { id, databases, roles, create } = { id: 'h30-own', ...grant };
    assert.deepEqual(answer.body, {
      principal: reader.name,
      kind: 'key',
      prefix_grants: [{ id, databases, roles, create, delete: false }],
      databases: [
        { database: 'h30-own', roles: ['_reader', '_writer'], source: '_security' },
        { database: 'h30-secret', roles: ['_reader'], source: 'prefix grant', grant: id },
      ],
    });
    await gate.ask('DELETE', '/_api/v2/prefix_grants/h30-own', { as: gate.owner });
    await gate.ask('DELETE', `/_api/v2/server_grants/${reader.name}`, { as: gate.owner });
    assert.equal(
      (await gate.ask('GET', access(`principal=${reader.name}`))).status,
      401,
      'without a password',
    );
  });

  /** Asks about oneself; `during` happens while the list of databases is read. */
  function askedWhile(
    during: () => void,
    held: Map<string, number>,
    isValid: () => boolean,
  ): Promise<object> {
    const context = new Context();
    const principal = { kind: 'key', name: 'late' } as const;
    context.identified = { principal, method: 'basic' };
    const applied = endpoint('api-access');
    context.operation = {
      ...{ endpoint: applied, alternatives: [], decidedByBody: undefined },
      ...{ database: undefined, documentId: undefined },
    };
    context.decision = {
      ...{
        allow: true,
        endpoint: applied,
        privilege: 'none',
        identity: 'marker',
        roles: 0,
        rule: 'signed in',
      },
    };
    const index = {
      ...{ isLoaded: true, size: 1, databasesOf: () => held, rolesOn: () => 0, grantsOf: () => undefined },
      ...{ couchdbAuthOnly: () => new Set<string>(), isDeleted: () => false },
      couchdbMembersOf: () => undefined,
    };
    const deps = {
      permissions: { index },
      existing: {
        filter: (names: readonly string[]) => Promise.resolve(names).finally(during),
        withPrefix: () => Promise.resolve([]),
      },
      prefixGrants: { isKnown: true, grantsOf: () => [] },
      reservedDatabases: [],
      isStillPermitted: isValid,
    };
    return ownAccess(deps, context, principal, { limit: 10, after: undefined });
  }

  it('about oneself are decided again after the wait: a credential or a grant that has ended', async () => {
    const held = () => new Map([['db', roleSet(['_reader'])]]);
    const row = { database: 'db', roles: ['_reader'], source: '_security' };
    const databasesIn = (answer: object): unknown => (answer as { databases?: unknown }).databases;
    const whole = await askedWhile(
      () => undefined,
      held(),
      () => true,
    );
    assert.deepEqual(databasesIn(whole), [row]);
    let isValid = true;
    const ended = askedWhile(
      () => (isValid = false),
      held(),
      () => isValid,
    );
    await assert.rejects(ended, { status: 403 });
    const grants = held();
    const narrowed = await askedWhile(
      () => grants.clear(),
      grants,
      () => true,
    );
    assert.deepEqual(databasesIn(narrowed), []);
  });

  const explain = { method: 'GET', path: '/h30-secret/x', principal: 'other' };
  const questions: readonly object[] = [
    explain,
    { ...explain, path: '/h30-none/x' },
    { ...explain, path: '/couchgate/x' },
    { ...explain, path: '/_users/x' },
    { ...explain, path: '/_all_dbs' },
    { ...explain, path: '/../h30-own/x' },
    { ...explain, path: '/h30-own%2F..%2Fh30-secret/x' },
    { ...explain, path: '/%' },
    { ...explain, path: '/h30-own/x', address: '192.0.2.1' },
    { ...explain, path: '/h30-own/x', method: 'COPY', headers: { destination: 'http://h/h30-secret/x' } },
    { ...explain, path: '/_replicate', method: 'POST', body: { source: 'h30-own', target: 'h30-secret' } },
    { ...explain, path: '/api/set_permissions', method: 'POST', body: 'database=h30-secret' },
    {
      ...explain,
      path: '/api/set_permissions',
      method: 'POST',
      body: 'database=h30-own&database=h30-secret',
    },
    { ...explain, path: '/api/set_permissions', method: 'POST' },
  ];

  it('are refused alike unless the whole request is on the own database – POST /_api/v2/explain', async () => {
    const refusals = new Set<string>();
    for (const as of [manager, reader]) {
      const foreign = as === reader ? [...questions, { ...explain, path: '/h30-own/x' }] : questions;
      for (const question of foreign)
        for (const principal of ['other', 'none', gate.owner.name, manager.name])
          refusals.add(JSON.stringify(await refused('/_api/v2/explain', as, { ...question, principal })));
    }
    assert.equal(refusals.size, 1, [...refusals].join());
    const own = { ...explain, path: '/h30-own/x' };
    assert.equal((await gate.ask('POST', '/_api/v2/explain', { as: manager, body: own })).status, 200);
    const form = { ...own, path: '/api/set_permissions', method: 'POST', body: 'database=h30-own' };
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const { status } = await gate.ask('POST', '/_api/v2/explain', {
      as: manager,
      body: { ...form, headers },
    });
    assert.equal(status, 200);
  });

  it('are answered to a holder of _security by a prefix grant, inside its prefix alone', async () => {
    const holder = await gate.key();
    const put = (id: string, body: object) =>
      gate.ask('PUT', `/_api/v2/prefix_grants/${id}`, { as: gate.owner, body });
    const grant = { principal: holder.name, databases: 'h30-pre-*', roles: ['_security'], dangerous: true };
    assert.equal((await put('h30', grant)).status, 201);
    assert.equal(
      (await put('h30-reader', { ...grant, databases: 'h30-read-*', roles: ['_reader'] })).status,
      201,
    );
    await gate.database('h30-pre-a', { other: ['_reader'] });
    await gate.database('h30-pre-left');
    const left = { couchdb_auth_only: true, members: { names: ['x'] } };
    await gate.ask('PUT', '/h30-pre-left/_security', { as: gate.owner, body: left });
    await gate.database('h30-read-a');
    const own = { ...explain, path: '/h30-pre-a/x', principal: holder.name };
    const { status, body } = await gate.ask('POST', '/_api/v2/explain', { as: holder, body: own });
    assert.equal(status, 200, JSON.stringify(body));
    const { held, sources } = body as { readonly held: unknown; readonly sources: unknown };
    assert.deepEqual(held, ['_security']);
    assert.deepEqual(sources, [{ source: 'prefix grant', roles: ['_security'], grant: 'h30' }]);
    const names = await gate.ask('GET', access('database=h30-pre-a'), { as: holder });
    assert.equal(names.status, 200);
    assert.ok(!JSON.stringify(names.body).includes('unknown'), 'whose a name is, only the owner learns');
    // Outside of its prefix: one refusal, without a read. Inside, it may know which databases exist.
    const refusals = new Set<string>();
    for (const question of questions)
      refusals.add(JSON.stringify(await refused('/_api/v2/explain', holder, question)));
    for (const name of ['h30-own', 'h30-none', 'h30-read-a', 'h30-read-none', '_users', 'couchgate'])
      refusals.add(JSON.stringify(await refused(access(`database=${name}`), holder)));
    for (const name of ['h30-pre-none', 'h30-pre-left']) {
      const answer = await gate.ask('GET', access(`database=${name}`), { as: holder });
      assert.equal(answer.status, 403);
      refusals.add(JSON.stringify(answer.body));
    }
    assert.equal(refusals.size, 1, [...refusals].join());
    await gate.ask('DELETE', '/_api/v2/prefix_grants/h30', { as: gate.owner });
    assert.deepEqual(await refused(access('database=h30-pre-a'), holder), JSON.parse([...refusals][0] ?? ''));
  });

  it('do not tell a holder of _security who is a monitor – POST /_api/v2/explain', async () => {
    const monitor = await gate.key();
    const put = await gate.ask('PUT', `/_api/v2/server_grants/${monitor.name}`, {
      ...{ as: gate.owner, body: { roles: ['_monitor'] } },
    });
    assert.equal(put.status, 201);
    const question = { ...explain, path: '/h30-own', principal: monitor.name };
    const asked = (as: Credentials) => gate.ask('POST', '/_api/v2/explain', { as, body: question });
    const [toHolder, toOwner] = [await asked(manager), await asked(gate.owner)];
    assert.deepEqual([toHolder.status, toOwner.status], [200, 200]);
    assert.equal(JSON.stringify(toOwner.body).includes('_monitor'), true);
    assert.ok(!JSON.stringify(toHolder.body).includes('_monitor'), JSON.stringify(toHolder.body));
    assert.equal((toHolder.body as { decision?: unknown }).decision, 'deny');
  });

  it('need credentials, whatever nobody holds – 401', async () => {
    await gate.database('h30-public', { nobody: ['_admin', '_security'] });
    assert.equal((await gate.ask('GET', access('database=h30-public'))).status, 401);
  });

  it('are decided by the record, not by the index alone – a grant that has ended – 403', async () => {
    const late = await gate.key();
    await gate.database('h30-late', { [late.name]: ['_security'] });
    const index = gate.running.services.permissions.index;
    const rolesOn = index.rolesOn.bind(index);
    index.rolesOn = () => -1;
    try {
      await gate.grant('h30-late', {});
      assert.equal((await gate.ask('GET', access('database=h30-late'), { as: late })).status, 403);
    } finally {
      index.rolesOn = rolesOn;
    }
  });

  it('are decided again after their read: the right to ask ended while it waited – 403', async () => {
    const late = await gate.key();
    await gate.database('h30-busy', { [late.name]: ['_security'] });
    await gate.database('h30-lost', { [late.name]: ['_security'], other: ['_reader'] });
    const ask = async (path: string): Promise<number> => (await gate.ask('GET', path, { as: late })).status;
    for (const path of ['/h30-busy/_security', access('database=h30-lost')])
      assert.equal(await ask(path), 200);
    // Two reads are all that a caller may have at once, so the question waits.
    const held = gate.recorder.hold(/^\/h30-busy\/_security/);
    const reads = [ask('/h30-busy/_security'), ask('/h30-busy/_security')];
    await until(() => held.count === 2, 'two reads are under way');
    const question = ask(access('database=h30-lost'));
    const inFlight = /^couchgate_requests_in_flight 3/m;
    await until(async () => inFlight.test(await gate.running.metrics()), 'the question waits');
    await gate.grant('h30-lost', { other: ['_reader'] });
    held.release();
    assert.deepEqual(await Promise.all([...reads, question]), [200, 200, 403]);
  });

  it('are logged with the refusal', async () => {
    const lines = (await gate.accessLog()).filter(({ operation }) => operation === 'api-access');
    const line = lines.find(({ principal }) => principal === reader.name);
    assert.deepEqual([line?.['decision'], line?.['statusCode']], ['deny', 403]);
  });
});
