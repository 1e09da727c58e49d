// Spoofed X-Forwarded-For and X-Forwarded-Proto: a client must never be able to choose the address it is judged by.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { type AddressSettings, refuseUnknownAddress } from '../../src/admit/address.ts';
import { type ClientAddress, contextOf } from '../../src/context.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { serveSteps, type StepsServer } from '../support/steps-server.ts';

const EVERYBODY = ['0.0.0.0/0', '::/0'];
/** The test's own connection is a trusted proxy, as are 10.0.0.0/8 and one IPv6 network. */
const BEHIND_PROXY = ['127.0.0.1/32', '10.0.0.0/8', '2001:db8:1::/48'];

const live: { current: AddressSettings } = {
  current: { allow: EVERYBODY, ownerAllow: EVERYBODY, probeAllow: [], trustedProxies: [] },
};
let server: StepsServer;
let seen: ClientAddress | undefined;
before(async () => {
  server = await serveSteps([
    refuseUnknownAddress(live),
    (req, res) => {
      seen = contextOf(req).client;
      res.end();
    },
  ]);
});
after(() => server.close());

/** The status, and the address the request was judged by. */
async function ask(
  headers: readonly string[],
): Promise<{ status: number; client: ClientAddress | undefined }> {
  seen = undefined;
  const head = ['GET /db HTTP/1.1', 'Host: a', 'Connection: close', ...headers].join('\r\n');
  const answer = await exchangeBytes(server.url, `${head}\r\n\r\n`);
  return { status: Number(answer.slice(9, 12)), client: seen };
}

interface Row {
  readonly title: string;
  readonly proxies?: readonly string[];
  readonly headers: readonly string[];
  /** The address that counts; undefined = refused. */
  readonly ip: string | undefined;
}

const ROWS: readonly Row[] = [
  {
    title: 'no proxy is trusted, so the header means nothing',
    proxies: [],
    headers: ['X-Forwarded-For: 203.0.113.5'],
    ip: '127.0.0.1',
  },
  {
    title: 'X-Real-IP and Forwarded mean nothing even from a proxy',
    headers: ['X-Real-IP: 203.0.113.5', 'Forwarded: for=203.0.113.6'],
    ip: '127.0.0.1',
  },
  { title: 'the one address a proxy added', headers: ['X-Forwarded-For: 198.51.100.7'], ip: '198.51.100.7' },
  {
    title: 'what stands left of it is the client’s invention',
    headers: ['X-Forwarded-For: 203.0.113.5, 198.51.100.7'],
    ip: '198.51.100.7',
  },
  {
    title: 'an invented trusted proxy left of it',
    headers: ['X-Forwarded-For: 10.0.0.1, 198.51.100.7'],
    ip: '198.51.100.7',
  },
  {
    title: 'two proxies of ours behind each other',
    headers: ['X-Forwarded-For: 203.0.113.5, 198.51.100.7, 10.1.2.3'],
    ip: '198.51.100.7',
  },
  {
    title: 'only proxies of ours: the first of them',
    headers: ['X-Forwarded-For: 10.0.0.9, 10.1.2.3'],
    ip: '10.0.0.9',
  },
  {
    title: 'the header twice is one list',
    headers: ['X-Forwarded-For: 203.0.113.5', 'X-Forwarded-For: 198.51.100.7'],
    ip: '198.51.100.7',
  },
  {
    title: 'the header twice, the invented one in another case',
    headers: ['x-forwarded-for: 203.0.113.5', 'X-FORWARDED-FOR: 198.51.100.7'],
    ip: '198.51.100.7',
  },
  {
    title: 'an underscore in the name is another header',
    headers: ['X_Forwarded_For: 203.0.113.5', 'X-Forwarded-For: 198.51.100.7'],
    ip: '198.51.100.7',
  },
  {
    title: 'an IPv4 address inside IPv6',
    headers: ['X-Forwarded-For: ::ffff:198.51.100.7'],
    ip: '198.51.100.7',
  },
  {
    title: 'a trusted IPv4 address inside IPv6',
    headers: ['X-Forwarded-For: 198.51.100.7, ::ffff:10.0.0.1'],
    ip: '198.51.100.7',
  },
  {
    title: 'IPv6 in any spelling',
    headers: ['X-Forwarded-For: 2001:DB8:2:0:0:0:0:1, 2001:db8:1::9'],
    ip: '2001:db8:2::1',
  },
  { title: 'an address with a port', headers: ['X-Forwarded-For: 198.51.100.7:4711'], ip: '198.51.100.7' },
  {
    title: 'an IPv6 address in brackets with a port',
    headers: ['X-Forwarded-For: [2001:db8:2::1]:4711'],
    ip: '2001:db8:2::1',
  },
  {
    title: 'garbage left of the address that counts',
    headers: ['X-Forwarded-For: <script>, 198.51.100.7'],
    ip: '198.51.100.7',
  },
  { title: 'garbage where the address should be', headers: ['X-Forwarded-For: unknown'], ip: undefined },
  { title: 'garbage behind a proxy of ours', headers: ['X-Forwarded-For: nobody, 10.0.0.1'], ip: undefined },
  { title: 'an empty entry at the right', headers: ['X-Forwarded-For: 198.51.100.7,'], ip: undefined },
  { title: 'a decimal address', headers: ['X-Forwarded-For: 3325256711'], ip: undefined },
  { title: 'an octal address', headers: ['X-Forwarded-For: 0306.063.0144.07'], ip: undefined },
  { title: 'an address with a zone', headers: ['X-Forwarded-For: fe80::1%eth0'], ip: undefined },
  { title: 'no header at all: the proxy itself asks', headers: [], ip: '127.0.0.1' },
];

describe('X-Forwarded-For is read from the right, through trusted proxies alone', () => {
  for (const { title, proxies = BEHIND_PROXY, headers, ip } of ROWS)
    it(`${title}: ${ip ?? '403'}`, async () => {
      live.current = { allow: EVERYBODY, ownerAllow: EVERYBODY, probeAllow: [], trustedProxies: proxies };
      const { status, client } = await ask(headers);
      assert.equal(status, ip === undefined ? 403 : 200);
      assert.equal(client?.ip, ip);
    });

  it('an invented address opens no whitelist – GET /db – 403', async () => {
    live.current = {
      allow: ['203.0.113.0/24'],
      ownerAllow: [],
      probeAllow: [],
      trustedProxies: BEHIND_PROXY,
    };
    for (const header of [
      '203.0.113.5, 198.51.100.7',
      '203.0.113.5, 10.0.0.1, 198.51.100.7',
      '203.0.113.5,,',
      '127.0.0.1, 198.51.100.7',
    ])
      assert.equal((await ask([`X-Forwarded-For: ${header}`])).status, 403, header);
    assert.equal((await ask(['X-Forwarded-For: 198.51.100.7, 203.0.113.5'])).status, 200);
  });

  it(
    'an empty header means the proxy that sent it, each time – from 127.0.0.1, then from 127.0.0.2 – 200, 403',
    { skip: process.platform !== 'linux' },
    async () => {
      live.current = {
        allow: ['127.0.0.1/32'],
        ownerAllow: [],
        probeAllow: [],
        trustedProxies: ['127.0.0.0/8'],
      };
      assert.equal((await ask(['X-Forwarded-For: '])).status, 200);
      const request = http.get(server.url, { localAddress: '127.0.0.2', headers: { 'X-Forwarded-For': '' } });
      const [answer] = (await once(request, 'response')) as [IncomingMessage];
      answer.resume();
      assert.equal(answer.statusCode, 403);
    },
  );

  it('an invented address does not make the owner’s list wider', async () => {
    live.current = {
      allow: EVERYBODY,
      ownerAllow: ['203.0.113.5/32'],
      probeAllow: [],
      trustedProxies: BEHIND_PROXY,
    };
    assert.equal((await ask(['X-Forwarded-For: 203.0.113.5, 198.51.100.7'])).client?.mayAdminister, false);
    assert.equal((await ask(['X-Forwarded-For: 198.51.100.7, 203.0.113.5'])).client?.mayAdminister, true);
  });
});

describe('X-Forwarded-Proto', () => {
  const rows: readonly [
    title: string,
    proxies: readonly string[],
    headers: readonly string[],
    secure: boolean,
  ][] = [
    ['means nothing from a client', [], ['X-Forwarded-Proto: https'], false],
    [
      'is believed from a trusted proxy',
      BEHIND_PROXY,
      ['X-Forwarded-Proto: HTTPS', 'X-Forwarded-For: 198.51.100.7'],
      true,
    ],
    ['is believed without X-Forwarded-For', BEHIND_PROXY, ['X-Forwarded-Proto: https'], true],
    [
      'says that a hop was open',
      BEHIND_PROXY,
      ['X-Forwarded-Proto: https, http', 'X-Forwarded-For: 198.51.100.7'],
      false,
    ],
    [
      'twice is one list',
      BEHIND_PROXY,
      ['X-Forwarded-Proto: https', 'X-Forwarded-Proto: http', 'X-Forwarded-For: 198.51.100.7'],
      false,
    ],
    [
      'that is missing means the connection seen here',
      BEHIND_PROXY,
      ['X-Forwarded-For: 198.51.100.7'],
      false,
    ],
  ];
  for (const [title, proxies, headers, secure] of rows)
    it(title, async () => {
      live.current = { allow: EVERYBODY, ownerAllow: EVERYBODY, probeAllow: [], trustedProxies: proxies };
      assert.equal((await ask(headers)).client?.secure, secure);
    });
});
