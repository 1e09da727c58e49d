// A client that decides itself when it sends, reads and leaves, for what an HTTP client does on its own.
import net from 'node:net';
import { until } from './until.ts';

export interface RawClient {
  readonly socket: net.Socket;
  /** All that came so far, as latin1. */
  readonly received: string;
  /** True when the connection is over, whoever ended it. */
  readonly closed: boolean;
  send(bytes: string | Buffer): void;
  /** Resolves when the text has come. */
  sees(text: string): Promise<void>;
  /** Resolves when the server has ended the connection. */
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

/** A request head, lines joined and ended as HTTP wants them. */
export function head(...lines: readonly string[]): string {
  return `${lines.join('\r\n')}\r\n\r\n`;
}
