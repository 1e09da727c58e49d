import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AS_OWNER, basic, bearer, Client, KEYS, token, type Headers } from './client.ts';

describe('the embedded node: who asks', () => {
  let client: Client;
  before(async () => {
    client = await Client.start();
  });
  after(() => client.node.close());

  const soon = Math.floor(Date.now() / 1000) + 60;
  const past = soon - 120;
  const good = { sub: 'ann', '_couchdb.roles': ['r'], exp: soon };

  const refused: [title: string, headers: Headers, status: number, reason: string][] = [
    ['a wrong password', basic('admin', 'no'), 401, 'Name or password is incorrect.'],
    ['an unknown user', basic('nobody', 'no'), 401, 'Name or password is incorrect.'],
    ['broken base64', { authorization: 'Basic a' }, 400, 'Authorization header has invalid base64 value'],
    ['a token of two parts', { authorization: 'Bearer a.b' }, 400, 'Malformed token'],
    [
      'an unknown kid',
      { authorization: `Bearer ${token(good, { header: { kid: 'x' } })}` },
      400,
      'Unknown kid',
    ],
    [
      'a kid from the prototype',
      { authorization: `Bearer ${token(good, { header: { kid: 'toString' } })}` },
      400,
      'Unknown kid',
    ],
    ['another key', { authorization: `Bearer ${token(good, { key: KEYS.second })}` }, 400, 'Bad HMAC'],
    [
      'alg none',
      { authorization: `Bearer ${token(good, { header: { alg: 'none' } })}` },
      400,
      'Invalid alg header parameter',
    ],
    [
      'alg RS256',
      { authorization: `Bearer ${token(good, { header: { alg: 'RS256' } })}` },
      400,
      'Invalid alg header parameter',
    ],
    ['no expiry', { authorization: `Bearer ${token({ sub: 'ann' })}` }, 400, 'Missing exp claim'],
    [
      'an expired token',
      { authorization: `Bearer ${token({ ...good, exp: past })}` },
      401,
      'exp not in future',
    ],
    ['no name', { authorization: `Bearer ${token({ exp: soon })}` }, 401, 'Token missing sub claim.'],
    [
      'roles that are no text',
      { authorization: `Bearer ${token({ ...good, '_couchdb.roles': [1] })}` },
      400,
      'Malformed token',
    ],
  ];
  for (const [title, headers, status, reason] of refused) {
    it(`refuses ${title} – GET /_session – ${status}`, async () => {
      const answer = await client.ask('GET', '/_session', { headers });
      assert.deepEqual([answer.status, answer.at('reason')], [status, reason]);
    });
  }

  it('tells name, roles and handler – GET /_session – basic, both keys, nobody', async () => {
    const second = {
      authorization: `Bearer ${token(good, { header: { kid: 'second' }, key: KEYS.second })}`,
    };
    const asked: [Headers, object, string | undefined][] = [
      [AS_OWNER, { name: 'admin', roles: ['_admin'] }, 'default'],
      [bearer('ann', ['r']), { name: 'ann', roles: ['r'] }, 'jwt'],
      [second, { name: 'ann', roles: ['r'] }, 'jwt'],
      [{}, { name: null, roles: [] }, undefined],
    ];
    for (const [headers, userCtx, handler] of asked) {
      const answer = await client.ask('GET', '/_session', { headers });
      assert.deepEqual([answer.at('userCtx'), answer.at('info', 'authenticated')], [userCtx, handler]);
    }
  });

  it('pays no heed to proxy authentication headers – GET /_all_dbs – 401', async () => {
    const headers = {
      'x-auth-couchdb-username': 'admin',
      'x-auth-couchdb-roles': '_admin',
      'x-auth-couchdb-token': 'x',
    };
    assert.equal((await client.ask('GET', '/_all_dbs', { headers })).status, 401);
  });
});

describe('the embedded node: who may do what', () => {
  let client: Client;
  before(async () => {
    client = await Client.start();
    await client.ask('PUT', '/db');
    const body = { members: { roles: ['m'] }, admins: { names: ['boss'] }, cloudant: { k: ['_reader'] } };
    await client.ask('PUT', '/db/_security', { body });
    await client.ask('PUT', '/closed');
  });
  after(() => client.node.close());

  const member = bearer('ann', ['m']);
  const other = bearer('eve', ['x']);
  const boss = bearer('boss');
  const rows: [string, string, Headers, number, unknown?][] = [
    ['GET', '/db', member, 200],
    ['GET', '/db', other, 403],
    ['GET', '/db', {}, 401],
    ['GET', '/closed', member, 403],
    ['GET', '/missing', {}, 404],
    ['PUT', '/new', boss, 401],
    ['DELETE', '/db', boss, 401],
    ['GET', '/_all_dbs', member, 401],
    ['GET', '/_active_tasks', member, 401],
    ['GET', '/_all_dbs', bearer('root', ['_admin']), 200],
    ['GET', '/_users/_all_docs', member, 401],
    ['GET', '/_users/_changes', member, 401],
    ['GET', '/_users/org.couchdb.user:x', member, 403],
    ['PUT', '/db/doc', member, 201, {}],
    ['PUT', '/db/_design/d', member, 403, {}],
    ['PUT', '/db/_design%2Fd', member, 403, {}],
    ['POST', '/db', member, 403, { _id: '_design/d' }],
    ['POST', '/db/_index', member, 403, { index: { fields: ['a'] } }],
    ['PUT', '/db/_security', member, 403, {}],
    ['POST', '/db/_compact', member, 401, {}],
    ['POST', '/db/_purge', boss, 401, {}],
    ['PUT', '/db/_revs_limit', member, 403, 5],
    ['PUT', '/db/_design/d', boss, 201, {}],
    ['POST', '/db/_compact', boss, 202, {}],
  ];
  for (const [method, path, headers, status, body] of rows) {
    const who =
      headers === member
        ? 'member'
        : headers === boss
          ? 'database admin'
          : headers === other
            ? 'stranger'
            : 'nobody or owner';
    it(`answers ${status} – ${method} ${path} – ${who}`, async () => {
      const answer = await client.ask(method, path, { headers, body });
      assert.equal(answer.status, status, answer.text);
    });
  }

  it('refuses a design document row by row – POST /db/_bulk_docs as a member – 201', async () => {
    const answer = await client.ask('POST', '/db/_bulk_docs', {
      headers: member,
      body: { docs: [{ _id: 'b1' }, { _id: '_design/x' }] },
    });
    assert.equal(answer.status, 201);
    assert.equal(answer.at(0, 'ok'), true);
    assert.deepEqual(answer.at(1), {
      id: '_design/x',
      error: 'forbidden',
      reason: 'You are not a db or server admin.',
    });
  });

  it('closes a new database to all but server admins – PUT /db – GET _security', async () => {
    assert.deepEqual((await client.ask('GET', '/closed/_security')).json, {
      members: { roles: ['_admin'] },
      admins: { roles: ['_admin'] },
    });
  });

  it('keeps unknown fields – PUT /db/_security – GET gives them back', async () => {
    assert.deepEqual((await client.ask('GET', '/db/_security')).at('cloudant'), { k: ['_reader'] });
  });
});
