// Computes the quota key of a caller: its name, or its network for an anonymous caller.
import { isIPv6 } from 'node:net';
import { type Caller } from './principal.ts';

/**
 * Returns the key under which quotas count a caller. No user can have the key of an anonymous caller: neither
 * sign-up nor Basic takes a name with a colon.
 */
export function quotaKeyOf({ principal, ip }: Caller): string {
  return principal.kind === 'nobody' ? `nobody: ${networkOf(ip)}` : principal.name;
}

/**
 * As `quotaKeyOf`, but all anonymous callers are one: they can have many networks, and hold the share of each
 * after they have left.
 */
export function sharedKeyOf(caller: Caller): string {
  return caller.principal.kind === 'nobody' ? 'nobody' : quotaKeyOf(caller);
}

/**
 * Returns the first four groups (/64) of an IPv6 address, which is what one subscriber gets, and every other
 * address unchanged. A zone (`%eth0`) is removed.
 */
export function networkOf(ip: string): string {
  const zone = ip.indexOf('%');
  const address = zone === -1 ? ip : ip.slice(0, zone);
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const rest = tail === '' ? [] : tail.split(':');
    // An IPv4 tail counts as two groups.
    const width = rest.length + (rest.at(-1)?.includes('.') === true ? 1 : 0);
    groups.push(...Array<string>(Math.max(0, 8 - groups.length - width)).fill('0'), ...rest);
  }
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
