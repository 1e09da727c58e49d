// How every server of a measurement begins and ends: on a free port of loopback, said over IPC; with the process that started it.
import { type Server } from 'node:net';
import { type AddressInfo } from 'node:net';

/** Listens, and tells the parent the address. */
export function announce(server: Server): void {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
    process.send?.(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`);
  });
  process.once('disconnect', () => process.exit(0));
  process.once('SIGTERM', () => process.exit(0));
}
