// Finds the client behind trusted proxies in X-Forwarded-For.
import { normalizeAddress } from './address-set.ts';

/** One address of the way of a request. Port 0 = unknown. */
export interface Hop {
  readonly ip: string;
  readonly port: number;
}

/**
 * Reads the header from the right, because each proxy appends the address that it saw. The first address that
 * is not a trusted proxy is the client; everything to its left is chosen by the client (oauth2-proxy issues
 * 1778, 3506). Returns undefined if an entry is not an address: then the client has no address. An empty
 * header names nobody, so the peer is the client. `passed` is called with every address that was read, the
 * peer excluded.
 */
export function clientBehind(
  peer: Hop,
  header: string,
  isProxy: (ip: string) => boolean,
  passed?: (hop: Hop) => void,
): Hop | undefined {
  let client = peer;
  let end = header.length;
  while (end > 0) {
    const comma = header.lastIndexOf(',', end - 1);
    const entry = readEntry(header.slice(comma + 1, end).trim());
    if (entry === undefined) return undefined;
    client = entry;
    passed?.(entry);
    if (!isProxy(client.ip)) break;
    end = comma;
  }
  return client;
}

/**
 * Parses `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`; some proxies append the port.
 */
function readEntry(text: string): Hop | undefined {
  const plain = normalizeAddress(text);
  if (plain !== undefined) return { ip: plain, port: 0 };
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(\d{1,5}))?$/.exec(text);
  const ip = normalizeAddress(match?.[1] ?? match?.[2] ?? '');
  return ip === undefined ? undefined : { ip, port: Number(match?.[3] ?? 0) };
}
