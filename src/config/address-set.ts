// Sets of IP addresses given as single addresses and CIDR ranges: one reading of each, IPv4-mapped IPv6 taken as the IPv4 it is.
import ipaddr from 'ipaddr.js';

type Range = readonly [address: ipaddr.IPv4 | ipaddr.IPv6, bits: number];

/**
 * Reads an address as it stands on a socket or in X-Forwarded-For: four decimal parts, or IPv6 without a zone. Undefined for everything else;
 * `127.1`, octal and hexadecimal parts have more than one reading in the world and are none here.
 */
export function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return undefined;
  // ipaddr.js takes the old form `::10.0.0.1` for the IPv4 address in it; to the system it is another address.
  if (text.includes('.') && !/^::ffff:[\d.]+$/i.test(text)) return undefined;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/** The one spelling of an address, or undefined when it is none. */
export function normalizeAddress(text: string): string | undefined {
  return parseAddress(text)?.toString();
}

/** Reads `10.0.0.0/8`, `192.0.2.7` or `2001:db8::/32` into its one spelling with the prefix; else says what is wrong. */
export function parseCidr(text: string): { readonly cidr: string } | { readonly reason: string } {
  const [host = '', prefix, ...rest] = text.split('/');
  const address = parseAddress(host);
  const mapped = address instanceof ipaddr.IPv4 && host.includes(':');
  if (address === undefined || rest.length > 0) return { reason: 'is not an IP address or a CIDR range' };
  const width = address instanceof ipaddr.IPv4 ? 32 : 128;
  const bits = prefix === undefined ? width : prefixBits(prefix) - (mapped ? 96 : 0);
  if (!(bits >= 0 && bits <= width)) return { reason: 'has a prefix length that no such address has' };
  const cidr = `${address.toString()}/${bits}`;
  const network =
    address instanceof ipaddr.IPv4
      ? ipaddr.IPv4.networkAddressFromCIDR(cidr)
      : ipaddr.IPv6.networkAddressFromCIDR(cidr);
  // 10.1.2.3/8 is either a slip in the address or in the prefix; guessing could open 16 million addresses instead of one.
  if (network.toString() !== address.toString())
    return {
      reason: `has bits set behind its prefix; write ${network.toString()}/${bits} or ${address.toString()}`,
    };
  return { cidr };
}

function prefixBits(text: string): number {
  return /^\d{1,3}$/.test(text) ? Number(text) : NaN;
}

/** A set of addresses that answers whether one is in it. Built once from checked ranges; a question allocates little and does no I/O. */
export class AddressSet {
  readonly #v4: readonly Range[];
  readonly #v6: readonly Range[];

  /** `cidrs` as parseCidr wrote them; anything else throws. */
  constructor(cidrs: readonly string[]) {
    const ranges = cidrs.map((cidr) => ipaddr.parseCIDR(cidr));
    this.#v4 = ranges.filter(([address]) => address.kind() === 'ipv4');
    this.#v6 = ranges.filter(([address]) => address.kind() === 'ipv6');
  }

  /** False for every text that is no address: what cannot be read is in no list. */
  has(text: string): boolean {
    const address = parseAddress(text);
    if (address === undefined) return false;
    if (address instanceof ipaddr.IPv4) return this.#v4.some((range) => address.match(range[0], range[1]));
    return this.#v6.some((range) => address.match(range[0], range[1]));
  }
}
