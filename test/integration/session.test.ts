// /_session and Basic authentication as clients meet them: shapes, cookies, renewal, logout, and what ends a session before its time.
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { randomBytes } from 'node:crypto';
import { before, beforeEach, describe, it } from 'node:test';
import { startBackend, type Backend } from '../support/backend.ts';
import { basic, startIdentityFront, type IdentityFront } from '../support/identity-front.ts';
import { until } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';

const clock = { skew: 0 };
const now = (): number => Date.now() + clock.skew;
const sessionSecret = randomBytes(32);
const store = `couchgate-${randomBytes(4).toString('hex')}`;
const alice = `alice-${randomBytes(4).toString('hex')}`;
let backend: Backend;
let front: IdentityFront;
let other: IdentityFront;
let owner: Record<string, string>;
let key: { key: string; password: string };

const started = closedAfterSuite();
before(async () => {
  backend = await started(startBackend({ nodes: 3 }));
  owner = basic(backend.owner.name, backend.owner.password);
  const setup = { sessionSecret, settings: { storeDatabase: store }, now };
  front = await started(startIdentityFront(backend, setup));
  other = await started(startIdentityFront(backend, setup));
  await front.replica.couch.ask({ method: 'PUT', path: '/_users' });
  await putUser(alice, 'wonder', ['staff']);
  key = await newKey();
});

beforeEach(() => {
  clock.skew = 0;
});

const newKey = () => front.replica.keys.create({ label: null, expiresAt: null, by: 'admin' });

async function putUser(name: string, password: string, roles: readonly string[]): Promise<void> {
  const path = `/_users/${encodeURIComponent(`org.couchdb.user:${name}`)}`;
  const found = await front.replica.couch.ask({ method: 'GET', path });
  const rev = (found.body as { _rev?: string } | undefined)?._rev;
  const body = { name, password, roles, type: 'user', ...(rev === undefined ? {} : { _rev: rev }) };
  const answer = await fetch(front.url + path, {
    method: 'PUT',
    headers: { ...owner, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 201, await answer.text());
}

const JSON_TYPE = { 'content-type': 'application/json' };
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' };

function post(
  body: string | Uint8Array,
  headers: Record<string, string>,
  query = '',
  at = front,
): Promise<Response> {
  return fetch(`${at.url}/_session${query}`, {
    method: 'POST',
    headers,
    body: body as string,
    redirect: 'manual',
  });
}

const login = (name: string, password: string, query = '', at = front): Promise<Response> =>
  post(JSON.stringify({ name, password }), JSON_TYPE, query, at);

function cookieOf(answer: Response): string {
  const cookies = answer.headers.getSetCookie();
  assert.equal(cookies.length, 1, 'exactly one Set-Cookie');
  return cookies[0]?.split(';')[0] ?? '';
}

async function whoami(headers: Record<string, string>, at = front): Promise<unknown> {
  const answer = await fetch(`${at.url}/_session`, { headers });
  assert.equal(answer.status, 200);
  return ((await answer.json()) as { userCtx: { name: unknown } }).userCtx.name;
}

const HANDLERS = ['cookie', 'default'];
const ANONYMOUS = {
  ok: true,
  userCtx: { name: null, roles: [] },
  info: { authentication_handlers: HANDLERS },
};

describe('GET /_session', () => {
  it('tells the unauthenticated that they are nobody – 200', async () => {
    const answer = await fetch(`${front.url}/_session`);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), 'application/json');
    assert.equal(answer.headers.get('cache-control'), 'must-revalidate');
    assert.equal(answer.headers.get('set-cookie'), null);
    assert.equal(await answer.text(), `${JSON.stringify(ANONYMOUS)}\n`);
  });

  it('asks the unauthenticated to log in with ?basic=true – 401', async () => {
    const answer = await fetch(`${front.url}/_session?basic=true`);
    assert.equal(answer.status, 401);
    assert.deepEqual(await answer.json(), { error: 'unauthorized', reason: 'Please login.' });
  });

  it('answers HEAD with the same head and no body', async () => {
    const answer = await fetch(`${front.url}/_session`, { method: 'HEAD' });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-length'), String(JSON.stringify(ANONYMOUS).length + 1));
    assert.equal(await answer.text(), '');
  });

  it('names the owner, a user with its roles, and a key without any, by Basic and by cookie', async () => {
    const cases: readonly [string, string, readonly string[]][] = [
      [backend.owner.name, backend.owner.password, ['_admin']],
      [alice, 'wonder', ['staff']],
      [key.key, key.password, []],
    ];
    for (const [name, password, roles] of cases) {
      const loggedIn = await login(name, password);
      assert.equal(loggedIn.status, 200);
      assert.deepEqual(await loggedIn.json(), { ok: true, name, roles });
      const ways = { default: basic(name, password), cookie: { cookie: cookieOf(loggedIn) } };
      for (const [authenticated, headers] of Object.entries(ways)) {
        const answer = await fetch(`${front.url}/_session`, { headers });
        assert.deepEqual(await answer.json(), {
          ok: true,
          userCtx: { name, roles },
          info: { authentication_handlers: HANDLERS, authenticated },
        });
      }
    }
  });
});

describe('POST /_session', () => {
  const right = (): string => `name=${encodeURIComponent(alice)}&password=wonder`;

  it('takes a form, JSON, name or username, and gzip – 200', async () => {
    const bodies: readonly [string | Uint8Array, Record<string, string>][] = [
      [right(), FORM_TYPE],
      [
        right().replace('name=', 'username='),
        { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
      ],
      [`${right()}&username=${alice}`, FORM_TYPE],
      [JSON.stringify({ username: alice, password: 'wonder' }), JSON_TYPE],
      [gzipSync(right()), { ...FORM_TYPE, 'content-encoding': 'gzip' }],
    ];
    for (const [body, headers] of bodies) {
      const answer = await post(body, headers);
      assert.equal(answer.status, 200, await answer.text());
      assert.equal(await whoami({ cookie: cookieOf(answer) }), alice);
    }
  });

  const bad: readonly [string, string, Record<string, string>, number, string][] = [
    [
      'two different names',
      'name=a&username=b&password=c',
      FORM_TYPE,
      400,
      'request body contains different usernames',
    ],
    ['no name', 'password=c', FORM_TYPE, 400, 'request body must contain a username'],
    [
      'a name that is no text',
      '{"name":1,"password":"c"}',
      JSON_TYPE,
      400,
      'request body must contain a username',
    ],
    [
      'the name twice',
      'name=a&name=b&password=c',
      FORM_TYPE,
      400,
      'request body contains name more than once',
    ],
    [
      'another type',
      'name=a',
      { 'content-type': 'text/plain' },
      415,
      "Content-Type must be 'application/x-www-form-urlencoded' or 'application/json'",
    ],
    ['bad JSON', '{', JSON_TYPE, 400, 'invalid UTF-8 JSON'],
    [
      'more than a name and a password need',
      `name=${'a'.repeat(16_384)}`,
      FORM_TYPE,
      413,
      'the request entity is too large',
    ],
  ];
  for (const [what, body, headers, status, reason] of bad) {
    it(`refuses ${what} – ${status}`, async () => {
      const answer = await post(body, headers);
      assert.equal(answer.status, status);
      assert.equal(((await answer.json()) as { reason: string }).reason, reason);
    });
  }

  it('refuses a wrong password, an unknown name and names that nobody has in one sentence, and clears the cookie – 401', async () => {
    front.address = '192.0.2.50';
    const cases = [
      [alice, 'wrong'],
      ['no-such-user', 'wonder'],
      ['nobody', ''],
      ['', ''],
      ['_', '_'],
      [`${alice}:wonder`, ''],
    ] as const;
    for (const [name, password] of cases) {
      const answer = await login(name, password);
      assert.equal(answer.status, 401, name);
      assert.equal(cookieOf(answer), 'AuthSession=');
      assert.deepEqual(await answer.json(), {
        error: 'unauthorized',
        reason: 'Name or password is incorrect.',
      });
    }
    front.address = '192.0.2.1';
  });

  it('sends a browser on with ?next= and ?fail=, with the same cookie and body – 302', async () => {
    const good = await login(alice, 'wonder', '?next=/_utils/%23x&fail=/no');
    assert.equal(good.status, 302);
    assert.equal(good.headers.get('location'), '/_utils/#x');
    assert.equal(((await good.json()) as { name: string }).name, alice);
    assert.equal(await whoami({ cookie: cookieOf(good) }), alice);
    front.address = '192.0.2.51';
    const wrong = await login(alice, 'wrong', '?next=/yes&fail=/no');
    front.address = '192.0.2.1';
    assert.equal(wrong.status, 302);
    assert.equal(wrong.headers.get('location'), '/no');
    assert.equal(cookieOf(wrong), 'AuthSession=');
  });

  const elsewhere = [
    '//evil.example',
    '/%5Cevil.example',
    '%2F%2Fevil.example',
    'https://evil.example/',
    'evil',
    '',
    '/a%0d%0aX-Injected:%201',
    '/%09/evil.example',
    '/%00',
    '/a%20b',
    '/%C3%A4',
    '/\\evil.example',
  ];
  for (const path of elsewhere) {
    it(`sends nobody elsewhere, and nobody is logged in or out – ?next=${path} – 400`, async () => {
      const cookie = cookieOf(await login(alice, 'wonder'));
      const answers = [
        await login(alice, 'wonder', `?next=${path}`),
        await login(alice, 'wonder', `?fail=${path}`),
        await fetch(`${front.url}/_session?next=${path}`, { method: 'DELETE', headers: { cookie } }),
      ];
      for (const answer of answers) {
        assert.equal(answer.status, 400);
        assert.equal(answer.headers.get('location'), null);
        assert.equal(answer.headers.get('set-cookie'), null);
      }
      assert.equal(await whoami({ cookie }), alice);
    });
  }

  it('writes the cookie with its attributes, Secure only where the client came by TLS', async () => {
    const plain = await login(alice, 'wonder');
    assert.match(
      plain.headers.get('set-cookie') ?? '',
      /^AuthSession=[\w-]+\.[\w-]+; Version=1; Expires=\w{3}, \d\d-\w{3}-\d{4} [\d:]{8} GMT; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/,
    );
    front.secure = true;
    const secure = await login(alice, 'wonder');
    front.secure = false;
    assert.match(secure.headers.get('set-cookie') ?? '', /; HttpOnly; Secure; SameSite=Lax$/);
  });
});

describe('a session', () => {
  it('is renewed after a tenth of its time, by one cookie, also on forwarded answers', async () => {
    const cookie = cookieOf(await login(key.key, key.password));
    const paths = ['/_session', '/_uuids', '/not-there'];
    clock.skew = 20_000;
    for (const path of paths) {
      const young = await fetch(front.url + path, { headers: { cookie } });
      assert.equal(young.headers.get('set-cookie'), null, path);
    }
    clock.skew = 62_000;
    for (const path of paths) {
      const old = await fetch(front.url + path, { headers: { cookie } });
      const renewed = cookieOf(old);
      assert.notEqual(renewed, cookie, path);
      assert.equal(await whoami({ cookie: renewed }), key.key);
    }
    clock.skew = 0;
  });

  it('of the owner and of a user is renewed as well, and keeps its name', async () => {
    const logins = [
      [backend.owner.name, backend.owner.password],
      [alice, 'wonder'],
    ] as const;
    for (const [name, password] of logins) {
      const cookie = cookieOf(await login(name, password));
      clock.skew = 62_000;
      const renewed = cookieOf(await fetch(`${other.url}/_session`, { headers: { cookie } }));
      clock.skew = 630_000;
      assert.equal(await whoami({ cookie }), null);
      assert.equal(await whoami({ cookie: renewed }), name);
      clock.skew = 0;
    }
  });

  it('is over after its time, and then the request is nobody’s', async () => {
    const cookie = cookieOf(await login(key.key, key.password));
    clock.skew = 550_000;
    assert.equal(await whoami({ cookie }), key.key);
    clock.skew = 601_000;
    assert.equal(await whoami({ cookie }), null);
    clock.skew = 0;
  });

  it('is good on every replica', async () => {
    const cookie = cookieOf(await login(alice, 'wonder'));
    assert.equal(await whoami({ cookie }, other), alice);
  });

  it('that DELETE ended is over at once here and soon on every other replica, its renewals included', async () => {
    const cookie = cookieOf(await login(key.key, key.password));
    assert.equal(await whoami({ cookie }, other), key.key);
    clock.skew = 62_000;
    const renewed = cookieOf(await fetch(`${other.url}/_session`, { headers: { cookie } }));
    clock.skew = 0;
    const answer = await fetch(`${front.url}/_session`, { method: 'DELETE', headers: { cookie } });
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), { ok: true });
    assert.equal(cookieOf(answer), 'AuthSession=');
    assert.equal(await whoami({ cookie }), null);
    assert.equal(await whoami({ cookie: renewed }), null);
    await until(async () => (await whoami({ cookie: renewed }, other)) === null);
  });

  it('that was ended is over on a replica that is started afterwards', async () => {
    const cookie = cookieOf(await login(key.key, key.password));
    await fetch(`${front.url}/_session`, { method: 'DELETE', headers: { cookie } });
    const late = await startIdentityFront(backend, {
      sessionSecret,
      settings: { storeDatabase: store },
      now,
    });
    assert.equal(await whoami({ cookie }, late), null);
    await late.close();
  });

  it('is ended by DELETE though a Basic header decided who asks, and DELETE without any is no fault', async () => {
    const cookie = cookieOf(await login(alice, 'wonder'));
    const headers = { cookie, ...basic(key.key, key.password) };
    assert.equal((await fetch(`${front.url}/_session`, { method: 'DELETE', headers })).status, 200);
    assert.equal(await whoami({ cookie }), null);
    assert.equal((await fetch(`${front.url}/_session`, { method: 'DELETE' })).status, 200);
  });

  it('ends with its key', async () => {
    const made = await newKey();
    const cookie = cookieOf(await login(made.key, made.password));
    assert.equal(await whoami({ cookie }, other), made.key);
    await front.replica.keys.revoke(made.key, 'admin');
    assert.equal(await whoami({ cookie }), null);
    await until(async () => (await whoami({ cookie }, other)) === null);
  });

  it('ends with its password, and with its user', async () => {
    const name = `bob-${randomBytes(4).toString('hex')}`;
    await putUser(name, 'first', []);
    const first = cookieOf(await login(name, 'first'));
    assert.equal(await whoami({ cookie: first }, other), name);
    await putUser(name, 'second', ['new']);
    for (const at of [front, other]) await until(async () => (await whoami({ cookie: first }, at)) === null);
    // CouchDB itself takes a new password only after a moment.
    const second = await login(name, 'second');
    assert.equal(second.status, 200);
    const cookie = cookieOf(second);
    assert.equal(await whoami({ cookie }, other), name);
    const path = `/_users/${encodeURIComponent(`org.couchdb.user:${name}`)}`;
    const { body } = await front.replica.couch.ask({ method: 'GET', path });
    const rev = (body as { _rev: string })._rev;
    await fetch(`${front.url}${path}?rev=${rev}`, { method: 'DELETE', headers: owner });
    for (const at of [front, other]) await until(async () => (await whoami({ cookie }, at)) === null);
  });

  it('has the roles of its user as they are now', async () => {
    const name = `carol-${randomBytes(4).toString('hex')}`;
    await putUser(name, 'pw', ['one']);
    const cookie = cookieOf(await login(name, 'pw'));
    const path = `/_users/${encodeURIComponent(`org.couchdb.user:${name}`)}`;
    const { body } = await front.replica.couch.ask({ method: 'GET', path });
    await front.replica.couch.ask({ method: 'PUT', path, body: { ...(body as object), roles: ['two'] } });
    await until(async () => {
      const answer = await fetch(`${front.url}/_session`, { headers: { cookie } });
      const { userCtx } = (await answer.json()) as { userCtx: { roles: string[] } };
      return userCtx.roles.join() === 'two';
    });
  });

  it('with a cookie that Couchgate cannot have made is a 400, and one with a wrong signature is nobody’s', async () => {
    const cookie = cookieOf(await login(alice, 'wonder'));
    const malformed = await fetch(`${front.url}/_session`, { headers: { cookie: 'AuthSession=$' } });
    assert.equal(malformed.status, 400);
    assert.deepEqual(await malformed.json(), {
      error: 'bad_request',
      reason: 'Malformed AuthSession cookie. Please clear your cookies.',
    });
    assert.equal(await whoami({ cookie: `${cookie.slice(0, -1)}${cookie.endsWith('A') ? 'B' : 'A'}` }), null);
    assert.equal(await whoami({ cookie: 'AuthSession=' }), null);
  });
});

describe('a Basic header', () => {
  const raw = (value: string): Record<string, string> => ({ authorization: value });
  const encoded = (text: string | Uint8Array): string =>
    `Basic ${Buffer.from(text as string).toString('base64')}`;
  const INCORRECT = 'Name or password is incorrect.';
  const cases: readonly [string, string, number, string?][] = [
    ['_:_', encoded('_:_'), 200],
    ['nothing', 'Basic ', 200],
    ['bad base64', 'Basic $$$$', 400, 'Authorization header has invalid base64 value'],
    ['unpadded base64', 'Basic YTpiYg', 400, 'Authorization header has invalid base64 value'],
    ['no colon', encoded('alice'), 400, 'Authorization header must hold name:password in base64'],
    [
      'bytes that are not UTF-8',
      encoded(new Uint8Array([0xff, 0x3a, 0x61])),
      400,
      'Authorization header must hold UTF-8',
    ],
    ['an unknown name', encoded('no-such-user:x'), 401, INCORRECT],
    ['an empty name', encoded(':x'), 401, INCORRECT],
    ['nobody', encoded('nobody:'), 401, INCORRECT],
    ['another scheme', 'Bearer abc', 200],
    ['a scheme alone', 'Negotiate', 200],
    ['a colon in place of the blank', 'Basic:YTpi', 200],
    ['an empty scheme', ' YTpi', 200],
  ];
  for (const [what, value, status, reason] of cases) {
    it(`with ${what} – ${status}`, async () => {
      front.address = '192.0.2.60';
      for (const path of ['/_session', '/_up', '/']) {
        const answer = await fetch(front.url + path, { headers: raw(value) });
        assert.equal(answer.status, status, path);
        if (reason !== undefined) assert.equal(((await answer.json()) as { reason: string }).reason, reason);
        else await answer.text();
      }
      front.address = '192.0.2.1';
    });
  }

  it('is read in any case of its scheme, and with a colon in the password', async () => {
    const name = `dora-${randomBytes(4).toString('hex')}`;
    await putUser(name, 'a:b', []);
    const { authorization = '' } = basic(name, 'a:b');
    assert.equal(await whoami({ authorization: authorization.replace('Basic', 'bAsIc') }), name);
  });

  it('decides alone: a wrong one is refused though a good cookie comes along, a right one beats the cookie', async () => {
    const cookie = cookieOf(await login(alice, 'wonder'));
    front.address = '192.0.2.61';
    const wrong = await fetch(`${front.url}/_session`, { headers: { cookie, ...basic(alice, 'no') } });
    front.address = '192.0.2.1';
    assert.equal(wrong.status, 401);
    assert.equal(await whoami({ cookie, ...basic(key.key, key.password) }), key.key);
    assert.equal(await whoami({ cookie, ...basic('_', '_') }), alice);
  });
});
