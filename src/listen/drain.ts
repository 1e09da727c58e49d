// Shuts down the servers gracefully: readiness off, delay, no new connections, feeds ended, then a time
// limit.
import { type Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

export interface DrainParameters {
  /** HTTP and HTTPS servers that stop accepting. */
  readonly servers: readonly Server[];
  /** Called first: /readyz then answers 503 and /_up 404, so that load balancers stop sending requests. */
  readonly readinessOff: () => void;
  /** Ends the responses that never end by themselves; called after accepting has stopped. */
  readonly endFeeds: () => void;
  /** Time for load balancers to react, between readiness off and the end of accepting. */
  readonly delayMs: number;
  /** Time from the end of accepting until running requests are aborted. */
  readonly timeoutMs: number;
}

const IDLE_CHECK_MS = 50;

/**
 * Resolves when every connection is closed, with the number of connections that were aborted at the limit.
 * Responses that begin during the delay carry `Connection: close`, so their clients reconnect elsewhere.
 */
export async function drainServer(parameters: DrainParameters): Promise<{ readonly cut: number }> {
  const { servers, readinessOff, endFeeds, delayMs, timeoutMs } = parameters;
  readinessOff();
  for (const server of servers) server.maxRequestsPerSocket = 1;
  await wait(delayMs);
  const closed = Promise.all(servers.map(stopAccepting));
  endFeeds();
  // After the poll phase: a request that arrived with its connection, or on an idle one, is then parsed and
  // gets an answer.
  const closeIdle = (): void => servers.forEach((server) => server.closeIdleConnections());
  const idle = setInterval(() => setImmediate(closeIdle), IDLE_CHECK_MS);
  const limit = new AbortController();
  const timedOut = wait(timeoutMs, true, { signal: limit.signal }).catch(() => false);
  try {
    const late = await Promise.race([closed.then(() => false), timedOut]);
    const cut = late ? (await Promise.all(servers.map(countConnections))).reduce((sum, n) => sum + n, 0) : 0;
    if (late) servers.forEach((server) => server.closeAllConnections());
    await closed;
    return { cut };
  } finally {
    limit.abort();
    clearInterval(idle);
  }
}

/**
 * Closes only the listening socket, and resolves when the last connection is closed. `http.Server.close`
 * would also close every connection whose request has not been read yet.
 */
function stopAccepting(server: Server): Promise<void> {
  // An error means that the server was not listening.
  return new Promise((resolve) => void NetServer.prototype.close.call(server, () => resolve()));
}

function countConnections(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.getConnections((error, count) => resolve(error === null ? count : 0)),
  );
}
