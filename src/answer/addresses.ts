// Answers /_api/v2/addresses: the address lists in force, the address of the caller, and a test of others.
import { type Request } from 'express';
import { type BodyReader } from '../body/read.ts';
import { AddressSet, normalizeAddress, peerAddress } from '../config/address-set.ts';
import { clientBehind, type Hop } from '../config/forwarded-for.ts';
import { type Settings } from '../config/settings.ts';
import { type Context, known } from '../context.ts';
import { BadRequest } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';

type Lists = Pick<Settings, 'allow' | 'ownerAllow' | 'probeAllow' | 'trustedProxies'>;

export interface AddressDeps {
  readonly bodies: BodyReader;
  readonly live: { readonly current: Lists };
}

const RULES = { limitBytes: 4096 } as const;
/** Longer headers come from no chain of proxies that an operator would test. */
const MAX_HOPS = 64;

/**
 * Creates the handlers. They change nothing: the lists are files of the operator (docs/configuration.md).
 */
export function addressHandlers({
  bodies,
  live,
}: AddressDeps): Pick<Answers, 'api-addresses' | 'api-addresses-test'> {
  return {
    'api-addresses': (req, res, context) => {
      const { allow, ownerAllow, probeAllow, trustedProxies } = live.current;
      sendJson(res, 200, {
        allow,
        owner_allow: ownerAllow,
        probe_allow: probeAllow,
        trusted_proxies: trustedProxies,
        you: describeCaller(req, context, live.current),
      });
    },
    async 'api-addresses-test'(req, res) {
      const body = await bodies.jsonObject(req, res, RULES);
      const unknown = Object.keys(body).filter((name) => name !== 'address');
      if (unknown.length > 0) throw new BadRequest(`Unknown fields: ${unknown.join(', ')}`);
      const { address: text } = body;
      const address = typeof text === 'string' ? normalizeAddress(text.trim()) : undefined;
      if (address === undefined)
        throw new BadRequest('`address` must be an IP address, such as 192.0.2.7 or 2001:db8::7');
      sendJson(res, 200, judge(address, live.current));
    },
  };
}

/** What each list says about an address: the range that contains it, or null. */
function judge(address: string, { allow, ownerAllow, probeAllow, trustedProxies }: Lists): object {
  const allowedBy = rangeIn(allow, address);
  const ownerBy = rangeIn(ownerAllow, address);
  return {
    address,
    allowed: allowedBy !== null,
    allowed_by: allowedBy,
    may_administer: allowedBy !== null && ownerBy !== null,
    administers_by: ownerBy,
    probes_by: rangeIn(probeAllow, address),
    proxy_by: rangeIn(trustedProxies, address),
  };
}

function rangeIn(ranges: readonly string[], address: string): string | null {
  return ranges.find((range) => new AddressSet([range]).has(address)) ?? null;
}

/**
 * The address that decided about this request, and the way to it: the peer of the connection, and the entries
 * of X-Forwarded-For that trusted proxies vouch for.
 */
function describeCaller(req: Request, context: Context, lists: Lists): object {
  const proxies = new AddressSet(lists.trustedProxies);
  const isProxy = (ip: string): boolean => proxies.has(ip);
  const peer: Hop = { ip: peerAddress(req.socket.remoteAddress), port: 0 };
  const hops: Hop[] = [peer];
  const header = req.headers['x-forwarded-for'];
  if (header !== undefined && isProxy(peer.ip))
    clientBehind(peer, String(header), isProxy, (hop) => hops.push(hop));
  const { ip, mayAdminister } = known(context.client, 'client');
  return {
    address: ip,
    may_administer: mayAdminister,
    hops: hops.slice(0, MAX_HOPS).map((hop, at) => ({
      address: hop.ip,
      seen_by: at === 0 ? 'couchgate' : (hops[at - 1]?.ip ?? ''),
      trusted_proxy: isProxy(hop.ip),
    })),
    ignored_header: header !== undefined && !isProxy(peer.ip),
  };
}
