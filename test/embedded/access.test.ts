// Tests authentication and authorization of the embedded node.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AS_OWNER, basic, bearer, Client, KEYS, token, type Headers } from './client.ts';

describe('embedded node: authentication', () => {
  let client: Client;
  before(async () => {
    client = await Client.start();
  });
  after(() => client.node.close());

  const future = Math.floor(Date.now() / 1000) + 60;
  const past = future - 120;
  const validClaims = { sub: 'ann', '_couchdb.roles': ['r'], exp: future };

  const refused: [title: string, headers: Headers, status: number, reason: string][] = [
    ['a wrong password', basic('admin', 'no'), 401, 'Name or password is incorrect.'],
    ['an unknown user', basic('nobody', 'no'), 401, 'Name or password is incorrect.'],
    ['invalid base64', { authorization: 'Basic a' }, 400, 'Authorization header has invalid base64 value'],
    ['a token with two parts', { authorization: 'Bearer a.b' }, 400, 'Malformed token'],
    [
      'an unknown kid',
      { authorization: `Bearer ${token(validClaims, { header: { kid: 'x' } })}` },
      400,
      'Unknown kid',
    ],
    [
      'a kid that names a member of Object.prototype',
      { authorization: `Bearer ${token(validClaims, { header: { kid: 'toString' } })}` },
      400,
      'Unknown kid',
    ],
    [
      'a token signed with the wrong key',
      { authorization: `Bearer ${token(validClaims, { key: KEYS.second })}` },
      400,
      'Bad HMAC',
    ],
    [
      'a token with alg none',
      { authorization: `Bearer ${token(validClaims, { header: { alg: 'none' } })}` },
      400,
      'Invalid alg header parameter',
    ],
    [
      'a token with alg RS256',
      { authorization: `Bearer ${token(validClaims, { header: { alg: 'RS256' } })}` },
      400,
      'Invalid alg header parameter',
    ],
    [
      'a token without expiry',
      { authorization: `Bearer ${token({ sub: 'ann' })}` },
      400,
      'Missing exp claim',
    ],
    [
      'an expired token',
      { authorization: `Bearer ${token({ ...validClaims, exp: past })}` },
      401,
      'exp not in future',
    ],
    [
      'a token without sub',
      { authorization: `Bearer ${token({ exp: future })}` },
      401,
      'Token missing sub claim.',
    ],
    [
      'a token with a role that is not a string',
      { authorization: `Bearer ${token({ ...validClaims, '_couchdb.roles': [1] })}` },
      400,
      'Malformed token',
    ],
  ];
  for (const [title, headers, status, reason] of refused) {
    it(`refuses ${title} – GET /_session – ${status}`, async () => {
      const answer = await client.send('GET', '/_session', { headers });
      assert.deepEqual([answer.status, answer.at('reason')], [status, reason]);
    });
  }

  it('reports name, roles and handler – GET /_session – Basic, tokens of both keys, anonymous', async () => {
    const second = {
      authorization: `Bearer ${token(validClaims, { header: { kid: 'second' }, key: KEYS.second })}`,
    };
    const cases: [Headers, object, string | undefined][] = [
      [AS_OWNER, { name: 'admin', roles: ['_admin'] }, 'default'],
      [bearer('ann', ['r']), { name: 'ann', roles: ['r'] }, 'jwt'],
      [second, { name: 'ann', roles: ['r'] }, 'jwt'],
      [{}, { name: null, roles: [] }, undefined],
    ];
    for (const [headers, userCtx, handler] of cases) {
      const answer = await client.send('GET', '/_session', { headers });
      assert.deepEqual([answer.at('userCtx'), answer.at('info', 'authenticated')], [userCtx, handler]);
    }
  });

  it('ignores proxy authentication headers – GET /_all_dbs – 401', async () => {
    const headers = {
      'x-auth-couchdb-username': 'admin',
      'x-auth-couchdb-roles': '_admin',
      'x-auth-couchdb-token': 'x',
    };
    assert.equal((await client.send('GET', '/_all_dbs', { headers })).status, 401);
  });
});

describe('embedded node: authorization', () => {
  let client: Client;
  before(async () => {
    client = await Client.start();
    await client.send('PUT', '/db');
    const body = { members: { roles: ['m'] }, admins: { names: ['boss'] }, cloudant: { k: ['_reader'] } };
    await client.send('PUT', '/db/_security', { body });
    await client.send('PUT', '/closed');
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
    const caller =
      headers === member
        ? 'a member'
        : headers === boss
          ? 'a database admin'
          : headers === other
            ? 'a non-member'
            : 'authorization' in headers
              ? 'a server admin'
              : 'an anonymous caller';
    it(`answers ${status} to ${caller} – ${method} ${path}`, async () => {
      const answer = await client.send(method, path, { headers, body });
      assert.equal(answer.status, status, answer.text);
    });
  }

  it('refuses only the design document of a batch – POST /db/_bulk_docs as a member – 201', async () => {
    const answer = await client.send('POST', '/db/_bulk_docs', {
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

  it('restricts a new database to server admins – PUT /db – GET /db/_security', async () => {
    assert.deepEqual((await client.send('GET', '/closed/_security')).json, {
      members: { roles: ['_admin'] },
      admins: { roles: ['_admin'] },
    });
  });

  it('keeps unknown fields of the security object – PUT /db/_security – GET returns them', async () => {
    assert.deepEqual((await client.send('GET', '/db/_security')).at('cloudant'), { k: ['_reader'] });
  });
});
