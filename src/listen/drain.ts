// Ends a serving process without breaking what it has begun: readiness off, a pause, no new connections, feeds ended, and a last limit.
import { type Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

export interface DrainParameters {
  /** HTTP and HTTPS servers that stop accepting. */
  readonly servers: readonly Server[];
  /** Called at once: /readyz and /_up answer 404 or 503 from now on, so that a load balancer sends nobody here any more. */
  readonly readinessOff: () => void;
  /** Ends the answers that would run for ever; called when accepting has stopped. */
  readonly endFeeds: () => void;
  /** Time for load balancers to notice, between readiness off and the end of accepting. */
  readonly delayMs: number;
  /** Time from the end of accepting until what still runs is cut. */
  readonly timeoutMs: number;
}

const IDLE_CHECK_MS = 50;

/**
 * Resolves when every connection is closed, with the number of connections that had to be cut at the limit. Answers that begin during the
 * pause carry `Connection: close`, so their clients go elsewhere by themselves.
 */
export async function drainServer(parameters: DrainParameters): Promise<{ readonly cut: number }> {
  const { servers, readinessOff, endFeeds, delayMs, timeoutMs } = parameters;
  readinessOff();
  for (const server of servers) server.maxRequestsPerSocket = 1;
  await wait(delayMs);
  const closed = Promise.all(servers.map(stopAccepting));
  endFeeds();
  // After the turn of reading: what came in with the connection, or on one that was idle, is a request by then and is answered.
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
 * Closes the listening socket alone, and resolves when the last connection is closed. `http.Server.close` would at once cut every connection whose
 * request has not been read yet, new ones too.
 */
function stopAccepting(server: Server): Promise<void> {
  // An error says that it was not listening: closed is closed.
  return new Promise((resolve) => void NetServer.prototype.close.call(server, () => resolve()));
}

function countConnections(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.getConnections((error, count) => resolve(error === null ? count : 0)),
  );
}
