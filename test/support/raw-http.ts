// Sends raw bytes to a server, for requests that no HTTP client would send.
import { appendFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

/** File to which every request is appended, one JSON string per line. test/fence/ sends them again. */
const KEPT_IN = process.env['COUCHGATE_KEEP_REQUESTS'];

/**
 * Sends `bytes`. Resolves with the answer when the server closes the connection, or when `until` is found in
 * it.
 */
export function exchangeBytes(
  url: string,
  bytes: string,
  options: { readonly until?: string; readonly ca?: string } = {},
): Promise<string> {
  if (KEPT_IN !== undefined) appendFileSync(KEPT_IN, `${JSON.stringify(bytes)}\n`);
  const { protocol, hostname, port } = new URL(url);
  const place = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
  return new Promise((resolve, reject) => {
    const socket = protocol === 'https:' ? tls.connect({ ...place, ca: options.ca }) : net.connect(place);
    let received = '';
    const done = (): void => {
      socket.destroy();
      resolve(received);
    };
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => {
      received += String(chunk);
      if (options.until !== undefined && received.includes(options.until)) done();
    });
    socket.once('close', done);
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') done();
      else reject(error);
    });
    socket.write(bytes, 'latin1');
  });
}
