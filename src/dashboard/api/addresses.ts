// Requests about the address lists.
import { call } from './http.ts';

export interface Hop {
  readonly address: string;
  /** `couchgate`, or the address of the proxy that wrote this entry. */
  readonly seen_by: string;
  readonly trusted_proxy: boolean;
}

export interface Addresses {
  readonly allow: readonly string[];
  readonly owner_allow: readonly string[];
  readonly probe_allow: readonly string[];
  readonly trusted_proxies: readonly string[];
  readonly you: {
    readonly address: string;
    readonly may_administer: boolean;
    readonly hops: readonly Hop[];
    /** True: X-Forwarded-For was sent by a peer that is no trusted proxy. */
    readonly ignored_header: boolean;
  };
}

/** Each `_by` is the range that contains the address; null = none does. */
export interface AddressVerdict {
  readonly address: string;
  readonly allowed: boolean;
  readonly allowed_by: string | null;
  readonly may_administer: boolean;
  readonly administers_by: string | null;
  readonly probes_by: string | null;
  readonly proxy_by: string | null;
}

export async function readAddresses(signal: AbortSignal): Promise<Addresses> {
  return (await call<Addresses>({ path: '_api/v2/addresses', signal })).body;
}

export async function testAddress(address: string): Promise<AddressVerdict> {
  const path = '_api/v2/addresses/test';
  return (await call<AddressVerdict>({ method: 'POST', path, body: { address } })).body;
}
