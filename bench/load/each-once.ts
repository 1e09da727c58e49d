// Sends every request of a list once and counts the statuses. wrk sends for a time; this sends a number of
// requests.
import http from 'node:http';

export interface Once {
  readonly url: string;
  readonly path: string | ((n: number) => string);
  readonly authorizations: readonly string[];
  /** Requests in flight. */
  readonly connections: number;
  /** Local address of the connections, for example 127.0.0.2. */
  readonly from?: string;
  /** Maximum requests per second. */
  readonly perSecond?: number;
}

export interface OnceResult {
  readonly statuses: ReadonlyMap<number, number>;
  readonly seconds: number;
}

/** Resolves with the number of responses per status and the total time in seconds. */
export async function sendEachOnce(once: Once): Promise<OnceResult> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: once.connections });
  const statuses = new Map<number, number>();
  const startedAt = performance.now();
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < once.authorizations.length) {
      const at = next;
      next += 1;
      if (once.perSecond !== undefined) await until(startedAt + (at / once.perSecond) * 1000);
      const path = typeof once.path === 'string' ? once.path : once.path(at);
      const status = await get(agent, once, path, once.authorizations[at] ?? '');
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: once.connections }, one));
  agent.destroy();
  return { statuses, seconds: (performance.now() - startedAt) / 1000 };
}

function get(agent: http.Agent, { url, from }: Once, path: string, authorization: string): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .get(
        `${url}${path}`,
        { agent, headers: { authorization }, ...(from === undefined ? {} : { localAddress: from }) },
        (answer) => {
          answer.resume();
          answer.once('end', () => resolve(answer.statusCode ?? 0));
        },
      )
      .once('error', reject);
  });
}

function until(time: number): Promise<void> {
  const wait = time - performance.now();
  return wait <= 1 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, wait));
}
