// The lists of databases for everybody: a caller sees what it may use, the owner sees no database of Couchgate.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { openAdmin } from '../../src/setup/admin.ts';
import { startCouchgate, type Answer, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

describe('the lists of databases', () => {
  let gate: Couchgate;
  let key: Credentials;
  let user: Credentials;
  let security: Credentials;
  const started = closedAfterSuite();

  before(async () => {
    gate = await started(startCouchgate());
    const { owner, ask } = { owner: gate.owner, ask: gate.ask.bind(gate) };
    await ask('PUT', '/_users', { as: owner });
    user = { name: 'lee', password: 'right' };
    const body = { ...user, roles: ['crew'], type: 'user' };
    assert.equal((await ask('PUT', '/_users/org.couchdb.user:lee', { as: owner, body })).status, 201);
    key = await gate.key();
    security = await gate.key();
    await gate.database('lists-a', { [key.name]: ['_reader'], [security.name]: ['_security'] });
    await gate.database('lists-b', { [key.name]: ['_writer'], lee: ['_reader'] });
    await gate.database('lists/c', { [key.name]: ['_admin'], nobody: ['_reader'] });
    await gate.database('lists-d', { other: ['_reader'] });
    for (const [name, members] of [
      ['lists-crew', { names: [], roles: ['crew'] }],
      ['lists-named', { names: [key.name], roles: [] }],
      ['lists-others', { names: ['somebody'], roles: [] }],
      ['lists-open', { names: [], roles: [] }],
    ] as const) {
      await gate.database(name);
      const left = { couchdb_auth_only: true, members, cloudant: { [security.name]: ['_reader'] } };
      assert.equal((await ask('PUT', `/${name}/_security`, { as: owner, body: left })).status, 200);
    }
  });

  const list = (as?: Credentials, query = ''): Promise<Answer> =>
    gate.ask('GET', `/_all_dbs${query}`, { as });
  const namesFor = async (as?: Credentials, query = ''): Promise<unknown> => {
    const answer = await list(as, query);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  };
  const ofKey = ['lists-a', 'lists-b', 'lists-named', 'lists/c'];

  it('contain the databases on which a key has a role, and those where CouchDB names it – GET /_all_dbs', async () => {
    assert.deepEqual(await namesFor(key), ofKey);
    assert.deepEqual(await namesFor(user), ['lists-b', 'lists-crew']);
    assert.deepEqual(await namesFor(security), ['lists-a']);
    assert.deepEqual(await namesFor(await gate.key()), []);
  });

  it('take the parameters of CouchDB, and refuse as CouchDB does – GET /_all_dbs?limit=', async () => {
    assert.deepEqual(await namesFor(key, '?limit=2&skip=1'), ofKey.slice(1, 3));
    assert.deepEqual(await namesFor(key, '?descending=true&limit=1'), ofKey.slice(-1));
    assert.deepEqual(await namesFor(key, '?startkey="lists-b"'), ofKey.slice(1));
    assert.deepEqual(await namesFor(key, '?endkey="lists-b"&inclusive_end=false'), ofKey.slice(0, 1));
    const { status, body } = await list(key, '?limit=x');
    assert.deepEqual(
      [status, body],
      [400, { error: 'query_parse_error', reason: 'Invalid value for integer: "x"' }],
    );
  });

  it('leave Couchgate’s own databases out for the owner, also in counts – GET /_all_dbs', async () => {
    const couchdb = openAdmin({ url: gate.backend.urls[0] ?? '', credentials: gate.backend.owner });
    const all = (await couchdb.ask('GET', '/_all_dbs')).body as string[];
    const shown = all.filter((name) => name !== 'couchgate' && name !== 'couchgate_history');
    assert.equal(all.length - shown.length, 2);
    assert.deepEqual(await namesFor(gate.owner), shown);
    for (let skip = 0; skip < shown.length; skip += 1)
      assert.deepEqual(await namesFor(gate.owner, `?limit=2&skip=${skip}`), shown.slice(skip, skip + 2));
    assert.deepEqual(await namesFor(gate.owner, '?descending=true&startkey="lists-b"&limit=2'), [
      'lists-b',
      'lists-a',
    ]);
  });

  it('change with the grants, at once – PUT _security', async () => {
    const late = await gate.key();
    await gate.database('lists-late', { [late.name]: ['_reader'] });
    assert.deepEqual(await namesFor(late), ['lists-late']);
    await gate.grant('lists-late', {});
    assert.deepEqual(await namesFor(late), []);
    await gate.grant('lists-late', { [late.name]: ['_reader'] });
    await gate.ask('DELETE', '/lists-late', { as: gate.owner });
    assert.deepEqual(await namesFor(late), []);
  });

  it('drop a database that somebody deleted past Couchgate', async () => {
    const one = await gate.key();
    await gate.database('lists-gone', { [one.name]: ['_reader'] });
    assert.deepEqual(await namesFor(one), ['lists-gone']);
    const couchdb = openAdmin({ url: gate.backend.urls[0] ?? '', credentials: gate.backend.owner });
    await couchdb.ask('DELETE', '/lists-gone');
    await until(async () => ((await namesFor(one)) as string[]).length === 0);
  });

  it('are closed to callers without credentials – GET /_all_dbs – 401', async () => {
    for (const [method, path] of [
      ['GET', '/_all_dbs'],
      ['GET', '/_dbs_info'],
      ['POST', '/_dbs_info'],
    ] as const)
      assert.equal(
        (await gate.ask(method, path, method === 'POST' ? { body: { keys: [] } } : {})).status,
        401,
      );
  });

  interface Info {
    readonly key: unknown;
    readonly info?: { readonly db_name?: string };
    readonly error?: string;
  }
  const infoFor = async (as: Credentials, keys?: readonly unknown[]): Promise<readonly Info[]> => {
    const options = keys === undefined ? { as } : { as, body: { keys } };
    const { status, body } = await gate.ask(keys === undefined ? 'GET' : 'POST', '/_dbs_info', options);
    assert.equal(status, 200, JSON.stringify(body));
    return body as readonly Info[];
  };

  it('have the information that GET /{db} would give – GET /_dbs_info', async () => {
    const rows = await infoFor(key);
    assert.deepEqual(
      rows.map((row) => row.key),
      ofKey,
    );
    for (const { key: name, info } of rows) assert.equal(info?.db_name, name);
    // `_security` alone does not permit GET /{db}.
    assert.equal((await gate.ask('GET', '/lists-a', { as: security })).status, 403);
    assert.deepEqual(await infoFor(security), []);
    const names = (await infoFor(gate.owner)).map((row) => row.key);
    assert.equal(
      names.includes('lists-d') && !names.includes('couchgate') && !names.includes('couchgate_history'),
      true,
    );
  });

  it('say the same of a database without a role and of a missing one – POST /_dbs_info', async () => {
    const missing = (name: unknown): Info => ({ key: name, error: 'not_found' });
    gate.recorder.takeEverything();
    const rows = await infoFor(key, ['lists-d', 'none', 'lists-b', 'couchgate', 7, 'lists-b']);
    const [b] = rows.filter((row) => row.info !== undefined);
    assert.deepEqual(rows, [missing('lists-d'), missing('none'), b, missing('couchgate'), missing(7), b]);
    assert.deepEqual(await infoFor(gate.owner, ['couchgate', 'couchgate_history']), [
      missing('couchgate'),
      missing('couchgate_history'),
    ]);
  });

  it('refuse bodies as CouchDB does – POST /_dbs_info – 400', async () => {
    for (const [body, reason] of [
      [{}, '`keys` member must exist.'],
      [{ keys: 'a' }, '`keys` member must be an array.'],
      [{ keys: Array.from({ length: 101 }, () => 'a') }, 'too_many_keys'],
    ] as const) {
      const answer = await gate.ask('POST', '/_dbs_info', { as: key, body });
      assert.deepEqual([answer.status, answer.body], [400, { error: 'bad_request', reason }]);
    }
  });

  it('come in parts when they are long, and every part decides again – GET /_dbs_info', async () => {
    const many = await gate.key();
    const names = Array.from({ length: 103 }, (_, at) => `lists-many-${String(at).padStart(3, '0')}`);
    for (let at = 0; at < names.length; at += 4)
      await Promise.all(
        names.slice(at, at + 4).map((name) => gate.database(name, { [many.name]: ['_reader'] })),
      );
    assert.deepEqual(
      (await infoFor(many)).map((row) => row.key),
      names,
    );
  });

  describe('with other settings', () => {
    it('are the owner’s alone with all_dbs: owner – 403', async () => {
      const closed = await started(startCouchgate({ backend: gate.backend, settings: { allDbs: 'owner' } }));
      const own = `/_api/v2/access?principal=${key.name}`;
      for (const path of ['/_all_dbs', '/_dbs_info', own]) {
        assert.equal((await closed.ask('GET', path, { as: key })).status, 403);
        assert.equal((await closed.ask('GET', path)).status, 401);
        assert.equal((await closed.ask('GET', path, { as: closed.owner })).status, 200);
      }
    });

    it('show what is open to everybody with public_all_dbs – 200', async () => {
      const settings = { publicAllDbs: true, ownerAllow: ['192.0.2.1/32'] };
      const open = await started(startCouchgate({ backend: gate.backend, settings }));
      const listed = async (): Promise<unknown> => (await open.ask('GET', '/_all_dbs')).body;
      await until(async () => (await open.ask('GET', '/_all_dbs')).status === 200);
      assert.deepEqual(await listed(), ['lists-open', 'lists/c']);
      assert.deepEqual((await open.ask('GET', '/_all_dbs', { as: key })).body, ofKey);
      // The public endpoint is no way around the addresses of the owner.
      assert.equal((await open.ask('GET', '/_all_dbs', { as: open.owner })).status, 403);
      const wrong = { ...key, password: 'x' };
      assert.equal((await open.ask('GET', '/_all_dbs', { as: wrong })).status, 401);
    });
  });
});
