// Who may do what on a database, and what a name may do on which databases: GET /_api/v2/access.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { startCouchgate, type Answer, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';

type Fields = Readonly<Record<string, unknown>>;

describe('access', () => {
  let gate: Couchgate;
  let key: Credentials;
  let manager: Credentials;
  let revoked: Credentials;
  const started = closedAfterSuite();

  before(async () => {
    gate = await started(startCouchgate());
    const as = gate.owner;
    await gate.ask('PUT', '/_users', { as });
    const body = { name: 'lee', password: 'right', roles: ['crew'], type: 'user' };
    assert.equal((await gate.ask('PUT', '/_users/org.couchdb.user:lee', { as, body })).status, 201);
    [key, manager, revoked] = [await gate.key(), await gate.key(), await gate.key()];
    await gate.ask('PATCH', `/_api/v2/api_keys/${key.name}`, { as, body: { label: 'sensor 7' } });
    await gate.ask('DELETE', `/_api/v2/api_keys/${revoked.name}`, { as });
    await gate.database('access/a', {
      [key.name]: ['_reader', '_writer'],
      [manager.name]: ['_security'],
      [revoked.name]: ['_reader'],
      lee: ['_reader'],
      ghost: ['_reader'],
      nobody: ['_reader'],
      empty: [],
    });
    await gate.database('access-b', { [key.name]: ['_reader'] });
    await gate.database('access-left');
    const left = {
      couchdb_auth_only: true,
      members: { names: [], roles: ['crew'] },
      admins: { names: ['kim'] },
    };
    assert.equal((await gate.ask('PUT', '/access-left/_security', { as, body: left })).status, 200);
  });

  const ask = (query: string, as: Credentials = gate.owner): Promise<Answer> =>
    gate.ask('GET', `/_api/v2/access?${query}`, { as });
  const fieldsFor = async (query: string, as?: Credentials): Promise<Fields> => {
    const answer = await ask(query, as);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body as Fields;
  };
  const namesIn = ({ names }: Fields): readonly Fields[] => names as readonly Fields[];
  const rowOf = (fields: Fields, name: string): Fields | undefined =>
    namesIn(fields).find((row) => row['name'] === name);

  it('has the roles of prefix grants, on databases that CouchDB does not decide about', async () => {
    const as = gate.owner;
    const path = '/_api/v2/prefix_grants/crew';
    const body = { principal: key.name, databases: 'access-*', roles: ['_writer'], create: true };
    assert.equal((await gate.ask('PUT', path, { as, body })).status < 300, true);
    const row = { roles: ['_writer'], source: 'prefix grant', grant: 'crew' };
    try {
      const rows = namesIn(await fieldsFor('database=access-b')).filter(({ name }) => name === key.name);
      assert.deepEqual(
        rows.map(({ source }) => source),
        ['_security', 'prefix grant'],
      );
      const { databases, prefix_grants: grants } = await fieldsFor(`principal=${key.name}`);
      assert.deepEqual(
        (databases as readonly Fields[]).filter(({ grant }) => grant !== undefined),
        [{ database: 'access-b', ...row }],
      );
      assert.equal((grants as readonly Fields[])[0]?.['create'], true);
    } finally {
      assert.equal((await gate.ask('DELETE', path, { as })).status, 200);
    }
    assert.deepEqual(
      namesIn(await fieldsFor('database=access-b')).filter(({ grant }) => grant !== undefined),
      [],
    );
  });

  it('says that a name is a monitor – ?principal=', async () => {
    const as = gate.owner;
    const path = `/_api/v2/server_grants/${manager.name}`;
    assert.equal((await gate.ask('PUT', path, { as, body: { roles: ['_monitor'] } })).status < 300, true);
    assert.deepEqual((await fieldsFor(`principal=${manager.name}`))['server_roles'], ['_monitor']);
    assert.equal((await gate.ask('DELETE', path, { as })).status, 200);
    assert.equal((await fieldsFor(`principal=${manager.name}`))['server_roles'], undefined);
  });

  it('tells the owner names, kinds, labels, roles and where each comes from – ?database=', async () => {
    const answer = await ask('database=access%2Fa');
    const fields = answer.body as Fields;
    assert.deepEqual(
      [answer.status, fields['database'], fields['couchdb_auth_only']],
      [200, 'access/a', false],
    );
    const security = await gate.ask('GET', '/access%2Fa/_security', { as: gate.owner });
    assert.equal(fields['revision'], security.headers.get('x-couchgate-revision'));
    assert.equal(answer.headers.get('x-couchgate-revision'), fields['revision']);
    assert.deepEqual(rowOf(fields, key.name), {
      name: key.name,
      roles: ['_reader', '_writer'],
      source: '_security',
      kind: 'key',
      label: 'sensor 7',
      expires_at: null,
      last_used: null,
    });
    const kinds: unknown = Object.fromEntries(namesIn(fields).map(({ name, kind }) => [name, kind]));
    assert.deepEqual(kinds, {
      [gate.owner.name]: 'owner',
      [key.name]: 'key',
      [manager.name]: 'key',
      [revoked.name]: 'revoked key',
      ghost: 'unknown',
      lee: 'user',
      nobody: 'nobody',
    });
    assert.deepEqual(rowOf(fields, gate.owner.name), {
      name: gate.owner.name,
      roles: ['server_admin'],
      source: 'owner',
      kind: 'owner',
    });
  });

  it('tells a holder of _security names and roles, not whose they are – ?database=', async () => {
    const fields = await fieldsFor('database=access%2Fa', manager);
    assert.deepEqual(rowOf(fields, key.name), {
      name: key.name,
      roles: ['_reader', '_writer'],
      source: '_security',
    });
    assert.equal(namesIn(fields).length, 6);
    assert.equal(rowOf(fields, gate.owner.name), undefined);
  });

  it('shows what CouchDB decides by – ?database= of a database with couchdb_auth_only', async () => {
    const fields = await fieldsFor('database=access-left');
    assert.equal(fields['couchdb_auth_only'], true);
    const { admins, ...others } = fields['couchdb'] as Record<string, Fields>;
    assert.deepEqual([others, admins?.['names']], [{ members: { names: [], roles: ['crew'] } }, ['kim']]);
  });

  it('tells the owner the databases of a key, of a user and of nobody – ?principal=', async () => {
    const ofKey = await fieldsFor(`principal=${key.name}`);
    assert.deepEqual([ofKey['kind'], ofKey['label'], ofKey['last_used']], ['key', 'sensor 7', null]);
    assert.deepEqual(ofKey['databases'], [
      { database: 'access-b', roles: ['_reader'], source: '_security' },
      { database: 'access/a', roles: ['_reader', '_writer'], source: '_security' },
    ]);
    const ofUser = await fieldsFor('principal=lee');
    assert.deepEqual(ofUser['databases'], [
      { database: 'access-left', roles: [], source: 'couchdb' },
      { database: 'access/a', roles: ['_reader'], source: '_security' },
    ]);
    const ofNobody = await fieldsFor('principal=nobody');
    assert.deepEqual([ofNobody['kind'], (ofNobody['databases'] as unknown[]).length], ['nobody', 1]);
    assert.equal((await fieldsFor(`principal=${gate.owner.name}`))['all_databases'], true);
    assert.equal((await fieldsFor(`principal=${revoked.name}`))['kind'], 'revoked key');
    for (const name of ['ghost', '', '..', 'x'.repeat(5000), '%00'])
      assert.equal((await fieldsFor(`principal=${name}`))['kind'], 'unknown', name);
  });

  it('comes in pages – ?limit= and ?after=', async () => {
    const whole = namesIn(await fieldsFor('database=access%2Fa'));
    const rows: Fields[] = [];
    for (let after = ''; ;) {
      const page = await fieldsFor(`database=access%2Fa&limit=2&after=${after}`);
      rows.push(...namesIn(page));
      if (page['next'] === undefined) break;
      after = page['next'] as string;
    }
    assert.deepEqual(rows, whole);
  });

  it('follows a revocation at once – ?database= and ?principal=', async () => {
    const late = await gate.key();
    await gate.database('access-late', { [late.name]: ['_security'] });
    assert.equal((await ask('database=access-late', late)).status, 200);
    await gate.grant('access-late', {});
    assert.equal((await ask('database=access-late', late)).status, 403);
    assert.deepEqual((await fieldsFor(`principal=${late.name}`))['databases'], []);
  });

  it('refuses questions that are none – 400', async () => {
    for (const query of [
      '',
      'database=a&principal=b',
      'database=a&database=b',
      'name=x',
      'principal=x&limit=0',
    ])
      assert.equal((await ask(query)).status, 400, query);
  });

  it('has no answer about databases of Couchgate, missing ones and `_users` – 404', async () => {
    for (const name of ['couchgate', 'couchgate_history', '_users', 'access-none', 'a/../b', ''])
      assert.equal((await ask(`database=${encodeURIComponent(name)}`)).status, 404, name);
  });
});
