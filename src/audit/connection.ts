// Remembers on a client's socket what is the same for all its requests, and where its byte counts stood.
import { type Socket } from 'node:net';
import { type TLSSocket } from 'node:tls';

/** What the log says of a connection. */
export class ConnectionFacts {
  readonly ip: string;
  readonly port: number;
  /** The log fields of its TLS, or the empty text. */
  readonly tlsFields: string;
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
