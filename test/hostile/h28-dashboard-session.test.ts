// H28: the session of the dashboard acts as a server admin. Other pages, navigations, API keys and copies of its cookie must not.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type Settings } from '../../src/config/settings.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { head } from '../support/raw-client.ts';

const HEADER = { 'X-Couchgate-Dashboard': '1' };
const JSON_TYPE = { 'Content-Type': 'application/json' };
const gates: Couchgate[] = [];
after(async () => {
  for (const gate of gates) await gate.close();
});

async function gateWith(settings: Partial<Settings> = {}): Promise<Couchgate> {
  const gate = await startCouchgate({ settings });
  gates.push(gate);
  return gate;
}
const shared = gateWith();

interface SignedIn {
  readonly status: number;
  readonly setCookie: string;
  /** The value of a Cookie header. */
  readonly cookie: string;
  readonly reason: string;
}

async function signIn(url: string, { name, password }: Credentials, headers = HEADER): Promise<SignedIn> {
  const answer = await fetch(`${url}/_session`, {
    method: 'POST',
    headers: { ...JSON_TYPE, ...headers },
    body: JSON.stringify({ name, password }),
  });
  const { reason = '' } = (await answer.json()) as { reason?: string };
  const setCookie = answer.headers.get('set-cookie') ?? '';
  return { status: answer.status, setCookie, cookie: setCookie.split(';', 1)[0] ?? '', reason };
}

async function get(
  url: string,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly headers: Headers; readonly body: Record<string, unknown> }> {
  const answer = await fetch(url + path, { headers, redirect: 'manual' });
  return {
    status: answer.status,
    headers: answer.headers,
    body: (await answer.json()) as Record<string, unknown>,
  };
}

const nameIn = (body: Record<string, unknown>): unknown => (body['userCtx'] as { name: unknown }).name;

describe('H28 the cookie of the dashboard', () => {
  it('is one of its own, HttpOnly, Strict and without a lifetime – POST /_session', async () => {
    const gate = await shared;
    const { status, setCookie } = await signIn(gate.url, gate.owner);
    assert.equal(status, 200);
    assert.match(setCookie, /^couchgate_dashboard=[\w.-]+; Path=\/; HttpOnly; SameSite=Strict$/);
  });

  it('has the prefix __Host- and Secure over TLS, and no other name counts there', async () => {
    const gate = await gateWith({ trustedProxies: ['127.0.0.1/32'] });
    const tls = { ...HEADER, 'X-Forwarded-Proto': 'https', 'X-Forwarded-For': '192.0.2.1' };
    const { setCookie, cookie } = await signIn(gate.url, gate.owner, tls);
    assert.match(
      setCookie,
      /^__Host-couchgate_dashboard=[\w.-]+; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
    );
    assert.equal((await get(gate.url, '/_all_dbs', { ...tls, Cookie: cookie })).status, 200);
    const renamed = cookie.replace('__Host-', '');
    assert.equal((await get(gate.url, '/_all_dbs', { ...tls, Cookie: renamed })).status, 401);
  });

  it('counts only with the header, on every method and path', async () => {
    const gate = await shared;
    const { cookie } = await signIn(gate.url, gate.owner);
    assert.equal((await get(gate.url, '/_all_dbs', { Cookie: cookie, ...HEADER })).status, 200);
    for (const headers of [
      {},
      { 'X-Couchgate-Dashboard': '' },
      { 'X-Couchgate-Dashboard': '0' },
      { 'X-Couchgate-Dashboard': '1, 1' },
    ]) {
      assert.equal((await get(gate.url, '/_all_dbs', { Cookie: cookie, ...headers })).status, 401);
      const { body } = await get(gate.url, '/_session', { Cookie: cookie, ...headers });
      assert.equal(nameIn(body), null);
      const made = await fetch(`${gate.url}/_api/v2/api_keys`, {
        method: 'POST',
        headers: { Cookie: cookie, ...headers },
      });
      assert.equal(made.status, 401);
      await made.arrayBuffer();
    }
  });

  it('is no AuthSession, and AuthSession is no session of the dashboard', async () => {
    const gate = await shared;
    const { cookie } = await signIn(gate.url, gate.owner);
    const token = cookie.split('=')[1] ?? '';
    const api = await signIn(gate.url, gate.owner, {} as typeof HEADER);
    assert.match(api.setCookie, /^AuthSession=/);
    const stolen = api.cookie.split('=')[1] ?? '';
    for (const headers of [
      { Cookie: `AuthSession=${token}` },
      { ...HEADER, Cookie: api.cookie },
      { ...HEADER, Cookie: `couchgate_dashboard=${stolen}` },
    ])
      assert.equal((await get(gate.url, '/_all_dbs', headers)).status, 401, JSON.stringify(headers));
    assert.equal((await get(gate.url, '/_all_dbs', { Cookie: api.cookie })).status, 200);
  });

  it('alone decides about a request with the header: a remembered password does not', async () => {
    const gate = await shared;
    await gate.database('open-fruit', { nobody: ['_reader'] });
    const { cookie } = await signIn(gate.url, gate.owner);
    const remembered = { ...HEADER, Authorization: basic(gate.owner) };
    assert.equal((await get(gate.url, '/_all_dbs', remembered)).status, 401);
    // Not as nobody either: the page would show less, and no error.
    assert.equal((await get(gate.url, '/open-fruit', HEADER)).status, 401);
    assert.equal((await get(gate.url, '/open-fruit', {})).status, 200);
    const key = await gate.key();
    const { body } = await get(gate.url, '/_session', {
      ...HEADER,
      Cookie: cookie,
      Authorization: basic(key),
    });
    assert.equal(nameIn(body), gate.owner.name);
  });

  it('is not given to API keys, which are told so – POST /_session – 403', async () => {
    const gate = await shared;
    const key = await gate.key();
    const refused = await signIn(gate.url, key);
    assert.deepEqual(
      [refused.status, refused.reason, refused.setCookie],
      [403, 'API keys have no access to the dashboard. Sign in as a server admin or as a user.', ''],
    );
    // Whoever does not know the password is not told that the name is a key's.
    const wrong = await signIn(gate.url, { ...key, password: 'wrong' });
    assert.deepEqual([wrong.status, wrong.reason], [401, 'Name or password is incorrect.']);
    assert.equal((await signIn(gate.url, key, {} as typeof HEADER)).status, 200);
  });

  it('ends with sign-out, also in a copy – DELETE /_session', async () => {
    const gate = await shared;
    const { cookie } = await signIn(gate.url, gate.owner);
    const out = await fetch(`${gate.url}/_session`, {
      method: 'DELETE',
      headers: { ...HEADER, Cookie: cookie },
    });
    assert.equal(out.status, 200);
    assert.match(out.headers.get('set-cookie') ?? '', /^couchgate_dashboard=; Max-Age=0;/);
    await out.arrayBuffer();
    const answer = await get(gate.url, '/_all_dbs', { ...HEADER, Cookie: cookie });
    assert.deepEqual(
      [answer.status, answer.body['reason']],
      [401, 'The session of the dashboard has ended. Sign in again.'],
    );
  });

  it('leaves nothing in a cache', async () => {
    const gate = await shared;
    const { cookie } = await signIn(gate.url, gate.owner);
    await gate.database('cached', {});
    for (const path of ['/_session', '/_all_dbs', '/cached', '/cached/_security', '/cached/none']) {
      const { headers } = await get(gate.url, path, { ...HEADER, Cookie: cookie });
      assert.equal(headers.get('cache-control'), 'no-store', path);
    }
  });
});

/** Requests with the header that no script of the dashboard sends. */
const FOREIGN: readonly (readonly [what: string, headers: readonly string[], isRefused: boolean])[] = [
  ['a script of the dashboard', ['Sec-Fetch-Site: same-origin', 'Sec-Fetch-Dest: empty'], false],
  ['a script over plain HTTP', ['Origin: http://couch.lan:5984'], false],
  ['a listed page of CORS', ['Origin: https://app.example'], true],
  ['a page of a neighbouring port', ['Sec-Fetch-Site: same-site', 'Origin: http://couch.lan:8080'], true],
  ['a page of another site', ['Sec-Fetch-Site: cross-site', 'Origin: https://app.example'], true],
  ['an address typed in', ['Sec-Fetch-Site: none', 'Sec-Fetch-Dest: document'], true],
  ['a navigation', ['Sec-Fetch-Site: same-origin', 'Sec-Fetch-Dest: document'], true],
  ['a frame', ['Sec-Fetch-Site: same-origin', 'Sec-Fetch-Dest: iframe'], true],
  ['an image', ['Sec-Fetch-Site: same-origin', 'Sec-Fetch-Dest: image'], true],
  ['a sandboxed page', ['Origin: null'], true],
];

describe('H28 a request with the header of the dashboard', () => {
  for (const [what, headers, isRefused] of FOREIGN)
    it(`${isRefused ? 'is refused' : 'passes'} – ${what} – ${isRefused ? 403 : 200}`, async () => {
      const gate = await listed;
      const { cookie } = await signIn(gate.url, gate.owner);
      for (const line of ['GET /_all_dbs', 'HEAD /_all_dbs', 'GET /_session', 'DELETE /_session']) {
        const answer = await exchangeBytes(
          gate.url,
          head(
            `${line} HTTP/1.1`,
            'Host: couch.lan:5984',
            'Connection: close',
            'X-Couchgate-Dashboard: 1',
            `Cookie: ${cookie}`,
            ...headers,
          ),
        );
        assert.equal(Number(answer.slice(9, 12)), isRefused ? 403 : 200, `${line} ${answer}`);
      }
    });
  const listed = gateWith({
    enableCors: true,
    allowCredentials: true,
    origins: ['https://app.example', 'null'],
  });
});

describe('H28 the listener of the dashboard', () => {
  const separate = gateWith({ dashboardListen: '127.0.0.1:0' });
  const places = async (): Promise<readonly [gate: Couchgate, clients: string, dashboard: string]> => {
    const gate = await separate;
    const [clients = '', dashboard = ''] = gate.running.addresses;
    return [gate, clients, dashboard];
  };

  it('alone takes its cookie: cookies do not tell ports apart', async () => {
    const [gate, clients, dashboard] = await places();
    const { cookie } = await signIn(dashboard, gate.owner);
    assert.match(cookie, /^couchgate_dashboard=/);
    assert.equal((await get(dashboard, '/_all_dbs', { ...HEADER, Cookie: cookie })).status, 200);
    assert.equal((await get(clients, '/_all_dbs', { ...HEADER, Cookie: cookie })).status, 401);
    assert.match((await signIn(clients, gate.owner)).setCookie, /^AuthSession=/);
  });

  it('alone serves its files', async () => {
    const [, clients] = await places();
    const { status, body } = await get(clients, '/_dashboard/', {});
    assert.deepEqual([status, body['reason']], [404, 'The dashboard has a listener of its own.']);
  });

  it('serves no attachment, function or other page, to nobody', async () => {
    const [gate, clients, dashboard] = await places();
    await gate.database('pages', { nobody: ['_reader', '_writer'] });
    const _attachments = { 'x.html': { content_type: 'text/html', data: 'PGI+' } };
    assert.equal((await gate.ask('PUT', '/pages/doc', { body: { _attachments } })).status, 201);
    const design = { shows: { s: 'function () { return "<b>"; }' } };
    assert.equal((await gate.ask('PUT', '/pages/_design/d', { as: gate.owner, body: design })).status, 201);
    for (const as of [gate.owner, undefined])
      for (const path of [
        '/pages/doc/x.html',
        '/pages/_design/d/_show/s',
        '/_utils/',
        '/pages/_design/d/x',
      ]) {
        const headers: Record<string, string> = as === undefined ? {} : { Authorization: basic(as) };
        const { status, body } = await get(dashboard, path, headers);
        assert.deepEqual(
          [status, body['reason']],
          [403, 'The listener of the dashboard serves no attachments, no functions and no other pages.'],
          path,
        );
      }
    assert.equal((await fetch(`${clients}/pages/doc/x.html`)).status, 200);
    assert.equal((await get(dashboard, '/pages/doc', {})).status, 200);
  });
});

describe('H28 a dashboard that is off', () => {
  it('has no files and no session of its own', async () => {
    const gate = await gateWith({ dashboard: 'off' });
    assert.equal((await get(gate.url, '/_dashboard/', {})).status, 404);
    const { setCookie } = await signIn(gate.url, gate.owner);
    assert.match(setCookie, /^AuthSession=/);
  });

  it('is the default where stored pages may run scripts', async () => {
    const gate = await gateWith({ unsandboxedDatabases: 'apps' });
    const { status, body } = await get(gate.url, '/_dashboard/', {});
    assert.deepEqual([status, body['reason']], [404, 'The dashboard is off.']);
  });
});
