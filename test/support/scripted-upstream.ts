// An upstream that a test scripts, also for faults: partial answers, forged heads, no answer.
import http from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';

export interface ScriptedUpstream {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Number of accepted connections, without health checks. */
  readonly connections: number;
  /** Number of open connections. */
  readonly open: number;
  /** Resets every connection and stops listening, as SIGKILL does. */
  kill(): Promise<void>;
  /** Listens again on the same port. */
  revive(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts an upstream with node:http. `/_up` is answered with the status of `up` (200 by default); 0 =
 * connection closed.
 */
export async function startUpstream(
  handler: http.RequestListener,
  options: { readonly up?: () => number; readonly server?: http.ServerOptions } = {},
): Promise<ScriptedUpstream> {
  const server = http.createServer({ keepAliveTimeout: 0, ...options.server }, (req, res) => {
    if (req.url === '/_up') {
      counting.delete(req.socket);
      const status = options.up?.() ?? 200;
      if (status === 0) req.socket.destroy();
      else res.writeHead(status, { Connection: 'close' }).end('{"status":"ok"}\n');
    } else {
      // CouchDB repeats the request id.
      const id = req.headers['x-couch-request-id'];
      if (id !== undefined) res.setHeader('X-Couch-Request-ID', id);
      handler(req, res);
    }
  });
  const counting = new Set<Socket>();
  return upstreamOf(server, counting);
}

/** Starts an upstream that handles raw connections. */
export async function startRawUpstream(onConnection: (socket: Socket) => void): Promise<ScriptedUpstream> {
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  return upstreamOf(server, new Set<Socket>());
}

async function upstreamOf(server: net.Server, counting: Set<Socket>): Promise<ScriptedUpstream> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    counting.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const listen = (port: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  const kill = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      // Node leaks a socket that is reset while it is ending.
      for (const socket of sockets) {
        if (socket.writable) socket.resetAndDestroy();
        else socket.destroy();
      }
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    port,
    get connections() {
      return counting.size;
    },
    get open() {
      return sockets.size;
    },
    kill,
    revive: () => listen(port),
    close: () => (server.listening ? kill() : Promise.resolve()),
  };
}
