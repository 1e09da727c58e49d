// A client over a raw socket: the test controls when it sends, reads and disconnects.
import net from 'node:net';
import { until } from './until.ts';

export interface RawClient {
  readonly socket: net.Socket;
  /** All received bytes, as latin1. */
  readonly received: string;
  /** True when the connection is closed by either side. */
  readonly closed: boolean;
  send(bytes: string | Buffer): void;
  /** Resolves when `text` was received. */
  sees(text: string): Promise<void>;
  /** Resolves when the server has closed the connection. */
  end(): Promise<void>;
}

/** Connects to `port` on this machine. */
export async function connectRaw(port: number): Promise<RawClient> {
  const socket = net.connect({ host: '127.0.0.1', port, noDelay: true });
  let received = '';
  let closed = false;
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => (received += String(chunk)));
  socket.on('error', () => undefined);
  socket.on('close', () => (closed = true));
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return {
    socket,
    get received() {
      return received;
    },
    get closed() {
      return closed;
    },
    send: (bytes) => void socket.write(bytes),
    sees: (text) => until(() => received.includes(text), `"${text}" in ${JSON.stringify(received)}`),
    end: () => until(() => closed, 'the server ends the connection'),
  };
}

/** A request head: the lines joined with CRLF and ended by an empty line. */
export function head(...lines: readonly string[]): string {
  return `${lines.join('\r\n')}\r\n\r\n`;
}
