// Creates the agents that open, reuse, time out and close the connections to a CouchDB node.
import http from 'node:http';
import https from 'node:https';
import { isIP, Socket } from 'node:net';
import { type Duplex } from 'node:stream';
import { wasBlocked } from '../couch/patient-timeout.ts';

export interface ConnectionLimits {
  readonly connectTimeoutMs: number;
  /** A connection in use is closed when it transfers no data in either direction for this time. */
  readonly idleTimeoutMs: number;
  /** Time that an idle connection is kept open. */
  readonly keepAliveMs: number;
  /** Number of idle connections that are kept open. */
  readonly maxIdle: number;
  /** PEM of the certificate authority of https nodes; undefined = the public ones. */
  readonly ca: string | undefined;
}

/** The node did not connect or respond in time; distinguishes a timeout from a broken connection. */
export class NodeTimeout extends Error {
  readonly code = 'ETIMEDOUT';
}

const CONNECT_EVENTS = { 'http:': 'connect', 'https:': 'secureConnect' } as const;
/**
 * First TCP keep-alive probe of an idle connection, in ms. It detects a node that lost power under an open
 * feed.
 */
export const KEEP_ALIVE_PROBE_MS = 30_000;

const established = new WeakSet<Duplex>();

/** True if the connection was established. Otherwise no byte of a request can have been sent. */
export function isEstablished(socket: Duplex | null): boolean {
  return socket !== null && established.has(socket);
}

/** Calls `callback` when the connection is established, immediately if it already is. */
export function whenEstablished(socket: Duplex, callback: () => void): void {
  if (established.has(socket)) callback();
  else socket.once('encrypted' in socket ? CONNECT_EVENTS['https:'] : CONNECT_EVENTS['http:'], callback);
}

export type NodeProtocol = keyof typeof CONNECT_EVENTS;

/**
 * Creates an agent. `keep` = its connections are reused; otherwise each one carries a single request (H2,
 * H3). `hostname` is the name in the node's certificate. Without it, Node would take that name from the Host
 * header of the request, which may be the client's (H6).
 */
export function createAgent(
  protocol: NodeProtocol,
  keep: boolean,
  limits: ConnectionLimits,
  hostname?: string,
): http.Agent {
  const options = {
    keepAlive: keep,
    maxFreeSockets: keep ? limits.maxIdle : 0,
    // CouchDB closes the connection that is idle the longest, so the newest one is the safest to reuse.
    scheduling: 'lifo' as const,
    ...(hostname === undefined ? {} : { servername: isIP(hostname) === 0 ? hostname : '' }),
    ...(protocol === 'https:' && limits.ca !== undefined ? { ca: limits.ca } : {}),
  };
  const agent = protocol === 'https:' ? new https.Agent(options) : new http.Agent(options);
  const connect = agent.createConnection.bind(agent);
  const reuse = agent.reuseSocket.bind(agent);
  /* eslint-disable no-restricted-syntax -- made once for each agent */
  agent.createConnection = (connection, callback) => {
    const socket = connect(connection, callback);
    if (socket instanceof Socket) applyTimeouts(socket, CONNECT_EVENTS[protocol], limits);
    return socket;
  };
  // https://nodejs.org/api/http.html#agentkeepsocketalivesocket
  agent.keepSocketAlive = (socket) => {
    if (!(socket instanceof Socket)) return false;
    socket.setTimeout(limits.keepAliveMs);
    socket.unref();
    // Data after a complete answer would be read as the answer to the next request (H3).
    return socket.readableLength === 0;
  };
  agent.reuseSocket = (socket, request) => {
    if (socket instanceof Socket) socket.setTimeout(limits.idleTimeoutMs);
    reuse(socket, request);
  };
  /* eslint-enable no-restricted-syntax */
  return agent;
}

/** Sets the idle timeout of the connections that are in use. */
export function setIdleTimeout(agent: http.Agent, milliseconds: number): void {
  for (const sockets of Object.values(agent.sockets))
    for (const socket of sockets ?? []) if (established.has(socket)) socket.setTimeout(milliseconds);
}

/** Closes the connections that are not in use. */
export function destroyIdle(agent: http.Agent): void {
  for (const sockets of Object.values(agent.freeSockets))
    for (const socket of sockets ?? []) socket.destroy();
}

/** Uses the socket's one timer first as connect timeout, then as idle timeout. */
function applyTimeouts(socket: Socket, connectEvent: string, limits: ConnectionLimits): void {
  let dueAt = performance.now() + limits.connectTimeoutMs;
  const onConnectTimeout = (): void => {
    const isBlocked = wasBlocked(dueAt);
    // If this process was blocked, its timers run before the events that arrived meanwhile. setImmediate lets
    // those events run first, so that the node is not marked as failed.
    setImmediate(() => {
      if (established.has(socket)) return;
      if (!isBlocked) socket.destroy(new NodeTimeout('connection timed out'));
      else {
        // The name of the node may be resolved only now.
        dueAt = Infinity;
        socket.setTimeout(limits.connectTimeoutMs);
      }
    });
  };
  socket.setTimeout(limits.connectTimeoutMs);
  socket.on('timeout', onConnectTimeout);
  socket.once(connectEvent, () => {
    established.add(socket);
    socket.off('timeout', onConnectTimeout).on('timeout', breakSilence);
    socket.setTimeout(limits.idleTimeoutMs);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
  });
}

/**
 * Closes a connection that was silent for its idle timeout. What arrived while this process was blocked is
 * read first, and is no silence; neither is a request that was written since.
 */
export function breakSilence(this: Socket): void {
  const { bytesRead, bytesWritten, writableLength } = this;
  setImmediate(() => {
    const isSilent = this.bytesRead === bytesRead && this.bytesWritten === bytesWritten;
    if (isSilent && this.writableLength === writableLength)
      this.destroy(new NodeTimeout('no data within the idle timeout'));
  });
}
