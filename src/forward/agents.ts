// Decides how connections to a CouchDB node are made, kept and given up. Which request goes on which of them is transport.ts's business.
import http from 'node:http';
import https from 'node:https';
import { Socket } from 'node:net';
import { type Duplex } from 'node:stream';

export interface ConnectionLimits {
  readonly connectTimeoutMs: number;
  /** Longest silence of an exchange, in both directions at once. */
  readonly idleTimeoutMs: number;
  /** How long an unused connection is kept. */
  readonly keepAliveMs: number;
  /** Connections that are kept unused. */
  readonly kept: number;
  /** PEM of the CA of https nodes; undefined = the public ones. */
  readonly ca: string | undefined;
}

/** What a socket is destroyed with when its node does not speak: tells a silence from a break. */
export class NodeSilent extends Error {
  readonly code = 'ESILENT';
}

const READY = { 'http:': 'connect', 'https:': 'secureConnect' } as const;
/** First probe of the operating system on a silent connection: a node that lost its power is noticed under an open feed as well. */
const PROBE_AFTER_MS = 30_000;

const established = new WeakSet<Duplex>();

/** True when the connection stood: until then not a byte of a request can have left. */
export function isEstablished(socket: Duplex | null): boolean {
  return socket !== null && established.has(socket);
}

/** Calls back when the connection stands, at once if it already does. */
export function whenEstablished(socket: Duplex, then: () => void): void {
  if (established.has(socket)) then();
  else socket.once('encrypted' in socket ? READY['https:'] : READY['http:'], then);
}

export type NodeProtocol = keyof typeof READY;

/** An agent whose connections are used again (`keep`), or each for one request alone (H2, H3). */
export function createAgent(protocol: NodeProtocol, keep: boolean, limits: ConnectionLimits): http.Agent {
  const options = {
    keepAlive: keep,
    maxFreeSockets: keep ? limits.kept : 0,
    // The connection that was used last is the one least likely to be closed by CouchDB just now.
    scheduling: 'lifo' as const,
    ...(protocol === 'https:' && limits.ca !== undefined ? { ca: limits.ca } : {}),
  };
  const agent = protocol === 'https:' ? new https.Agent(options) : new http.Agent(options);
  if (keep) takeFreeFirst(agent);
  const connect = agent.createConnection.bind(agent);
  const reuse = agent.reuseSocket.bind(agent);
  agent.createConnection = (connection, callback) => {
    const socket = connect(connection, callback);
    if (socket instanceof Socket) watch(socket, READY[protocol], limits);
    return socket;
  };
  // https://nodejs.org/api/http.html#agentkeepsocketalivesocket
  agent.keepSocketAlive = (socket) => {
    if (!(socket instanceof Socket)) return false;
    socket.setTimeout(limits.keepAliveMs);
    socket.unref();
    // Bytes behind a complete answer are nobody's: such a connection would hand them to the next request (H3).
    return socket.readableLength === 0;
  };
  agent.reuseSocket = (socket, request) => {
    if (socket instanceof Socket) socket.setTimeout(limits.idleTimeoutMs);
    reuse(socket, request);
  };
  return agent;
}

/** What Node's agent and request do between them; documented in part only, and the same from Node 20 to 24. */
interface Taking {
  addRequest(request: http.ClientRequest, options: object): void;
}
interface Taken {
  onSocket(socket: Duplex): void;
}

/**
 * Gives a request the connection that was used last, without what Node's agent does to find it: it copies all options twice and spells
 * a name out of them, three times for a request. All connections of one of our agents lead to one place, so they have one name.
 */
function takeFreeFirst(agent: http.Agent): void {
  const name = 'node';
  const slowly = (agent as unknown as Taking).addRequest.bind(agent);
  agent.getName = () => name;
  (agent as unknown as Taking).addRequest = (request, options) => {
    const socket = agent.freeSockets[name]?.pop();
    if (socket === undefined || socket.destroyed) {
      slowly(request, options);
      return;
    }
    agent.reuseSocket(socket, request);
    (request as unknown as Taken).onSocket(socket);
    ((agent.sockets as Record<string, Socket[]>)[name] ??= []).push(socket);
  };
}

/** How long the connections that are in use may be silent from now on. */
export function limitSilence(agent: http.Agent, milliseconds: number): void {
  for (const sockets of Object.values(agent.sockets))
    for (const socket of sockets ?? []) if (established.has(socket)) socket.setTimeout(milliseconds);
}

/** Gives up the connections that are not in use. */
export function dropFree(agent: http.Agent): void {
  for (const sockets of Object.values(agent.freeSockets))
    for (const socket of sockets ?? []) socket.destroy();
}

/** One timer for the life of a connection: first for its making, then for silence. */
function watch(socket: Socket, ready: string, limits: ConnectionLimits): void {
  socket.setTimeout(limits.connectTimeoutMs);
  socket.on('timeout', giveUp);
  socket.once(ready, () => {
    established.add(socket);
    socket.setTimeout(limits.idleTimeoutMs);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, PROBE_AFTER_MS);
  });
}

function giveUp(this: Socket): void {
  if (established.has(this)) {
    this.destroy(new NodeSilent('the node is silent'));
    return;
  }
  // After a standstill of this process its timers come first, and what arrived meanwhile after them: a node must not pay for that.
  setImmediate(() => {
    if (!established.has(this)) this.destroy(new NodeSilent('the connection could not be made in time'));
  });
}
