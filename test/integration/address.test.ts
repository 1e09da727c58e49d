// The IP whitelist over real connections.
import assert from 'node:assert/strict';
import http from 'node:http';
import { networkInterfaces } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { type RequestHandler } from 'express';
import { type AddressSettings, refuseUnknownAddress } from '../../src/admit/address.ts';
import { AddressSet, parseCidr, peerAddress } from '../../src/config/address-set.ts';
import { contextOf } from '../../src/context.ts';
import { serveSteps, type StepsServer } from '../support/steps-server.ts';

const EVERYBODY = ['0.0.0.0/0', '::/0'];

describe('refuseUnknownAddress', () => {
  const live: { current: AddressSettings } = {
    current: { allow: [], ownerAllow: [], probeAllow: [], trustedProxies: [] },
  };
  let server: StepsServer;
  let reached = 0;
  let endedBy: string | undefined;
  before(async () => {
    server = await serveSteps([
      (req, res, next) => {
        res.on('close', () => (endedBy = contextOf(req).outcome.refusal?.rule));
        next();
      },
      refuseUnknownAddress(live),
      (req, res) => {
        reached += 1;
        res.end(String(contextOf(req).client?.mayAdminister));
      },
    ]);
  });
  after(() => server.close());

  const rows: readonly [
    allow: readonly string[],
    ownerAllow: readonly string[],
    status: number,
    may?: string,
  ][] = [
    [EVERYBODY, EVERYBODY, 200, 'true'],
    [['127.0.0.1/32'], EVERYBODY, 200, 'true'],
    [['127.0.0.0/8'], ['10.0.0.0/8'], 200, 'false'],
    [EVERYBODY, [], 200, 'false'],
    [['127.0.0.2/32'], EVERYBODY, 403],
    [['::/0'], EVERYBODY, 403],
    [[], EVERYBODY, 403],
  ];
  for (const [allow, ownerAllow, status, may] of rows)
    it(`answers 127.0.0.1 with ${status} when [${allow.join()}] may come in, [${ownerAllow.join()}] as owner`, async () => {
      live.current = { allow, ownerAllow, probeAllow: [], trustedProxies: [] };
      reached = 0;
      const answer = await fetch(server.url, { headers: { Authorization: 'Basic not even base64' } });
      assert.equal(answer.status, status);
      assert.equal(reached, status === 200 ? 1 : 0);
      const text = await answer.text();
      if (status === 403) {
        assert.equal(text, '{"error":"forbidden","reason":"This client address is not allowed."}\n');
        assert.equal(endedBy, 'address');
      } else assert.equal(text, may);
    });

  it('lets an address of probe_allow ask whether Couchgate is up, without credentials, and nothing else', async () => {
    live.current = { allow: [], ownerAllow: [], trustedProxies: [], probeAllow: ['127.0.0.1/32'] };
    const ask = async (path: string, init: RequestInit = {}): Promise<number> => {
      const answer = await fetch(server.url + path, init);
      const text = await answer.text();
      if (answer.status === 200 && init.method !== 'HEAD') assert.equal(text, 'false', 'never as an owner');
      return answer.status;
    };
    assert.equal(await ask('/_up'), 200);
    assert.equal(await ask('/_up', { method: 'HEAD' }), 200);
    for (const path of ['/', '/_up/', '/_up?a', '/%5Fup', '//_up', '/_session', '/db/_up'])
      assert.equal(await ask(path), 403, path);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      assert.equal(await ask('/_up', { method }), 403, method);
    for (const headers of [{ Authorization: 'Basic YTpi' }, { Cookie: 'AuthSession=x' }])
      assert.equal(await ask('/_up', { headers }), 403, JSON.stringify(headers));
    live.current = { allow: [], ownerAllow: [], trustedProxies: [], probeAllow: ['10.0.0.0/8'] };
    assert.equal(await ask('/_up'), 403, 'another address');
  });

  it('holds a new list against the next request of a connection that is open', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    const ask = (): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        http
          .get(server.url, { agent }, (res) => {
            ports.add(res.socket.localPort);
            res.resume().on('end', () => resolve(res.statusCode));
          })
          .on('error', reject);
      });
    live.current = { allow: EVERYBODY, ownerAllow: [], probeAllow: [], trustedProxies: [] };
    assert.equal(await ask(), 200);
    live.current = { allow: ['10.0.0.0/8'], ownerAllow: [], probeAllow: [], trustedProxies: [] };
    assert.equal(await ask(), 403);
    live.current = { allow: EVERYBODY, ownerAllow: [], probeAllow: [], trustedProxies: [] };
    assert.equal(await ask(), 200);
    assert.equal(ports.size, 1);
    agent.destroy();
  });
});

const hasIPv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);

describe('a listener for both kinds of addresses', { skip: !hasIPv6 && 'this machine has no IPv6' }, () => {
  it('knows an IPv4 client, which the system shows as ::ffff:127.0.0.1, by its IPv4 address', async () => {
    const live = { current: { allow: ['127.0.0.1/32'], ownerAllow: [], probeAllow: [], trustedProxies: [] } };
    const end: RequestHandler = (req, res) => void res.end(contextOf(req).client?.ip);
    const server = await serveSteps([refuseUnknownAddress(live), end], { listen: '[::]:0' });
    const { port } = new URL(server.url);
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    assert.equal(answer.status, 200);
    assert.equal(await answer.text(), '127.0.0.1');
    assert.equal((await fetch(`http://[::1]:${port}/`)).status, 403);
    server.close();
  });
});

describe('AddressSet', () => {
  const set = (...texts: readonly string[]): AddressSet =>
    new AddressSet(
      texts.map((text) => {
        const read = parseCidr(text);
        assert.ok('cidr' in read, text);
        return read.cidr;
      }),
    );
  const rows: readonly [range: string, inside: readonly string[], outside: readonly string[]][] = [
    [
      '10.0.0.0/8',
      ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3', '::ffff:0a01:0203'],
      ['9.255.255.255', '11.0.0.0', '::10.1.2.3'],
    ],
    ['192.0.2.7', ['192.0.2.7'], ['192.0.2.6', '192.0.2.8']],
    ['::ffff:192.0.2.0/120', ['192.0.2.255', '::ffff:192.0.2.1'], ['192.0.3.0']],
    ['2001:db8::/32', ['2001:db8:ffff::1', '2001:0DB8::1'], ['2001:db9::', '32.1.13.184']],
    ['0.0.0.0/0', ['255.255.255.255', '::ffff:1.2.3.4'], ['::1', '2001:db8::1']],
    ['::/0', ['::1', '2001:db8::1'], ['1.2.3.4', '::ffff:1.2.3.4']],
  ];
  for (const [range, inside, outside] of rows)
    it(`knows what ${range} holds`, () => {
      for (const address of inside) assert.ok(set(range).has(address), `${address} is in ${range}`);
      for (const address of outside) assert.ok(!set(range).has(address), `${address} is not in ${range}`);
    });

  it('knows the peer of a socket without the zone of a link-local address', () => {
    assert.equal(set('fe80::/10').has(peerAddress('fe80::1%eth0')), true);
    assert.equal(peerAddress('::ffff:192.0.2.1'), '192.0.2.1');
    assert.deepEqual([peerAddress(undefined), peerAddress('%eth0')], ['', '']);
  });

  it('holds nothing that is not written as an address', () => {
    const all = set('0.0.0.0/0', '::/0');
    for (const text of [
      '',
      'localhost',
      '127.1',
      '0x7f.0.0.1',
      '0177.0.0.1',
      '1.2.3.4 ',
      '::1%lo',
      '1.2.3.256',
      '[::1]',
      '1.2.3.4:80',
    ])
      assert.ok(!all.has(text), JSON.stringify(text));
  });
});
