// Parses the address of a listener.
import { createServer, isIPv6 } from 'node:net';
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

/** Settings that name a listener. */
export type ListenSetting = 'listen' | 'tls_listen' | 'metrics_listen' | 'dashboard_listen';

/** Thrown if a listener cannot be opened; the message names its setting and the fix. */
export class ListenError extends Error {
  readonly code: string | undefined;

  constructor(setting: ListenSetting, address: string, cause: unknown) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const variable = `COUCHGATE_${setting.toUpperCase()}`;
    const reasons: Readonly<Record<string, string>> = {
      EADDRINUSE: 'is already in use',
      EADDRNOTAVAIL: 'is not an address of this machine',
      EACCES: 'cannot be opened by this user (EACCES): a port below 1024 needs CAP_NET_BIND_SERVICE',
      ENOTFOUND: 'is not a known host name',
    };
    const reason = reasons[code ?? ''] ?? `cannot be opened (${code ?? message})`;
    super(`${setting}: ${address} ${reason}; set ${variable} to another address`, { cause });
    this.code = code;
  }
}

/**
 * Opens and closes a listener, to detect a port in use before other resources are created. Rejects with a
 * ListenError.
 */
export async function probeListener(setting: ListenSetting, address: string): Promise<void> {
  const parsed = parseListenAddress(address);
  if (parsed === undefined || parsed.port === 0) return;
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new ListenError(setting, address, error)));
    server.listen(parsed, () => server.close(() => resolve()));
  });
}

/** True if only this machine can reach the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || parseAddress(normalizeAddress(host) ?? '')?.range() === 'loopback';
}
