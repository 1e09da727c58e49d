// Decides with which hosts a replication job may speak: it runs inside CouchDB's network, so that an address is a way in (H9).
// What else an endpoint may hold is replication-endpoint.ts's business.
import { lookup } from 'node:dns/promises';
import ipaddr from 'ipaddr.js';
import { Forbidden } from '../http-errors.ts';

/** All addresses of a host name; rejects when there are none. */
export type Resolve = (hostname: string) => Promise<readonly string[]>;

export interface ReplicationHosts {
  /** True for Couchgate's own public address: it decides about such a request like about any other. */
  isPublic(url: URL): boolean;
  /** Resolves when jobs may speak with the host of `url`; throws Forbidden, with the same words whatever the reason, when not. */
  check(url: URL, field: string): Promise<void>;
}

export interface HostRules {
  /** Couchgate's own public address; empty = none. */
  readonly publicUrl: string;
  readonly couchdbNodes: readonly string[];
  /** Host names that are allowed although their addresses are private, separated by commas. */
  readonly replicationHosts: string;
  readonly resolve?: Resolve;
}

/**
 * Everything that is not an ordinary public address is refused: private, loopback, link-local (cloud metadata), carrier-grade NAT, and
 * the IPv6 forms that hide an IPv4 address. CouchDB resolves the name once more later and follows redirects, which only a filter of the
 * CouchDB hosts' outgoing traffic can hold.
 */
export function createReplicationHosts(rules: HostRules): ReplicationHosts {
  const resolve = rules.resolve ?? resolveByDns;
  const publicOrigin = rules.publicUrl === '' ? undefined : new URL(rules.publicUrl).origin;
  const nodes = rules.couchdbNodes.map((node) => new URL(node));
  const named = new Set(
    rules.replicationHosts
      .split(',')
      .map((name) => name.trim().toLowerCase())
      .filter((name) => name !== ''),
  );

  async function mayReach(url: URL): Promise<boolean> {
    const isNamed = named.has(hostOf(url));
    const addresses = await resolve(hostOf(url));
    if (addresses.length === 0 || (!isNamed && !addresses.every(isPublicAddress))) return false;
    // A host that is named may run other things than CouchDB; the node's own port stays closed.
    const forbidden = nodes.filter((node) => !isNamed || portOf(node) === portOf(url));
    const nodeAddresses = new Set((await Promise.all(forbidden.map((node) => addressesOf(node)))).flat());
    return !addresses.map(plain).some((address) => nodeAddresses.has(address));
  }

  async function addressesOf(node: URL): Promise<readonly string[]> {
    // A node whose name is not known at present cannot be compared; then the job is refused.
    return (await resolve(hostOf(node))).map(plain);
  }

  return {
    isPublic: (url) => url.origin === publicOrigin,
    async check(url, field) {
      if (url.origin === publicOrigin) return;
      const allowed = await mayReach(url).catch(() => false);
      if (!allowed) {
        throw new Forbidden(
          `Replication with the host of \`${field}\` is not allowed. See replication_hosts.`,
        );
      }
    },
  };
}

async function resolveByDns(hostname: string): Promise<readonly string[]> {
  if (ipaddr.isValid(hostname)) return [hostname];
  const found = await lookup(hostname, { all: true });
  return found.map(({ address }) => address);
}

/** `unicast` is ipaddr.js's word for an address of none of the special ranges (RFC 6890). */
function isPublicAddress(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'unicast';
}

function plain(address: string): string {
  return ipaddr.isValid(address) ? ipaddr.process(address).toNormalizedString() : address;
}

/** The bare name: without the brackets of an IPv6 address, and without the dot that makes a name absolute. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/gu, '').replace(/\.$/u, '');
}

function portOf(url: URL): string {
  return url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
}
