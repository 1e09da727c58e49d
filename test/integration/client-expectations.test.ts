// What clients of CouchDB and of Cloudant expect in places where nothing is at stake: statuses, words and headers.
import assert from 'node:assert/strict';
import http from 'node:http';
import { json } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { withoutCouchdb } from '../support/cluster.ts';
import { basic, type Couchgate, type Credentials, startCouchgate } from '../support/couchgate.ts';
import {
  CALLER_HEADER,
  EXCHANGE_HEADER,
  type PolicyFront,
  startPolicyFront,
} from '../support/policy-front.ts';

describe('Couchgate in front of CouchDB', { timeout: 120_000 }, () => {
  let couchgate: Couchgate;
  let owner: Credentials;
  let key: Credentials;
  let other: Credentials;
  const ask: Couchgate['ask'] = (...request) => couchgate.ask(...request);

  before(async () => {
    couchgate = await startCouchgate();
    owner = couchgate.owner;
    [key, other] = [await couchgate.key(), await couchgate.key()];
    await couchgate.database('expected', { nobody: ['_reader'], [key.name]: ['_reader', '_writer'] });
    await ask('PUT', '/expected/doc', { as: key, body: { a: 1 } });
  });
  after(async () => {
    await ask('DELETE', '/_global_changes', { as: owner });
    await couchgate.close();
  });

  it(
    'lets the owner create _global_changes and grant _db_updates – GET /_db_updates – 200',
    { skip: withoutCouchdb },
    async () => {
      assert.equal((await ask('PUT', '/_global_changes', { as: key })).status, 403);
      assert.equal((await ask('PUT', '/_global_changes', { as: owner })).status, 201);
      assert.equal((await ask('GET', '/_db_updates', { as: owner })).status, 200);
      assert.equal((await ask('GET', '/_db_updates', { as: key })).status, 403);
      const body = { cloudant: { [key.name]: ['_db_updates'] } };
      assert.equal((await ask('PUT', '/_global_changes/_security', { as: owner, body })).status, 200);
      assert.equal((await ask('GET', '/_db_updates', { as: key })).status, 200);
      assert.equal((await ask('GET', '/_db_updates', { as: other })).status, 403);
      assert.equal((await ask('GET', '/_db_updates')).status, 401);
      for (const path of ['', '/_all_docs', '/_changes', '/_security'])
        assert.equal((await ask('GET', `/_global_changes${path}`, { as: key })).status, 403, path);
      assert.equal((await ask('GET', '/_global_changes', { as: owner })).status, 200);
    },
  );

  it(
    'keeps no grant of a _global_changes that was deleted – GET /_db_updates – 403',
    { skip: withoutCouchdb },
    async () => {
      assert.equal((await ask('DELETE', '/_global_changes', { as: owner })).status, 200);
      assert.equal((await ask('PUT', '/_global_changes', { as: owner })).status, 201);
      assert.equal((await ask('GET', '/_db_updates', { as: key })).status, 403);
    },
  );

  it('takes another Authorization scheme for none, as CouchDB does – GET /db/doc – 200 for the public', async () => {
    for (const authorization of ['Basic:', 'Bearer abc', 'Negotiate', 'Digest username="x"'])
      assert.equal((await ask('GET', '/expected/doc', { headers: { authorization } })).status, 200);
  });

  it('never takes failed credentials for nobody’s – GET /db/doc – 401, though nobody may read', async () => {
    const wrong = { ...key, password: 'wrong' };
    assert.equal((await ask('GET', '/expected/doc')).status, 200);
    assert.equal((await ask('GET', '/expected/doc', { as: wrong })).status, 401);
    const { name, password } = key;
    const login = await ask('POST', '/_session', { body: { name, password } });
    const cookie = (login.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    assert.equal((await ask('GET', '/expected/doc', { headers: { cookie } })).status, 200);
    assert.equal((await ask('DELETE', '/_session', { headers: { cookie } })).status, 200);
    const ended = await ask('GET', '/expected/doc', { headers: { cookie } });
    assert.equal(ended.status, 401);
    assert.deepEqual(ended.body, {
      error: 'unauthorized',
      reason: 'The session has ended. Please log in again.',
    });
    assert.match(ended.headers.get('set-cookie') ?? '', /^AuthSession=;/u);
    assert.equal((await ask('GET', '/_session', { headers: { cookie } })).status, 200);
    assert.equal((await ask('GET', '/expected/doc', { headers: { cookie: 'AuthSession=' } })).status, 200);
  });

  it('shows an empty security object as CouchDB does – GET /db/_security – {}', async () => {
    await couchgate.database('expected-new');
    assert.deepEqual((await ask('GET', '/expected-new/_security', { as: owner })).body, {});
    const { body } = await ask('GET', '/expected/_security', { as: owner });
    assert.equal((body as { readonly _id: unknown })._id, '_security');
  });

  it('names a bad escape in CouchDB’s words – GET /db/%zz – 400', async () => {
    for (const path of ['/expected/%zz', '/expected/%', '/%u0041', '/expected/a%2']) {
      const { status, body } = await ask('GET', path, { as: key });
      assert.deepEqual([status, body], [400, { error: 'bad_request', reason: 'invalid_url_encoding' }], path);
    }
  });

  it(
    'refuses a form that is no upload – POST /db/doc with its own Referer – 415',
    { skip: withoutCouchdb },
    async () => {
      const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
      const answerTo = async (headers: Record<string, string>): Promise<number> =>
        (await ask('POST', '/expected/doc', { as: key, body: 'a=1', headers: { ...form, ...headers } }))
          .status;
      assert.equal(await answerTo({ Referer: `${couchgate.url}/expected` }), 415);
      // A page of another origin (H22).
      assert.equal(await answerTo({ Referer: 'http://elsewhere.example/' }), 403);
    },
  );

  it('warns of members and admins without effect, and logs it – PUT /db/_security – 200', async () => {
    await couchgate.database('expected-closed');
    const put = async (body: unknown): Promise<unknown> => {
      const answer = await ask('PUT', '/expected-closed/_security', { as: owner, body });
      assert.equal(answer.status, 200);
      const { revision, ...rest } = answer.body as Record<string, unknown>;
      assert.equal(typeof revision, 'number');
      return rest;
    };
    const noEffect = (field: string): string =>
      `\`${field}\` has no effect: roles in \`cloudant\` decide, unless \`couchdb_auth_only\` is true.`;
    const onlyOwner = 'Only the owner has access to this database: `cloudant` grants no roles.';
    const members = { names: ['ann'], roles: [] };
    assert.deepEqual(await put({ members, admins: members }), {
      ok: true,
      warnings: [noEffect('members'), noEffect('admins'), onlyOwner],
    });
    assert.deepEqual(await put({ members: { names: [], roles: [] } }), { ok: true, warnings: [onlyOwner] });
    assert.deepEqual(await put({ cloudant: { nobody: ['_reader'] }, admins: members }), {
      ok: true,
      warnings: [noEffect('admins')],
    });
    assert.deepEqual(await put({ cloudant: { ann: [] }, members }), {
      ok: true,
      warnings: [noEffect('members'), onlyOwner],
    });
    const before = couchgate.log.lines.length;
    assert.deepEqual(await put({ members, couchdb_auth_only: true }), { ok: true });
    assert.deepEqual(await put({ cloudant: { nobody: ['_reader'] } }), { ok: true });
    assert.deepEqual(await put({ members: { roles: ['_admin'] } }), { ok: true });
    assert.deepEqual(await put({ cloudant: {} }), { ok: true });
    assert.deepEqual(await put({}), { ok: true });
    const logged = couchgate.log.lines.filter(
      ({ message }) => message === 'security object has parts without effect',
    );
    assert.equal(logged.length, 4);
    assert.deepEqual(logged[1], {
      level: 'warn',
      fields: { database: 'expected-closed', warnings: [onlyOwner] },
      message: 'security object has parts without effect',
    });
    assert.equal(
      couchgate.log.lines.slice(before).some(({ level }) => level === 'warn'),
      false,
    );
  });

  it('says what to write in place of a local name – POST /_replicate without public_url – 400', async () => {
    const { status, body } = await ask('POST', '/_replicate', {
      as: owner,
      body: { source: 'expected', target: 'copy' },
    });
    assert.equal(status, 400);
    const { reason } = body as { readonly reason: string };
    assert.match(reason, /public_url/u);
    assert.match(reason, /"source": \{"url":"https:\/\/…\/expected","auth":\{"basic":/u);
  });
});

describe('Couchgate beside the CouchDB behind it', { skip: withoutCouchdb, timeout: 120_000 }, () => {
  let couchgate: Couchgate;
  before(async () => {
    couchgate = await startCouchgate();
    await couchgate.database('beside');
    const [url = ''] = couchgate.backend.urls;
    const headers = { authorization: basic(couchgate.owner) };
    await fetch(`${url}/beside/doc`, { method: 'PUT', headers, body: '{}' });
  });
  after(() => couchgate.close());

  interface Asked {
    readonly method: string;
    readonly path: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
    /** Owner if left out. */
    readonly as?: 'nobody';
  }
  interface Seen {
    readonly status: number | undefined;
    readonly allow: string | undefined;
    readonly server: string | undefined;
    readonly location: string | undefined;
    readonly body: unknown;
  }

  /** `HOST` in a header stands for the address that is asked. */
  function seen(base: string, { method, path, headers = {}, body = '', as }: Asked): Promise<Seen> {
    const { host } = new URL(base);
    const written = Object.entries(headers).map(([name, value]): [string, string] => [
      name,
      value.replace('HOST', host),
    ]);
    return new Promise((resolve, reject) => {
      const req = http.request(base, {
        method,
        path,
        agent: false,
        headers: {
          ...(as === 'nobody' ? {} : { authorization: basic(couchgate.owner) }),
          ...Object.fromEntries(written),
          'content-length': Buffer.byteLength(body),
        },
      });
      req.once('error', reject).once('response', (res) => {
        const { allow, location } = res.headers;
        const server = res.headers['server']?.toString();
        const path = location === undefined ? undefined : new URL(location, base).pathname;
        json(res).then(
          (content) => resolve({ status: res.statusCode, allow, server, location: path, body: content }),
          reject,
        );
      });
      req.end(body);
    });
  }

  const form = 'application/x-www-form-urlencoded';
  const preflight = { origin: 'http://app.example', 'access-control-request-method': 'PUT' };
  /** Where Couchgate answers by itself, it has no Server header of CouchDB's. */
  const ROWS: readonly (readonly [asked: Asked, isAnsweredBy: 'CouchDB' | 'Couchgate'])[] = [
    ...['/beside/%zz', '/beside/%', '/%zz', '/beside/doc/%4'].map(
      (path) => [{ method: 'GET', path }, 'Couchgate'] as const,
    ),
    [{ method: 'GET', path: '/beside/doc?rev=%zz' }, 'CouchDB'],
    [{ method: 'GET', path: '/' }, 'CouchDB'],
    ...['Basic:YTpi', 'Digest x', 'Negotiate', 'Basic'].map(
      (authorization) =>
        [{ method: 'GET', path: '/', as: 'nobody', headers: { authorization } }, 'CouchDB'] as const,
    ),
    ...[form, 'text/plain', 'application/json'].flatMap((type) =>
      ['http://HOST/beside', ''].map((referer) => {
        const headers = { 'content-type': type, ...(referer === '' ? {} : { referer }) };
        return [{ method: 'POST', path: '/beside/doc', headers, body: 'a=1' }, 'CouchDB'] as const;
      }),
    ),
    [{ method: 'PUT', path: '/beside/_local', body: '{}' }, 'Couchgate'],
    [{ method: 'GET', path: '/beside/_local' }, 'Couchgate'],
    [{ method: 'GET', path: '/beside/_partition' }, 'Couchgate'],
    ...['/', '/_session', '/_up', '/beside', '/beside/doc', '/_all_dbs', '/_utils'].flatMap((path) =>
      [{}, preflight].map((headers) => [{ method: 'OPTIONS', path, headers }, 'Couchgate'] as const),
    ),
    ...['/', '/_session', '/_up'].map(
      (path) => [{ method: 'OPTIONS', path, as: 'nobody' }, 'Couchgate'] as const,
    ),
  ];
  for (const [asked, isAnsweredBy] of ROWS) {
    const headers = JSON.stringify(asked.headers ?? {});
    it(`answers as it does – ${asked.method} ${asked.path} ${headers} as ${asked.as ?? 'owner'}`, async () => {
      const direct = await seen(couchgate.backend.urls[0] ?? '', asked);
      const through = await seen(couchgate.url, asked);
      const server = isAnsweredBy === 'CouchDB' ? direct.server : undefined;
      assert.deepEqual(through, { ...direct, server });
    });
  }
});

describe('OPTIONS that is no preflight', () => {
  let front: PolicyFront;
  before(async () => {
    front = await startPolicyFront();
  });
  after(() => front.close());

  const ROWS: readonly (readonly [path: string, caller: string, status: number, allow?: string])[] = [
    ['/', 'nobody', 405, 'GET,HEAD'],
    ['/_session', 'nobody', 405, 'GET,HEAD,POST,DELETE'],
    ['/_up', 'user', 405, 'GET,HEAD'],
    ['/db', 'nobody', 401],
    ['/db', 'user', 403],
    ['/db', 'reader', 405, 'DELETE,GET,HEAD,POST'],
    ['/db/doc', 'writer', 405, 'DELETE,GET,HEAD,POST,PUT,COPY'],
    ['/db/_design/d/_show/f', 'owner', 405, 'GET,HEAD,POST'],
    ['/db/_design/d/_rewrite/x', 'owner', 403],
    ['/_node/_local/_config', 'nobody', 401],
  ];
  for (const [path, caller, status, allow] of ROWS)
    it(`is refused as CouchDB refuses it, and never forwarded – OPTIONS ${path} as ${caller} – ${status}`, async () => {
      const exchange = `options-${ROWS.findIndex((row) => row[0] === path && row[1] === caller)}`;
      const headers = {
        [EXCHANGE_HEADER]: exchange,
        ...(caller === 'nobody' ? {} : { [CALLER_HEADER]: caller }),
      };
      const answer = await fetch(front.url + path, { method: 'OPTIONS', headers });
      await answer.text();
      assert.deepEqual([answer.status, answer.headers.get('allow')], [status, allow ?? null]);
      assert.deepEqual(front.reached(exchange), []);
    });
});
