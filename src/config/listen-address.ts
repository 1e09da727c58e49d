// Parses the address of a listener.
import { isIPv6 } from 'node:net';
import { normalizeAddress, parseAddress } from './address-set.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
}

/**
 * Parses `127.0.0.1:5984`, `[::1]:5984` or `localhost:5984`; returns undefined for `off`. Throws a TypeError
 * for anything else.
 */
export function parseListenAddress(text: string): ListenAddress | undefined {
  if (text === 'off') return undefined;
  const match = /^(?:\[([^\]]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || !(port <= 65_535) || (match?.[1] !== undefined && !isIPv6(host)))
    throw new TypeError('must be host:port, [IPv6]:port or off');
  return { host, port };
}

/** True if only this machine can reach the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || parseAddress(normalizeAddress(host) ?? '')?.range() === 'loopback';
}
