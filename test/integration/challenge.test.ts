// RFC 9110 section 11.6.1: a 401 names the scheme, so that clients that wait for it sign in. Browsers are left out: they show a dialog.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { basic, startCouchgate, type Couchgate } from '../support/couchgate.ts';

interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Status and WWW-Authenticate. fetch sends headers of a browser, so it is not used. */
function ask(url: string, { method, path, headers = {}, body }: Request): Promise<readonly unknown[]> {
  return new Promise((resolve, reject) => {
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const req = http.request(new URL(path, url), { method, headers: { ...type, ...headers } });
    req.on('response', (res) => {
      res.resume();
      resolve([res.statusCode, res.headers['www-authenticate']]);
    });
    req.on('error', reject).end(body);
  });
}

const CHALLENGE = 'Basic realm="couchgate"';
const wrong = { authorization: basic({ name: 'somebody', password: 'wrong' }) };

/** Every writer of a 401. */
const REFUSALS: readonly (readonly [string, Request])[] = [
  ['a closed database', { method: 'GET', path: '/closed' }],
  ['a HEAD of it', { method: 'HEAD', path: '/closed' }],
  ['a missing database', { method: 'GET', path: '/missing/_all_docs' }],
  ['a body that is not read', { method: 'PUT', path: '/closed/doc', body: '{}' }],
  ['the list of databases', { method: 'GET', path: '/_all_dbs' }],
  ['a closed endpoint', { method: 'GET', path: '/closed/_design/d/_rewrite' }],
  ['a wrong password', { method: 'GET', path: '/', headers: wrong }],
  ['another scheme', { method: 'GET', path: '/closed', headers: { authorization: 'Bearer x' } }],
  ['a log-in', { method: 'POST', path: '/_session', body: '{"name":"somebody","password":"wrong"}' }],
  ['a question for the session', { method: 'GET', path: '/_session?basic=true' }],
  ['a job', { method: 'POST', path: '/_replicate', body: '{}' }],
  ['a validation function of CouchDB', { method: 'PUT', path: '/open/doc', body: '{}' }],
];

const BROWSERS: readonly Readonly<Record<string, string>>[] = [
  { 'X-Requested-With': 'XMLHttpRequest' },
  { 'X-Requested-With': '' },
  { 'X-Couchgate-Dashboard': '1' },
  { Origin: 'null' },
  { Origin: 'https://app.example' },
  { 'Sec-Fetch-Site': 'same-origin' },
  { 'sec-fetch-mode': 'navigate' },
  { 'Sec-Fetch-Storage-Access': 'none' },
  { 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0' },
];
const PROGRAMS: readonly Readonly<Record<string, string>>[] = [
  {},
  { 'User-Agent': 'curl/8.5.0' },
  { 'User-Agent': 'CouchDB-Replicator/3.5.0' },
  { 'User-Agent': 'python-requests/2 (like Mozilla/5.0)' },
  { Accept: 'text/html', 'X-Sec-Fetch': '1' },
];

describe('WWW-Authenticate', () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate();
    await gate.database('closed');
    await gate.database('open', { nobody: ['_reader', '_writer'] });
    const validation =
      'function (doc, old, ctx) { if (!ctx.name) throw { unauthorized: "Please log in." }; }';
    const put = await gate.ask('PUT', '/open/_design/d', {
      as: gate.owner,
      body: { validate_doc_update: validation },
    });
    assert.equal(put.status, 201, JSON.stringify(put.body));
  });
  after(() => gate.close());

  for (const [what, request] of REFUSALS) {
    it(`is in the 401 for ${what} – ${request.method} ${request.path}`, async () => {
      for (const program of PROGRAMS) {
        const headers = { ...request.headers, ...program };
        assert.deepEqual(
          await ask(gate.url, { ...request, headers }),
          [401, CHALLENGE],
          JSON.stringify(program),
        );
        // The limit of wrong passwords is another matter.
        if (request.path === '/_session' || request.headers === wrong) break;
      }
    });
  }

  for (const browser of BROWSERS) {
    it(`is not sent to a browser – ${JSON.stringify(browser)}`, async () => {
      for (const [what, request] of REFUSALS) {
        if (request.path === '/_session' || request.headers === wrong) continue;
        const headers = { ...request.headers, ...browser };
        const [status, challenge] = await ask(gate.url, { ...request, headers });
        // A page of another origin may be refused before.
        assert.ok(status === 401 || 'Origin' in browser, what);
        assert.equal(challenge, undefined, what);
      }
    });
  }

  it('is in no other answer – 200, 403, 404, 400', async () => {
    const key = await gate.key();
    const as = { authorization: basic(key) };
    for (const [path, expected] of [
      ['/', 200],
      ['/closed', 403],
      ['/missing', 404],
      ['/%zz', 400],
    ] as const) {
      assert.deepEqual(await ask(gate.url, { method: 'GET', path, headers: as }), [expected, undefined]);
    }
  });

  it('is never sent if www_authenticate is off', async () => {
    const silent = await startCouchgate({ backend: gate.backend, settings: { wwwAuthenticate: false } });
    assert.deepEqual(await ask(silent.url, { method: 'GET', path: '/closed' }), [401, undefined]);
    await silent.close();
  });
});
