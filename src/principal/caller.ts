// Names the network of a client address, by which callers without a name are told apart.
import { isIPv6 } from 'node:net';
import { type Caller } from './principal.ts';

/** Whose share of what is limited somebody takes: a name, or for nobody in particular the network. */
export function quotaKeyOf({ principal, ip }: Caller): string {
  return principal.kind === 'nobody' ? `nobody at ${networkOf(ip)}` : principal.name;
}

/** The first four groups of an IPv6 address; every other address as it is. */
export function networkOf(ip: string): string {
  const zone = ip.indexOf('%');
  const address = zone === -1 ? ip : ip.slice(0, zone);
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const rest = tail === '' ? [] : tail.split(':');
    // An IPv4 tail stands for two groups.
    const width = rest.length + (rest.at(-1)?.includes('.') === true ? 1 : 0);
    groups.push(...Array<string>(Math.max(0, 8 - groups.length - width)).fill('0'), ...rest);
  }
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
