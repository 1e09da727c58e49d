// Serves /metrics, /healthz and /readyz on a separate listener.
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { ListenError, parseListenAddress } from '../config/listen-address.ts';
import { type OperationalLog } from '../config/operational-log.ts';

export interface Readiness {
  readonly ready: boolean;
  /** Details of the state. Values come from a bounded set; no secrets. */
  readonly checks: Readonly<Record<string, string | number | boolean>>;
}

export interface MetricsServerParameters {
  /** `metrics_listen`. */
  readonly address: string;
  /** True if the operator configured the address: then a port in use is an error, not a warning. */
  readonly chosen: boolean;
  readonly metrics: () => Promise<string>;
  readonly readiness: () => Readiness | Promise<Readiness>;
  readonly log: OperationalLog;
}

export interface MetricsServer {
  /** For example `http://127.0.0.1:9984`. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Opens the listener. Returns undefined for `off`, and if the default port is in use: a second Couchgate on
 * one machine must start. Throws any other error of `listen`.
 */
export async function openMetricsServer(
  parameters: MetricsServerParameters,
): Promise<MetricsServer | undefined> {
  const place = parseListenAddress(parameters.address);
  if (place === undefined) return undefined;
  const server = http.createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (req, res) => {
    answer(parameters, req, res).catch((error: unknown) => {
      parameters.log.error({ err: error }, 'metrics could not be read');
      send(res, 503, 'text/plain', 'metrics could not be read\n');
    });
  });
  try {
    await listen(server, place.host, place.port);
    server.on('error', (error) => parameters.log.error({ err: error }, 'cannot accept a connection'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const { address } = parameters;
    if (code !== 'EADDRINUSE' || parameters.chosen) throw new ListenError('metrics_listen', address, error);
    parameters.log.warn(
      { address },
      'metrics_listen is in use: no metrics and health checks; set another address',
    );
    return undefined;
  }
  const { address, port, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: http.Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function answer(
  { metrics, readiness }: MetricsServerParameters,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  if (req.method !== 'GET' && req.method !== 'HEAD') {
    res.setHeader('Allow', 'GET, HEAD');
    send(res, 405, 'text/plain', 'Only GET and HEAD\n');
    return;
  }
  switch (req.url?.split('?', 1)[0]) {
    case '/metrics':
      send(res, 200, 'text/plain; version=0.0.4; charset=utf-8', await metrics());
      return;
    case '/healthz':
      send(res, 200, 'application/json', '{"status":"ok"}\n');
      return;
    case '/readyz': {
      const { ready, checks } = await readiness();
      send(res, ready ? 200 : 503, 'application/json', `${JSON.stringify({ ready, ...checks })}\n`);
      return;
    }
    default:
      send(res, 404, 'text/plain', 'Only /metrics, /healthz and /readyz\n');
  }
}

function send(res: ServerResponse, status: number, type: string, body: string): void {
  res.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
  });
  res.end(res.req.method === 'HEAD' ? undefined : body);
}
