// Remembers on a client's socket what is the same for all its requests, and where its byte counts stood.
import { type Socket } from 'node:net';
import { type TLSSocket } from 'node:tls';
import { type ClientAddress } from '../context.ts';
import { type Principal } from '../principal/principal.ts';

/** The text made of the last key: the requests of a connection mostly come from the same client, who says the same of himself. */
class LastText<Key> {
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

/** What the log says of a connection. */
export class ConnectionFacts {
  readonly ip: string;
  readonly port: number;
  /** The log fields of its TLS, or the empty text. */
  readonly tlsFields: string;
  /** Log fields of its requests, made again only when they change. */
  readonly client = new LastText<ClientAddress>();
  readonly principal = new LastText<Principal>();
  readonly agent = new LastText<string>();
  readSoFar = 0;
  writtenSoFar = 0;

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

interface Remembering {
  connectionFacts?: ConnectionFacts;
}

/** The facts of a socket, found out at its first request. A property, since a WeakMap costs more on every request. */
export function connectionOf(socket: Socket): ConnectionFacts {
  const remembering = socket as Remembering;
  return (remembering.connectionFacts ??= new ConnectionFacts(socket));
}
