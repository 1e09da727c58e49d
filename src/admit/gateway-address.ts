// Warns if the whitelist sees only the address of a gateway: a published port hides the clients (H24).
import { readFileSync } from 'node:fs';
import { AddressSet, normalizeAddress } from '../config/address-set.ts';
import { type OperationalLog } from '../config/operational-log.ts';
import { type Settings } from '../config/settings.ts';

type Whitelist = Pick<Settings, 'allow' | 'ownerAllow'>;

/** Gets client addresses until `isDone`. */
export interface GatewayWarning {
  readonly isDone: boolean;
  see(ip: string, whitelist: Whitelist): void;
}

/** Health checks use these addresses, so they do not show how other clients connect. */
const LOOPBACK = new AddressSet(['127.0.0.0/8', '::1/128']);
const PRIVATE = new AddressSet([
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16'],
  ...['fc00::/7', 'fe80::/10'],
]);

/**
 * Creates the check. It warns once: if the first address that is not loopback is that of a gateway and a
 * whitelist is in force. The port proxy of a container engine connects from the gateway of the container.
 */
export function warnOfGateway(
  log: Pick<OperationalLog, 'warn'>,
  isGateway: (ip: string) => boolean = gatewayTest(readGateways()),
): GatewayWarning {
  let isDone = false;
  let lastIp = '';
  let lastWhitelist: Whitelist | undefined = undefined;
  return {
    get isDone() {
      return isDone;
    },
    see(ip, whitelist) {
      // Most requests come from the address of the one before, which was tested then.
      if (isDone || (ip === lastIp && whitelist === lastWhitelist)) return;
      lastIp = ip;
      lastWhitelist = whitelist;
      if (ip === '' || LOOPBACK.has(ip)) return;
      const isHidden = isGateway(ip);
      // A reload can add a whitelist.
      if (isHidden && !isRestrictive(whitelist)) return;
      isDone = true;
      if (isHidden)
        log.warn(
          { address: ip },
          'the only client address so far is that of a gateway: the whitelist cannot tell clients apart',
        );
    },
  };
}

function isRestrictive({ allow, ownerAllow }: Whitelist): boolean {
  return [allow, ownerAllow].some((cidrs) => !cidrs.includes('0.0.0.0/0') || !cidrs.includes('::/0'));
}

/** Without known gateways, private addresses that end in 1 count, as those of container engines do. */
export function gatewayTest(gateways: readonly string[]): (ip: string) => boolean {
  if (gateways.length === 0) return (ip) => PRIVATE.has(ip) && /[.:]1$/.test(ip);
  return (ip) => gateways.includes(ip);
}

/** Returns the default gateways of this host or container; none if they are unknown. */
export function readGateways(): readonly string[] {
  return [...gatewaysIn(readTable('/proc/net/route')), ...gatewaysIn6(readTable('/proc/net/ipv6_route'))];
}

function readTable(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

const rowsOf = (table: string): readonly (readonly string[])[] =>
  table.split('\n').map((line) => line.trim().split(/\s+/));

/** Addresses are hexadecimal numbers in the byte order of the host (proc(5)): little-endian. */
export function gatewaysIn(table: string): readonly string[] {
  return rowsOf(table).flatMap(([, destination, gateway = '']) =>
    destination === '00000000' && /^[0-9A-F]{8}$/i.test(gateway) && gateway !== '00000000'
      ? [[6, 4, 2, 0].map((at) => parseInt(gateway.slice(at, at + 2), 16)).join('.')]
      : [],
  );
}

/** Columns: destination, bits, source, bits, next hop. */
export function gatewaysIn6(table: string): readonly string[] {
  return rowsOf(table).flatMap(([destination = '', bits, , , gateway = '']) => {
    const isDefault = /^0{32}$/.test(destination) && bits === '00';
    if (!isDefault || !/^[0-9a-f]{32}$/i.test(gateway) || /^0+$/.test(gateway)) return [];
    const address = normalizeAddress(gateway.match(/.{4}/g)?.join(':') ?? '');
    return address === undefined ? [] : [address];
  });
}
