// Decides which hosts a replication job may connect to. Jobs run inside the network of CouchDB, so an
// internal address would give access to it (H9).
import { lookup } from 'node:dns/promises';
import ipaddr from 'ipaddr.js';
import { BadRequest, Forbidden, HttpError, Unavailable } from '../http-errors.ts';
import { InternalReadLimiter } from '../limits/internal-read-limiter.ts';

/** Returns all addresses of a host name; rejects if there are none. */
export type Resolve = (hostname: string) => Promise<readonly string[]>;

/**
 * Node resolves names in threads, two at a time for the whole process, and needs them for the CouchDB nodes
 * too. A caller can choose names whose server answers slowly, so one thread is enough for all callers (H9).
 */
const LOOKUPS = { atOnce: 1, waiting: 40, share: 0.1 };
/** Names that a request may have looked up. */
const MAX_NAMES = 100;

/** The rule for the jobs of one request. */
export interface ReplicationHosts {
  /** True for Couchgate's public URL: Couchgate authorizes those requests itself. */
  isPublic(url: URL): boolean;
  /**
   * Resolves if jobs may connect to the host of `url`. Otherwise throws Forbidden, with one reason for all
   * causes. Throws BadRequest for too many names, and TooBusy if too many lookups wait.
   */
  check(url: URL, field: string): Promise<void>;
  /** Throws Unavailable if the client has left. */
  requireClient(): void;
}

export interface HostRules {
  /** Public URL of Couchgate; empty = none. */
  readonly publicUrl: string;
  readonly couchdbNodes: readonly string[];
  /**
   * Host names that are allowed although their addresses are private, separated by commas (setting
   * `replication_hosts`).
   */
  readonly replicationHosts: string;
  readonly resolve?: Resolve;
}

/** The request that a lookup is for. */
export interface Asking {
  /** Name of the caller, for its share of the lookups. */
  readonly caller: string;
  /** True after the client has left: nothing more is looked up. */
  readonly hasLeft: () => boolean;
}

/**
 * Creates the rule. It refuses every address that is not public: private, loopback, link-local (cloud
 * metadata), carrier-grade NAT, and IPv6 forms that embed an IPv4 address.
 * CouchDB resolves the name again later and follows redirects. Only a filter of the outgoing traffic of the
 * CouchDB hosts can prevent an abuse of that.
 */
export function createReplicationHosts(rules: HostRules): (asking: Asking) => ReplicationHosts {
  const limiter = new InternalReadLimiter(LOOKUPS);
  const resolve = rules.resolve ?? resolveByDns;
  const publicOrigin = rules.publicUrl === '' ? undefined : new URL(rules.publicUrl).origin;
  const nodes = rules.couchdbNodes.map((node) => new URL(node));
  const named = new Set(
    rules.replicationHosts
      .split(',')
      .map((name) => name.trim().toLowerCase())
      .filter((name) => name !== ''),
  );

  async function mayReach(url: URL, lookUp: Resolve, addressesOf: AddressesOf): Promise<boolean> {
    const isNamed = named.has(hostOf(url));
    const addresses = await lookUp(hostOf(url));
    if (addresses.length === 0 || (!isNamed && !addresses.every(isPublicAddress))) return false;
    // A listed host may run other services than CouchDB. The port of a node stays forbidden.
    const forbidden = nodes.filter((node) => !isNamed || portOf(node) === portOf(url));
    const nodeAddresses = new Set((await Promise.all(forbidden.map((node) => addressesOf(node)))).flat());
    return !addresses.map(plain).some((address) => nodeAddresses.has(address));
  }

  return (asking) => {
    const requireClient = (): void => {
      if (asking.hasLeft()) throw new Unavailable('The client has left.');
    };
    const lookUp = lookUpOnce(resolve, limiter, asking.caller, requireClient);
    const addressesOf = nodeAddressesOnce(resolve);
    return {
      requireClient,
      isPublic: (url) => url.origin === publicOrigin,
      async check(url, field) {
        if (url.origin === publicOrigin) return;
        const allowed = await mayReach(url, lookUp, addressesOf).catch((error: unknown) => {
          if (error instanceof HttpError) throw error;
          return false;
        });
        if (!allowed) {
          throw new Forbidden(
            `Replication with the host of \`${field}\` is not allowed. See replication_hosts.`,
          );
        }
      },
    };
  };
}

type AddressesOf = (node: URL) => Promise<readonly string[]>;

/**
 * Looks up each node once for the request. If the name of a node cannot be resolved, the addresses cannot be
 * compared, and the job is refused.
 */
function nodeAddressesOnce(resolve: Resolve): AddressesOf {
  const found = new Map<string, Promise<readonly string[]>>();
  return async (node) => {
    const host = hostOf(node);
    const addresses = found.get(host) ?? resolve(host);
    found.set(host, addresses);
    return (await addresses).map(plain);
  };
}

/** Looks up each name once for the request. Addresses need no lookup. */
function lookUpOnce(
  resolve: Resolve,
  limiter: InternalReadLimiter,
  caller: string,
  requireClient: () => void,
): Resolve {
  const found = new Map<string, Promise<readonly string[]>>();
  return (name) => {
    if (ipaddr.isValid(name)) return Promise.resolve([name]);
    const known = found.get(name);
    if (known !== undefined) return known;
    if (found.size >= MAX_NAMES)
      return Promise.reject(new BadRequest(`A request may name at most ${MAX_NAMES} hosts.`));
    const addresses = limiter.run(caller, () => {
      requireClient();
      return resolve(name);
    });
    found.set(name, addresses);
    return addresses;
  };
}

async function resolveByDns(hostname: string): Promise<readonly string[]> {
  if (ipaddr.isValid(hostname)) return [hostname];
  const found = await lookup(hostname, { all: true });
  return found.map(({ address }) => address);
}

/** ipaddr.js calls an address `unicast` if it is in none of the special ranges (RFC 6890). */
function isPublicAddress(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'unicast';
}

function plain(address: string): string {
  return ipaddr.isValid(address) ? ipaddr.process(address).toNormalizedString() : address;
}

/** Returns the host name without the brackets of an IPv6 address and without the dot of an absolute name. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/gu, '').replace(/\.$/u, '');
}

function portOf(url: URL): string {
  return url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
}
