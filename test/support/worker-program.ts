// A program with several workers, like main.ts, whose server reports its state. For
// test/integration/workers.test.ts.
// Environment: WORKERS, DRAIN_MS; FAIL=1 ends every worker before it serves.
import cluster from 'node:cluster';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { drainServer } from '../../src/listen/drain.ts';
import { createWorkerChannel } from '../../src/cluster/worker-channel.ts';
import { startWorkers } from '../../src/cluster/worker-pool.ts';

const DRAIN_MS = Number(process.env['DRAIN_MS'] ?? 60_000);

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function runPrimary(): void {
  const workers = startWorkers({
    count: Number(process.env['WORKERS'] ?? 2),
    drainMs: DRAIN_MS,
    log: { info: (fields) => say(fields), warn: (fields, message) => say({ ...fields, message }) },
  });
  process.on('SIGTERM', () => workers.drain());
  process.on('SIGHUP', () => workers.reload());
  process.on('SIGUSR2', () => void workers.request('pid').then((pids) => say({ pids })));
  void workers.ended.then((code) => process.exit(code));
}

function runWorker(): void {
  if (process.env['FAIL'] === '1') process.exit(7);
  const workerChannel = createWorkerChannel({ channel: process });
  const feeds = new Set<ServerResponse>();
  let lastMessage = 'nothing';
  workerChannel.onBroadcast((message) => {
    lastMessage = String(message);
  });
  workerChannel.onRequest('pid', () => process.pid);
  workerChannel.onReload(() => say({ reloaded: process.pid }));

  const routes: Readonly<Record<string, (req: IncomingMessage, res: ServerResponse) => void>> = {
    '/pid': (_req, res) => res.end(String(process.pid)),
    '/last-message': (_req, res) => res.end(`${process.pid} ${lastMessage}`),
    '/broadcast': (_req, res) =>
      void workerChannel.broadcast('a message').then(() => res.end(String(process.pid))),
    '/feed': (_req, res) => {
      feeds.add(res);
      res.write(`${process.pid}\n`);
    },
    // Ends its answer after the request body, so that the test controls the time.
    '/slow': (req, res) => {
      res.writeHead(200);
      res.write('begun\n');
      req.resume().on('end', () => res.end('finished'));
    },
  };
  const server = createServer((req, res) => (routes[req.url ?? ''] ?? routes['/pid'])?.(req, res));
  workerChannel.onDrain(() => {
    say({ draining: process.pid });
    void drainServer({
      servers: [server],
      readinessOff: () => undefined,
      endFeeds: () => feeds.forEach((res) => res.destroy()),
      delayMs: 0,
      timeoutMs: DRAIN_MS,
    }).then(({ cut }) => {
      say({ drained: process.pid, cut });
      process.disconnect();
    });
  });
  server.listen(0, '127.0.0.1', () => {
    workerChannel.ready();
    say({ serving: process.pid, port: (server.address() as AddressInfo).port });
  });
}

if (cluster.isPrimary) runPrimary();
else runWorker();
