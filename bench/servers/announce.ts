// Starts a server of a measurement on a free loopback port, and stops it with its parent process.
import { type Server } from 'node:net';
import { type AddressInfo } from 'node:net';

/** Listens and sends the URL to the parent over IPC. */
export function announce(server: Server): void {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
    process.send?.(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`);
  });
  process.once('disconnect', () => process.exit(0));
  process.once('SIGTERM', () => process.exit(0));
}
