// H24: a published port that hides the addresses of clients behind that of a gateway is reported.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  gatewaysIn,
  gatewaysIn6,
  gatewayTest,
  readGateways,
  warnOfGateway,
} from '../../src/admit/gateway-address.ts';
import { type Settings } from '../../src/config/settings.ts';
import { rememberingLog } from '../support/log.ts';
import { startPolicyFront } from '../support/policy-front.ts';

const EVERYBODY = ['0.0.0.0/0', '::/0'];
const OPEN = { allow: EVERYBODY, ownerAllow: EVERYBODY };
const LISTED = { allow: ['10.0.0.0/8', '172.16.0.0/12'], ownerAllow: EVERYBODY };
const OWNER_LISTED = { allow: EVERYBODY, ownerAllow: ['10.0.0.0/8'] };
const GATEWAY = '172.18.0.1';
const WARNING =
  'the only client address so far is that of a gateway: the whitelist cannot tell clients apart';

type Seen = readonly [ip: string, whitelist?: Pick<Settings, 'allow' | 'ownerAllow'>];

const ROWS: readonly {
  readonly title: string;
  readonly seen: readonly Seen[];
  readonly warned?: true;
}[] = [
  { title: 'the gateway under a whitelist – warned once', seen: [[GATEWAY], [GATEWAY]], warned: true },
  { title: 'under owner_allow alone – warned', seen: [[GATEWAY, OWNER_LISTED]], warned: true },
  {
    title: 'after health checks on loopback – warned',
    seen: [['127.0.0.1'], ['::1'], [GATEWAY]],
    warned: true,
  },
  { title: 'a whitelist that comes later – warned', seen: [[GATEWAY, OPEN], [GATEWAY]], warned: true },
  { title: 'no whitelist – not warned', seen: [[GATEWAY, OPEN]] },
  { title: 'another client first – not warned', seen: [['10.1.1.1'], [GATEWAY]] },
  { title: 'another client before the whitelist – not warned', seen: [['10.1.1.1', OPEN], [GATEWAY]] },
  { title: 'an unreadable address – not warned', seen: [['']] },
];

describe('H24 the address of a gateway as the only client', () => {
  for (const { title, seen, warned } of ROWS)
    it(title, () => {
      const log = rememberingLog();
      const warning = warnOfGateway(log, gatewayTest([GATEWAY]));
      for (const [ip, whitelist = LISTED] of seen) warning.see(ip, whitelist);
      const expected =
        warned === true ? [{ level: 'warn', fields: { address: GATEWAY }, message: WARNING }] : [];
      assert.deepEqual(log.lines, expected);
    });

  it('is found in the routes of the kernel, IPv4 and IPv6', () => {
    const routes =
      'Iface\tDestination\tGateway \tFlags\nbr0\t000012AC\t00000000\t0001\neth0\t00000000\t010012AC\t0003\n';
    assert.deepEqual(gatewaysIn(routes), [GATEWAY]);
    const zero = '0'.repeat(32);
    const routes6 = [
      `fd000000000000000000000000000000 40 ${zero} 00 ${zero} 00000100 00000001 00000000 00000001     eth0`,
      `${zero} 00 ${zero} 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003     eth0`,
      `${zero} 00 ${zero} 00 ${zero} ffffffff 00000001 00000000 00200200       lo`,
    ].join('\n');
    assert.deepEqual(gatewaysIn6(routes6), ['fd00::1']);
    for (const read of [gatewaysIn, gatewaysIn6]) assert.deepEqual(read(''), []);
  });

  it('is a private address that ends in 1, if the routes are unknown', () => {
    const isGateway = gatewayTest([]);
    for (const ip of [GATEWAY, '192.168.65.1', 'fd00::1']) assert.equal(isGateway(ip), true, ip);
    for (const ip of ['203.0.113.1', '10.0.0.21', 'fd00::21', '2001:db8::1'])
      assert.equal(isGateway(ip), false, ip);
  });

  const [gateway = GATEWAY] = readGateways();
  for (const [what, allow, expected] of [
    ['a whitelist', [`${gateway}/32`, '127.0.0.1/32'], [WARNING]],
    ['no whitelist', EVERYBODY, []],
  ] as const)
    it(`is reported by the running server – ${what}`, async () => {
      const front = await startPolicyFront({ settings: { allow, trustedProxies: ['127.0.0.1/32'] } });
      try {
        for (let request = 0; request < 2; request += 1)
          await fetch(`${front.url}/_up`, { headers: { 'X-Forwarded-For': gateway } });
        assert.deepEqual(
          front.warnings.filter((message) => message === WARNING),
          expected,
        );
      } finally {
        await front.close();
      }
    });
});
