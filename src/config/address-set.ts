// Parses IP addresses and CIDR ranges, and matches addresses against a set of ranges. An IPv4-mapped IPv6
// address counts as the IPv4 address in it.
import ipaddr from 'ipaddr.js';

type Range = readonly [address: ipaddr.IPv4 | ipaddr.IPv6, bits: number];

/**
 * Parses an address from a socket or from X-Forwarded-For: four decimal parts, or IPv6 without a zone.
 * Returns undefined for anything else. Parsers disagree about `127.1` and about octal and hexadecimal parts,
 * so these forms are rejected.
 */
export function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return undefined;
  // ipaddr.js reads the old form `::10.0.0.1` as an IPv4 address; the operating system does not.
  if (text.includes('.') && !/^::ffff:[\d.]+$/i.test(text)) return undefined;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/** Returns the canonical form of an address, or undefined if the text is not an address. */
export function normalizeAddress(text: string): string | undefined {
  return parseAddress(text)?.toString();
}

/**
 * The canonical address of the peer of a socket; empty without one. A link-local IPv6 address has a zone
 * there, the name of a network interface of this machine: `fe80::1%eth0` (RFC 4007 section 11). No whitelist
 * knows it.
 */
export function peerAddress(remoteAddress: string | undefined): string {
  const [address = ''] = (remoteAddress ?? '').split('%', 1);
  return normalizeAddress(address) ?? '';
}

/**
 * Parses `10.0.0.0/8`, `192.0.2.7` or `2001:db8::/32` into its canonical form with the prefix length;
 * otherwise returns the reason.
 */
export function parseCidr(text: string): { readonly cidr: string } | { readonly reason: string } {
  const [host = '', prefix, ...rest] = text.split('/');
  const address = parseAddress(host);
  const mapped = address instanceof ipaddr.IPv4 && host.includes(':');
  if (address === undefined || rest.length > 0) return { reason: 'is not an IP address or a CIDR range' };
  const width = address instanceof ipaddr.IPv4 ? 32 : 128;
  const bits = prefix === undefined ? width : prefixBits(prefix) - (mapped ? 96 : 0);
  if (!(bits >= 0 && bits <= width)) return { reason: 'has an invalid prefix length' };
  const cidr = `${address.toString()}/${bits}`;
  const network =
    address instanceof ipaddr.IPv4
      ? ipaddr.IPv4.networkAddressFromCIDR(cidr)
      : ipaddr.IPv6.networkAddressFromCIDR(cidr);
  // 10.1.2.3/8 is a typo in the address or in the prefix. A guess could allow 16 million addresses instead of
  // one.
  if (network.toString() !== address.toString())
    return {
      reason: `has bits set after its prefix; write ${network.toString()}/${bits} or ${address.toString()}`,
    };
  return { cidr };
}

function prefixBits(text: string): number {
  return /^\d{1,3}$/.test(text) ? Number(text) : NaN;
}

/** A set of CIDR ranges. The constructor parses the ranges; `has` does no I/O. */
export class AddressSet {
  readonly #v4: readonly Range[];
  readonly #v6: readonly Range[];

  /** `cidrs` in the canonical form of parseCidr; throws for any other text. */
  constructor(cidrs: readonly string[]) {
    const ranges = cidrs.map((cidr) => ipaddr.parseCIDR(cidr));
    this.#v4 = ranges.filter(([address]) => address.kind() === 'ipv4');
    this.#v6 = ranges.filter(([address]) => address.kind() === 'ipv6');
  }

  /** Tells whether an address is in the set; false for text that is not an address. */
  has(text: string): boolean {
    const address = parseAddress(text);
    if (address === undefined) return false;
    if (address instanceof ipaddr.IPv4) return this.#v4.some((range) => address.match(range[0], range[1]));
    return this.#v6.some((range) => address.match(range[0], range[1]));
  }
}
