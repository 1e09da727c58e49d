// Reads the address of a listener. Opening it is listen/'s business.
import { isIPv6 } from 'node:net';
import { normalizeAddress, parseAddress } from './address-set.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
}

/** `127.0.0.1:5984`, `[::1]:5984` or `localhost:5984`; `undefined` for `off`; throws for anything else. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  if (text === 'off') return undefined;
  const match = /^(?:\[([^\]]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || !(port <= 65_535) || (match?.[1] !== undefined && !isIPv6(host)))
    throw new TypeError('is not host:port, [IPv6]:port or off');
  return { host, port };
}

/** True when only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || parseAddress(normalizeAddress(host) ?? '')?.range() === 'loopback';
}
