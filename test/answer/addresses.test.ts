// /_api/v2/addresses: the lists in force, the caller's own address with the way to it, and a test of others.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';

describe('the addresses', () => {
  let gate: Couchgate;
  before(async () => {
    const settings = {
      allow: ['127.0.0.0/8', '192.0.2.0/24', '2001:db8::/32'],
      ownerAllow: ['127.0.0.1/32', '192.0.2.7/32'],
      probeAllow: ['198.51.100.0/24'],
      trustedProxies: ['127.0.0.1/32', '203.0.113.5/32'],
    };
    gate = await startCouchgate({ settings });
  });
  after(() => gate.close());

  const you = async (forwardedFor?: string): Promise<Readonly<Record<string, unknown>>> => {
    const headers = forwardedFor === undefined ? {} : { 'X-Forwarded-For': forwardedFor };
    const { body } = await gate.ask('GET', '/_api/v2/addresses', { as: gate.owner, headers });
    return (body as { you: Readonly<Record<string, unknown>> }).you;
  };

  it('tells the lists in force – GET – 200', async () => {
    const { status, body } = await gate.ask('GET', '/_api/v2/addresses', { as: gate.owner });
    assert.equal(status, 200);
    const { allow, owner_allow: ownerAllow, trusted_proxies: proxies } = body as Record<string, unknown>;
    assert.deepEqual(allow, ['127.0.0.0/8', '192.0.2.0/24', '2001:db8::/32']);
    assert.deepEqual(ownerAllow, ['127.0.0.1/32', '192.0.2.7/32']);
    assert.deepEqual(proxies, ['127.0.0.1/32', '203.0.113.5/32']);
  });

  it('tells the caller its address and the proxy that named it, and reads no further – GET – 200', async () => {
    assert.deepEqual(await you(), {
      address: '127.0.0.1',
      may_administer: true,
      hops: [{ address: '127.0.0.1', seen_by: 'couchgate', trusted_proxy: true }],
      ignored_header: false,
    });
    assert.deepEqual((await you('198.51.100.1, 192.0.2.7, 203.0.113.5'))['hops'], [
      { address: '127.0.0.1', seen_by: 'couchgate', trusted_proxy: true },
      { address: '203.0.113.5', seen_by: '127.0.0.1', trusted_proxy: true },
      { address: '192.0.2.7', seen_by: '203.0.113.5', trusted_proxy: false },
    ]);
  });

  it('says that a header of a peer that is no proxy is ignored – GET – 200', async () => {
    const other = await startCouchgate({ backend: gate.backend });
    const headers = { 'X-Forwarded-For': '192.0.2.7' };
    const { body } = await other.ask('GET', '/_api/v2/addresses', { as: other.owner, headers });
    const seen = (body as { you: Readonly<Record<string, unknown>> }).you;
    assert.deepEqual([seen['address'], seen['ignored_header']], ['127.0.0.1', true]);
    await other.close();
  });

  const CASES: readonly (readonly [address: string, expected: Readonly<Record<string, unknown>>])[] = [
    ['192.0.2.7', { allowed_by: '192.0.2.0/24', administers_by: '192.0.2.7/32', may_administer: true }],
    ['::ffff:192.0.2.8', { address: '192.0.2.8', allowed: true, may_administer: false }],
    ['198.51.100.9', { allowed: false, may_administer: false, probes_by: '198.51.100.0/24' }],
    ['203.0.113.5', { allowed: false, proxy_by: '203.0.113.5/32' }],
    ['2001:db8::1', { allowed_by: '2001:db8::/32' }],
  ];
  for (const [address, expected] of CASES)
    it(`judges ${address} as the whitelist does – POST – 200`, async () => {
      const { body } = await gate.ask('POST', '/_api/v2/addresses/test', {
        as: gate.owner,
        body: { address },
      });
      const verdict = body as Readonly<Record<string, unknown>>;
      for (const [field, value] of Object.entries(expected)) assert.equal(verdict[field], value, field);
      // The step itself, asked through the trusted proxy of this test.
      if (verdict['proxy_by'] === null) {
        const headers = { 'X-Forwarded-For': address };
        const { status } = await gate.ask('GET', '/', { headers });
        assert.equal(status === 200, verdict['allowed'], String(status));
      }
    });

  for (const body of [{}, { address: 7 }, { address: '127.1' }, { address: 'x' }, { address: '::1', x: 1 }])
    it(`refuses ${JSON.stringify(body)} – POST – 400`, async () => {
      const { status } = await gate.ask('POST', '/_api/v2/addresses/test', { as: gate.owner, body });
      assert.equal(status, 400);
    });
});
