// Stores on a client's socket the log fields of its connection and its byte counters.
import { type Socket } from 'node:net';
import { type TLSSocket } from 'node:tls';
import { type ClientAddress } from '../context.ts';
import { type Principal } from '../principal/principal.ts';

/**
 * Caches the text for the last key: the requests of a connection mostly have the same client, principal and
 * agent.
 */
class CachedText<Key> {
  #key: Key | undefined = undefined;
  #text = '';

  textOf(key: Key, make: (key: Key) => string): string {
    if (key !== this.#key) {
      this.#text = make(key);
      this.#key = key;
    }
    return this.#text;
  }
}

/** The facts of a connection that its log lines repeat. */
export class ConnectionFacts {
  readonly ip: string;
  readonly port: number;
  /** Log fields of TLS; empty for plain HTTP. */
  readonly tlsFields: string;
  /** Log fields of its requests, built again only if their source changes. */
  readonly client = new CachedText<ClientAddress>();
  readonly principal = new CachedText<Principal>();
  readonly agent = new CachedText<string>();
  /** The socket's byte counters at the end of the last request. */
  lastBytesRead = 0;
  lastBytesWritten = 0;

  constructor(socket: Socket) {
    this.ip = socket.remoteAddress ?? '';
    this.port = socket.remotePort ?? 0;
    this.tlsFields = tlsFieldsOf(socket);
  }
}

function tlsFieldsOf(
  socket: Socket & Partial<Pick<TLSSocket, 'encrypted' | 'getProtocol' | 'getCipher'>>,
): string {
  if (socket.encrypted !== true) return '';
  return `,"sslVersion":${JSON.stringify(socket.getProtocol?.())},"cipherSuite":${JSON.stringify(socket.getCipher?.().standardName)}`;
}

interface SocketWithFacts {
  connectionFacts?: ConnectionFacts;
}

/**
 * Returns the facts of a socket; creates them at its first request. A property, because a WeakMap costs more
 * per request.
 */
export function connectionOf(socket: Socket): ConnectionFacts {
  const withFacts = socket as SocketWithFacts;
  return (withFacts.connectionFacts ??= new ConnectionFacts(socket));
}
