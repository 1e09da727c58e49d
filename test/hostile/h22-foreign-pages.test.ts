// H22: over plain HTTP, browsers send no Sec-Fetch-Site. A form of another origin then acts with the cookie or the stored password of whoever
// opens it: it creates API keys, grants `nobody` a role, or signs the browser in as somebody else.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type Settings } from '../../src/config/settings.ts';
import { CALLER_HEADER, type PolicyFront, startPolicyFront } from '../support/policy-front.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { head } from '../support/raw-client.ts';

const HOST = 'couch.lan:5984';
const APP = 'https://app.example';

const SETUPS = {
  'CORS off': {},
  'the app listed': { enableCors: true, allowCredentials: true, origins: [APP, 'null'] },
  'the app listed without credentials': { enableCors: true, origins: [APP] },
  'every origin': { enableCors: true, origins: ['*'] },
  'a public URL': { publicUrl: 'https://couch.example' },
  'a trusted proxy': { trustedProxies: ['127.0.0.1/32'] },
} satisfies Record<string, Partial<Settings>>;
type Setup = keyof typeof SETUPS;

const fronts = new Map<Setup, Promise<PolicyFront>>();
function frontOf(setup: Setup): Promise<PolicyFront> {
  let front = fronts.get(setup);
  if (front === undefined) fronts.set(setup, (front = startPolicyFront({ settings: SETUPS[setup] })));
  return front;
}
after(async () => {
  for (const front of fronts.values()) await (await front).close();
});

/** Every kind of write: a form can send the first three, the others need a preflight or an old browser. */
const WRITES = [
  'POST /_session',
  'POST /_api/v2/api_keys',
  'POST /db/_bulk_docs',
  'PUT /db/_security',
  'PUT /_replicator/job',
  'DELETE /db/doc?rev=1-a',
  'COPY /db/doc',
  'DELETE /_session',
] as const;

let counter = 0;

async function statusOf(front: PolicyFront, line: string, headers: readonly string[]): Promise<number> {
  const id = `h22-${(counter += 1)}`;
  const answer = await exchangeBytes(
    front.url,
    head(
      `${line} HTTP/1.1`,
      ...(headers.some((header) => header.startsWith('Host:')) ? [] : [`Host: ${HOST}`]),
      'Connection: close',
      `X-Couch-Request-ID: ${id}`,
      `${CALLER_HEADER}: owner`,
      ...(line.startsWith('COPY') ? ['Destination: other'] : []),
      ...(/^P/.test(line) ? ['Content-Length: 2'] : []),
      ...headers,
    ) + (/^P/.test(line) ? '{}' : ''),
  );
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
  const isRefused = (await front.lineOf(id))['rule'] === 'foreign page';
  assert.equal(isRefused, isRefused && status === 403, `${line} – ${answer}`);
  if (isRefused) assert.deepEqual(front.reached(id), []);
  return isRefused ? 403 : 0;
}

type Row = readonly [what: string, setup: Setup, headers: readonly string[], isRefused: boolean];

const TABLE: readonly Row[] = [
  ['no browser', 'CORS off', [], false],
  ['no browser with a cookie', 'CORS off', ['Cookie: AuthSession=x'], false],
  // Origin decides.
  ['an own page', 'CORS off', ['Origin: http://couch.lan:5984'], false],
  ['an own page behind unknown TLS', 'CORS off', ['Origin: https://couch.lan:5984'], false],
  [
    'an own page in capital letters',
    'CORS off',
    ['Host: Couch.LAN:5984', 'Origin: http://couch.lan:5984'],
    false,
  ],
  ['an own page on the default port', 'CORS off', ['Host: couch.lan:80', 'Origin: http://couch.lan'], false],
  [
    'an own page on the default port of TLS',
    'CORS off',
    ['Host: couch.lan', 'Origin: https://couch.lan'],
    false,
  ],
  [
    'an own page at an IPv6 address',
    'CORS off',
    ['Host: [fd00::1]:5984', 'Origin: http://[fd00::1]:5984'],
    false,
  ],
  ['another host', 'CORS off', ['Origin: http://evil.example'], true],
  ['another port', 'CORS off', ['Origin: http://couch.lan:8080'], true],
  ['the same host on the default port', 'CORS off', ['Origin: http://couch.lan'], true],
  ['a longer name', 'CORS off', ['Origin: http://couch.lan:5984.evil.example'], true],
  ['a name before it', 'CORS off', ['Origin: http://couch.lan.evil.example:5984'], true],
  ['the own host as user-info', 'CORS off', ['Origin: http://couch.lan:5984@evil.example'], true],
  ['evil user-info', 'CORS off', ['Origin: http://evil.example@couch.lan:5984'], true],
  ['a hidden origin', 'CORS off', ['Origin: null'], true],
  ['an empty Origin', 'CORS off', ['Origin:'], true],
  ['no URL', 'CORS off', ['Origin: couch.lan:5984'], true],
  ['another scheme', 'CORS off', ['Origin: app://couch.lan:5984'], true],
  ['a file', 'CORS off', ['Origin: file://'], true],
  ['two origins', 'CORS off', ['Origin: http://couch.lan:5984', 'Origin: http://evil.example'], true],
  [
    'another host with an own Referer',
    'CORS off',
    ['Origin: http://evil.example', `Referer: http://${HOST}/`],
    true,
  ],
  [
    'an own page with another Referer',
    'CORS off',
    [`Origin: http://${HOST}`, 'Referer: http://evil.example/'],
    false,
  ],
  // Without Origin, Referer decides.
  ['an own Referer', 'CORS off', [`Referer: http://${HOST}/_utils/index.html?x#y`], false],
  ['a blanked Referer', 'CORS off', ['Referer:'], false],
  ['a foreign Referer', 'CORS off', ['Referer: http://evil.example/'], true],
  ['a foreign Referer that names us', 'CORS off', [`Referer: http://evil.example/http://${HOST}/`], true],
  ['a Referer that is no URL', 'CORS off', ['Referer: about'], true],
  // Sec-Fetch-Site decides before both.
  ['same-origin', 'CORS off', ['Sec-Fetch-Site: same-origin', 'Origin: http://evil.example'], false],
  ['none', 'CORS off', ['Sec-Fetch-Site: none'], false],
  ['same-site', 'CORS off', ['Sec-Fetch-Site: same-site', `Origin: http://${HOST}`], true],
  ['cross-site', 'CORS off', ['Sec-Fetch-Site: cross-site', `Origin: http://${HOST}`], true],
  ['cross-site without Origin', 'CORS off', ['Sec-Fetch-Site: cross-site'], true],
  ['two Sec-Fetch-Site', 'CORS off', ['Sec-Fetch-Site: same-origin', 'Sec-Fetch-Site: cross-site'], true],
  // CORS lets some in.
  ['a listed page', 'the app listed', [`Origin: ${APP}`], false],
  ['a listed page with a cookie', 'the app listed', [`Origin: ${APP}`, 'Cookie: a=b'], false],
  ['a listed Referer', 'the app listed', [`Referer: ${APP}/page`], false],
  ['a listed null', 'the app listed', ['Origin: null'], false],
  ['an unlisted page', 'the app listed', ['Origin: https://evil.example'], true],
  ['a listed page under http', 'the app listed', ['Origin: http://app.example'], true],
  ['an unlisted Referer', 'the app listed', ['Referer: https://app.example.evil.example/'], true],
  ['a page', 'every origin', ['Origin: https://any.example'], false],
  ['a hidden origin', 'every origin', ['Origin: null'], false],
  ['a page with a cookie', 'every origin', ['Origin: https://any.example', 'Cookie: a=b'], true],
  ['an own page with a cookie', 'every origin', [`Origin: http://${HOST}`, 'Cookie: a=b'], false],
  [
    'a listed page with a cookie',
    'the app listed without credentials',
    [`Origin: ${APP}`, 'Cookie: a=b'],
    true,
  ],
  // The public URL is the own origin, whatever Host says.
  ['the public page', 'a public URL', ['Origin: https://couch.example'], false],
  ['a public Referer', 'a public URL', ['Referer: https://couch.example/_utils/'], false],
  ['the public page under http', 'a public URL', ['Origin: http://couch.example'], true],
  ['the page of Host', 'a public URL', [`Origin: http://${HOST}`], true],
  // The scheme counts if a trusted proxy names it.
  [
    'an https page by https',
    'a trusted proxy',
    [`Origin: https://${HOST}`, 'X-Forwarded-Proto: https'],
    false,
  ],
  ['an http page by https', 'a trusted proxy', [`Origin: http://${HOST}`, 'X-Forwarded-Proto: https'], true],
  ['an http page by http', 'a trusted proxy', [`Origin: http://${HOST}`, 'X-Forwarded-Proto: http'], false],
  ['an https page by http', 'a trusted proxy', [`Origin: https://${HOST}`, 'X-Forwarded-Proto: http'], true],
  [
    'an https page by both',
    'a trusted proxy',
    [`Origin: https://${HOST}`, 'X-Forwarded-Proto: https, http'],
    false,
  ],
  ['an http page behind a silent proxy', 'a trusted proxy', [`Origin: http://${HOST}`], false],
  ['an http page by forged https', 'CORS off', [`Origin: http://${HOST}`, 'X-Forwarded-Proto: https'], false],
];

describe('H22: a write from a page', () => {
  for (const [what, setup, headers, isRefused] of TABLE) {
    it(`${isRefused ? 'is refused' : 'passes'} – ${what}, ${setup} – ${isRefused ? '403' : 'any method'}`, async () => {
      const front = await frontOf(setup);
      for (const line of WRITES)
        assert.equal(await statusOf(front, line, headers), isRefused ? 403 : 0, line);
      for (const line of ['GET /db/doc', 'HEAD /db/doc', 'GET /_session'])
        assert.equal(await statusOf(front, line, headers), 0, line);
    });
  }

  const stored = ['Authorization: Basic YWRtaW46eQ==', `Origin: ${APP}`];
  const types: readonly (readonly [type: string | undefined, isRefused: boolean])[] = [
    ['application/x-www-form-urlencoded', true],
    ['Multipart/Form-Data; boundary=x', true],
    ['text/plain;charset=UTF-8', true],
    [undefined, true],
    ['application/json', false],
  ];
  for (const [type, isRefused] of types) {
    it(`of a foreign origin cannot use a stored password where CORS forbids credentials – POST ${type ?? 'without a type'}`, async () => {
      for (const setup of ['every origin', 'the app listed without credentials'] as const) {
        const headers = [...stored, ...(type === undefined ? [] : [`Content-Type: ${type}`])];
        for (const more of [[], ['Sec-Fetch-Site: cross-site']]) {
          const status = await statusOf(await frontOf(setup), 'POST /_api/v2/api_keys', [
            ...headers,
            ...more,
          ]);
          assert.equal(status, isRefused ? 403 : 0);
        }
        // These methods need a preflight, so the page itself wrote the password.
        assert.equal(await statusOf(await frontOf(setup), 'PUT /db/doc', headers), 0);
      }
    });
  }
});
