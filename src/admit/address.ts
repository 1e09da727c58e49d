// Finds the address of the client, and refuses addresses that the whitelist does not contain. Runs before any
// credential is read.
import { type IncomingMessage } from 'node:http';
import { type Socket } from 'node:net';
import { type RequestHandler } from 'express';
import { LRUCache } from 'lru-cache';
import { isProbe } from '../catalogue/probe.ts';
import { AddressSet, peerAddress } from '../config/address-set.ts';
import { clientBehind } from '../config/forwarded-for.ts';
import { type Settings } from '../config/settings.ts';
import { contextOf, type ClientAddress } from '../context.ts';
import { Forbidden } from '../http-errors.ts';
import { type GatewayWarning } from './gateway-address.ts';

export type AddressSettings = Pick<Settings, 'allow' | 'ownerAllow' | 'probeAllow' | 'trustedProxies'>;

/** Reloadable settings. A reload replaces the object. */
export interface LiveAddressSettings {
  readonly current: AddressSettings;
}

/** What is known of the scheme in the client's URL. */
interface Scheme {
  readonly secure: boolean;
  readonly schemeKnown: boolean;
}

const HTTPS: Scheme = { secure: true, schemeKnown: true };
const HTTP: Scheme = { secure: false, schemeKnown: true };
/** Plain HTTP here: a proxy that is not declared may end TLS in front. */
const UNKNOWN: Scheme = { secure: false, schemeKnown: false };

/** Address of a client, and whether the whitelist allows it. */
interface Verdict {
  readonly client: ClientAddress;
  readonly allowed: boolean;
}

/**
 * Limits of the cache of forwarded headers. Clients choose the content of these headers, so long ones are not
 * cached.
 */
const MAX_CACHED = 10_000;
const MAX_CACHED_LENGTH = 256;

/** Rules of one version of the settings, with a cache of their results. */
class AddressRules {
  readonly settings: AddressSettings;
  readonly #allow: AddressSet;
  readonly #ownerAllow: AddressSet;
  readonly #proxies: AddressSet;
  readonly #probeAllow: AddressSet;
  readonly #forwarded = new LRUCache<string, Verdict>({ max: MAX_CACHED });

  constructor(settings: AddressSettings) {
    this.settings = settings;
    this.#allow = new AddressSet(settings.allow);
    this.#ownerAllow = new AddressSet(settings.ownerAllow);
    this.#proxies = new AddressSet(settings.trustedProxies);
    this.#probeAllow = new AddressSet(settings.probeAllow);
  }

  isProxy(ip: string): boolean {
    return this.#proxies.has(ip);
  }

  mayProbe(ip: string): boolean {
    return this.#probeAllow.has(ip);
  }

  judge(ip: string, port: number, { secure, schemeKnown }: Scheme): Verdict {
    const allowed = this.#allow.has(ip);
    const mayAdminister = allowed && this.#ownerAllow.has(ip);
    return { allowed, client: { ip, port, secure, schemeKnown, mayAdminister } };
  }

  /**
   * Judges the client behind a trusted proxy (config/forwarded-for.ts). If an entry of the header is not an
   * address, the client has no address, and no whitelist allows it.
   */
  judgeForwarded(peer: string, header: string, scheme: Scheme): Verdict {
    // An empty header does not name the client, so the peer decides, and the header cannot be the cache key.
    if (header === '' || header.length > MAX_CACHED_LENGTH) return this.#readForwarded(peer, header, scheme);
    const key = scheme === UNKNOWN ? header : `${scheme === HTTPS ? 's' : 'p'}${header}`;
    const known = this.#forwarded.get(key);
    if (known !== undefined) return known;
    const verdict = this.#readForwarded(peer, header, scheme);
    this.#forwarded.set(key, verdict);
    return verdict;
  }

  #readForwarded(peer: string, header: string, scheme: Scheme): Verdict {
    const client = clientBehind({ ip: peer, port: 0 }, header, (ip) => this.isProxy(ip));
    if (client === undefined) return this.judge('', 0, scheme);
    return this.judge(client.ip, client.port, scheme);
  }
}

/**
 * Result for the peer of a connection, kept on its socket: all requests of a connection have the same peer.
 */
interface Peer {
  readonly rules: AddressRules;
  readonly ip: string;
  readonly isProxy: boolean;
  readonly scheme: Scheme;
  readonly direct: Verdict;
}

type PeerSocket = Socket & { readonly encrypted?: boolean; addressOfPeer?: Peer };

function readPeer(socket: PeerSocket, rules: AddressRules): Peer {
  const ip = peerAddress(socket.remoteAddress);
  const scheme = socket.encrypted === true ? HTTPS : UNKNOWN;
  const direct = rules.judge(ip, socket.remotePort ?? 0, scheme);
  const peer = { rules, ip, isProxy: rules.isProxy(ip), scheme, direct };
  socket.addressOfPeer = peer;
  return peer;
}

/**
 * Makes the step that writes `context.client`, and answers 403 for addresses outside the whitelist. A reload
 * applies to the next request of every connection, open ones included.
 */
export function refuseUnknownAddress(
  live: LiveAddressSettings,
  gatewayWarning?: GatewayWarning,
): RequestHandler {
  let rules = new AddressRules(live.current);
  return function refuseUnknownAddressStep(req, _res, next) {
    if (live.current !== rules.settings) rules = new AddressRules(live.current);
    const socket: PeerSocket = req.socket;
    let peer = socket.addressOfPeer;
    if (peer?.rules !== rules) peer = readPeer(socket, rules);
    const verdict = peer.isProxy ? behindProxy(req, peer) : peer.direct;
    const context = contextOf(req);
    context.client = verdict.client;
    if (gatewayWarning?.isDone === false) gatewayWarning.see(verdict.client.ip, rules.settings);
    if (verdict.allowed || (isProbe(req) && rules.mayProbe(verdict.client.ip))) {
      next();
      return;
    }
    context.outcome.refuse('address');
    next(new Forbidden('This client address is not allowed.'));
  };
}

/** Finds the client behind a proxy. */
function behindProxy(req: IncomingMessage, peer: Peer): Verdict {
  const forwardedFor = req.headers['x-forwarded-for'];
  const proto = req.headers['x-forwarded-proto'];
  const scheme = proto === undefined ? peer.scheme : schemeIn(String(proto));
  if (forwardedFor === undefined)
    return scheme === peer.scheme ? peer.direct : peer.rules.judge(peer.ip, 0, scheme);
  return peer.rules.judgeForwarded(peer.ip, String(forwardedFor), scheme);
}

/**
 * X-Forwarded-Proto is a list if there are several proxies. The connection counts as secure only if every
 * entry is `https`.
 */
function schemeIn(list: string): Scheme {
  const names = list.split(',').map((one) => one.trim().toLowerCase());
  if (names.every((name) => name === 'https')) return HTTPS;
  return names.every((name) => name === 'http') ? HTTP : UNKNOWN;
}
