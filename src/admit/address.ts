// Decides from which address a request comes and whether that address may use Couchgate, before a credential is read.
import { type IncomingMessage } from 'node:http';
import { type Socket } from 'node:net';
import { type RequestHandler } from 'express';
import { LRUCache } from 'lru-cache';
import { AddressSet, normalizeAddress } from '../config/address-set.ts';
import { type Settings } from '../config/settings.ts';
import { contextOf, type ClientAddress } from '../context.ts';
import { Forbidden } from '../http-errors.ts';

export type AddressSettings = Pick<Settings, 'allow' | 'ownerAllow' | 'trustedProxies'>;

/** Settings that may be replaced by a reload: a new object, never a changed one. */
export interface LiveAddressSettings {
  readonly current: AddressSettings;
}

/** A client whose address is known, and whether it may come in. */
interface Verdict {
  readonly client: ClientAddress;
  readonly allowed: boolean;
}

/** How many different forwarded headers are remembered. A client can put what it likes into one, so long ones are read every time. */
const MOST_REMEMBERED = 10_000;
const LONGEST_REMEMBERED = 256;

/** The rules of one version of the settings, with what they said so far. */
class AddressRules {
  readonly settings: AddressSettings;
  readonly #allow: AddressSet;
  readonly #ownerAllow: AddressSet;
  readonly #proxies: AddressSet;
  readonly #forwarded = new LRUCache<string, Verdict>({ max: MOST_REMEMBERED });

  constructor(settings: AddressSettings) {
    this.settings = settings;
    this.#allow = new AddressSet(settings.allow);
    this.#ownerAllow = new AddressSet(settings.ownerAllow);
    this.#proxies = new AddressSet(settings.trustedProxies);
  }

  isProxy(ip: string): boolean {
    return this.#proxies.has(ip);
  }

  judge(ip: string, port: number, secure: boolean): Verdict {
    const allowed = this.#allow.has(ip);
    return { allowed, client: { ip, port, secure, mayAdminister: allowed && this.#ownerAllow.has(ip) } };
  }

  /**
   * The client behind trusted proxies. X-Forwarded-For is read from the right: each proxy adds the address it saw at the end, so the first one that is
   * no proxy of ours is the last that can be believed; what stands left of it is the client's own invention (oauth2-proxy 1778, 3506).
   * An entry that is no address makes the client unknown, and the unknown is let in by no list.
   */
  judgeForwarded(peer: string, header: string, secure: boolean): Verdict {
    // An empty header says nothing of the client, so the peer, which is another every time, counts.
    if (header === '' || header.length > LONGEST_REMEMBERED) return this.#readForwarded(peer, header, secure);
    const key = secure ? `s${header}` : header;
    const known = this.#forwarded.get(key);
    if (known !== undefined) return known;
    const verdict = this.#readForwarded(peer, header, secure);
    this.#forwarded.set(key, verdict);
    return verdict;
  }

  #readForwarded(peer: string, header: string, secure: boolean): Verdict {
    let client = { ip: peer, port: 0 };
    let end = header.length;
    while (end > 0) {
      const comma = header.lastIndexOf(',', end - 1);
      const entry = readEntry(header.slice(comma + 1, end).trim());
      if (entry === undefined) return this.judge('', 0, secure);
      client = entry;
      if (!this.isProxy(client.ip)) break;
      end = comma;
    }
    return this.judge(client.ip, client.port, secure);
  }
}

/** `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`: some proxies add the port. */
function readEntry(text: string): { readonly ip: string; readonly port: number } | undefined {
  const plain = normalizeAddress(text);
  if (plain !== undefined) return { ip: plain, port: 0 };
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(\d{1,5}))?$/.exec(text);
  const ip = normalizeAddress(match?.[1] ?? match?.[2] ?? '');
  return ip === undefined ? undefined : { ip, port: Number(match?.[3] ?? 0) };
}

/** What is known of a connection: kept on its socket, since all its requests come from the same peer. */
interface Peer {
  readonly rules: AddressRules;
  readonly ip: string;
  readonly isProxy: boolean;
  readonly direct: Verdict;
}

type PeerSocket = Socket & { readonly encrypted?: boolean; addressOfPeer?: Peer };

function meet(socket: PeerSocket, rules: AddressRules): Peer {
  const ip = normalizeAddress(socket.remoteAddress ?? '') ?? '';
  const direct = rules.judge(ip, socket.remotePort ?? 0, socket.encrypted === true);
  const peer = { rules, ip, isProxy: rules.isProxy(ip), direct };
  socket.addressOfPeer = peer;
  return peer;
}

/**
 * Writes `context.client`; refuses with 403 what the whitelist does not name. A reload holds for the next request of every connection, also of
 * those that are open.
 */
export function refuseUnknownAddress(live: LiveAddressSettings): RequestHandler {
  let rules = new AddressRules(live.current);
  return function refuseUnknownAddressStep(req, _res, next) {
    if (live.current !== rules.settings) rules = new AddressRules(live.current);
    const socket: PeerSocket = req.socket;
    let peer = socket.addressOfPeer;
    if (peer?.rules !== rules) peer = meet(socket, rules);
    const verdict = peer.isProxy ? behindProxy(req, peer) : peer.direct;
    const context = contextOf(req);
    context.client = verdict.client;
    if (verdict.allowed) {
      next();
      return;
    }
    context.endedBy = 'address';
    next(new Forbidden('This address may not use this server.'));
  };
}

/** X-Forwarded-Proto may be a list after several proxies; the client's hop is safe only if none of them says otherwise. */
function behindProxy(req: IncomingMessage, peer: Peer): Verdict {
  const forwardedFor = req.headers['x-forwarded-for'];
  const proto = req.headers['x-forwarded-proto'];
  const secure =
    proto === undefined
      ? peer.direct.client.secure
      : String(proto)
          .split(',')
          .every((one) => one.trim().toLowerCase() === 'https');
  if (forwardedFor === undefined)
    return secure === peer.direct.client.secure ? peer.direct : peer.rules.judge(peer.ip, 0, secure);
  return peer.rules.judgeForwarded(peer.ip, String(forwardedFor), secure);
}
