// CORS over real connections: preflights, marked answers, and that CouchDB never sees an OPTIONS.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { applyOriginRules } from '../../src/admit/origin.ts';
import { type CorsSettings } from '../../src/config/cors-rule.ts';
import { Unauthorized } from '../../src/http-errors.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { serveSteps, type StepsServer } from '../support/steps-server.ts';

const APP = 'https://app.example.com';
const LISTED: CorsSettings = {
  enableCors: true,
  allowCredentials: true,
  origins: [APP, 'app://obsidian.md', 'capacitor://localhost', 'http://localhost:5173'],
};

describe('applyOriginRules', () => {
  const live: { current: CorsSettings } = { current: LISTED };
  let server: StepsServer;
  let reached: string[] = [];
  before(async () => {
    server = await serveSteps([
      applyOriginRules(live, { publicUrl: '' }),
      (req, res, next) => {
        reached.push(req.method);
        if (req.url === '/closed') next(new Unauthorized('_reader access is required for this request'));
        else res.end('ok');
      },
    ]);
  });
  after(() => server.close());

  function ask(
    settings: CorsSettings,
    method: string,
    path: string,
    headers: Record<string, string>,
  ): Promise<Response> {
    live.current = settings;
    reached = [];
    return fetch(server.url + path, { method, headers });
  }
  const preflight = (
    settings: CorsSettings,
    origin: string,
    method = 'PUT',
    headers?: string,
  ): Promise<Response> =>
    ask(settings, 'OPTIONS', '/db/doc', {
      Origin: origin,
      'Access-Control-Request-Method': method,
      ...(headers === undefined ? {} : { 'Access-Control-Request-Headers': headers }),
    });
  const corsHeaders = (answer: Response): string[] =>
    [...answer.headers.keys()].filter((name) => name.startsWith('access-control-')).sort();

  const foreign: readonly (readonly [
    what: string,
    settings: CorsSettings,
    headers: Record<string, string>,
    status: number,
  ])[] = [
    [
      'a form of another site',
      LISTED,
      { Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site' },
      403,
    ],
    [
      'a form of another host of the site',
      LISTED,
      { Origin: 'https://evil.example', 'Sec-Fetch-Site': 'same-site' },
      403,
    ],
    ['a form of a hidden origin', LISTED, { 'Sec-Fetch-Site': 'cross-site' }, 403],
    ['a page that CORS lets in', LISTED, { Origin: APP, 'Sec-Fetch-Site': 'cross-site', Cookie: 'a=b' }, 200],
    [
      'a page that CORS lets in without cookies, with one',
      { ...LISTED, allowCredentials: false, origins: ['*'] },
      { Origin: APP, 'Sec-Fetch-Site': 'cross-site', Cookie: 'a=b' },
      403,
    ],
    [
      'a page that CORS lets in without cookies',
      { ...LISTED, allowCredentials: false, origins: ['*'] },
      { Origin: APP, 'Sec-Fetch-Site': 'cross-site' },
      200,
    ],
    [
      'a page while CORS is off',
      { ...LISTED, enableCors: false },
      { Origin: APP, 'Sec-Fetch-Site': 'cross-site' },
      403,
    ],
    ["CouchDB's own page", LISTED, { Origin: 'https://couch.example', 'Sec-Fetch-Site': 'same-origin' }, 200],
    ['no browser', LISTED, {}, 200],
  ];
  for (const [what, settings, headers, status] of foreign) {
    it(`keeps pages of others from writing in the name of who opens them – POST by ${what} – ${status}`, async () => {
      const answer = await ask(settings, 'POST', '/api/set_permissions', headers);
      assert.equal(answer.status, status);
      assert.deepEqual(reached, status === 200 ? ['POST'] : []);
      assert.equal((await ask(settings, 'GET', '/db', headers)).status, 200);
    });
  }

  for (const origin of LISTED.origins)
    it(`lets ${origin} in – OPTIONS /db/doc – 204 without asking who it is`, async () => {
      const answer = await preflight(
        LISTED,
        origin,
        'PUT',
        'authorization, content-type, cf-access-client-id',
      );
      assert.equal(answer.status, 204);
      assert.equal(answer.headers.get('access-control-allow-origin'), origin);
      assert.equal(answer.headers.get('access-control-allow-credentials'), 'true');
      assert.match(answer.headers.get('access-control-allow-methods') ?? '', /\bPUT, DELETE, COPY\b/);
      assert.equal(
        answer.headers.get('access-control-allow-headers'),
        'authorization, content-type, cf-access-client-id',
      );
      assert.match(answer.headers.get('vary') ?? '', /^Origin\b/);
      assert.deepEqual(reached, []);
    });

  const refusals: readonly [
    title: string,
    settings: CorsSettings,
    origin: string,
    method: string,
    reason: RegExp,
  ][] = [
    ['an origin that is not listed', LISTED, 'https://evil.example', 'GET', /not in the list/],
    ['an origin that only begins like a listed one', LISTED, `${APP}.evil.example`, 'GET', /not in the list/],
    ['a listed host under another scheme', LISTED, 'http://app.example.com', 'GET', /not in the list/],
    ['a listed host on another port', LISTED, `${APP}:8443`, 'GET', /not in the list/],
    ['a subdomain of a listed one', LISTED, 'https://x.app.example.com', 'GET', /not in the list/],
    ['the origin null', LISTED, 'null', 'GET', /not in the list/],
    ['a method that is not known', LISTED, APP, 'TRACE', /method/],
  ];
  for (const [title, settings, origin, method, reason] of refusals)
    it(`refuses ${title} – OPTIONS – 403 with the reason, and no CORS header`, async () => {
      const answer = await preflight(settings, origin, method);
      assert.equal(answer.status, 403);
      assert.match(await answer.text(), reason);
      assert.deepEqual(corsHeaders(answer), []);
      assert.deepEqual(reached, []);
    });

  it('marks the answer to a listed origin, an error too, and shows what CouchDB clients read', async () => {
    for (const path of ['/db/doc', '/closed']) {
      const answer = await ask(LISTED, 'GET', path, { Origin: APP });
      assert.equal(answer.status, path === '/closed' ? 401 : 200);
      assert.equal(answer.headers.get('access-control-allow-origin'), APP);
      assert.equal(answer.headers.get('access-control-allow-credentials'), 'true');
      assert.match(answer.headers.get('access-control-expose-headers') ?? '', /\bETag, .*\bLocation\b/);
      assert.equal(answer.headers.get('vary'), 'Origin');
    }
  });

  it('marks no answer to another origin, but tells caches that it depends on the origin', async () => {
    for (const headers of [{ Origin: 'https://evil.example' }, {}]) {
      const answer = await ask(LISTED, 'GET', '/db', headers);
      assert.deepEqual(corsHeaders(answer), []);
      assert.equal(answer.headers.get('vary'), 'Origin');
      assert.deepEqual(reached, ['GET']);
    }
  });

  it('gives every origin `*`, and never credentials with it', async () => {
    const everybody = { enableCors: true, allowCredentials: false, origins: ['*'] };
    for (const answer of [
      await preflight(everybody, 'https://any.example'),
      await ask(everybody, 'GET', '/', { Origin: 'null' }),
    ]) {
      assert.equal(answer.headers.get('access-control-allow-origin'), '*');
      assert.equal(answer.headers.get('access-control-allow-credentials'), null);
    }
  });

  it('sends no CORS header at all while it is off, and takes no OPTIONS for a preflight', async () => {
    const off = { ...LISTED, enableCors: false };
    for (const answer of [await ask(off, 'GET', '/db', { Origin: APP }), await preflight(off, APP)]) {
      assert.equal(answer.status, 200);
      assert.deepEqual(corsHeaders(answer), []);
      assert.equal(answer.headers.get('vary'), null);
    }
    assert.deepEqual(reached, ['OPTIONS']);
  });

  it('puts no line end of a header list into its answer, and refuses what is no list of names', async () => {
    assert.equal((await preflight(LISTED, APP, 'GET', 'x y')).status, 403);
    assert.equal((await preflight(LISTED, APP, 'GET', `x${',x'.repeat(4000)}`)).status, 403);
  });

  it('ends the connection when an OPTIONS brought a body, so that the body is never read as a request', async () => {
    live.current = LISTED;
    const answer = await exchangeBytes(
      server.url,
      `OPTIONS /db HTTP/1.1\r\nHost: a\r\nOrigin: ${APP}\r\nAccess-Control-Request-Method: GET\r\n` +
        'Content-Length: 40\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a',
    );
    assert.match(answer, /^HTTP\/1\.1 204 [^]*Connection: close/);
    assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1);
  });
});
