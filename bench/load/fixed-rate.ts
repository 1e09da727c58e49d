// Sends requests at a fixed rate, whatever the answers take (open loop), and records their latencies.
import http from 'node:http';

export interface FixedRate {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly perSecond: number;
  /** The path of the n-th request. */
  readonly pathOf: (n: number) => string;
  /** The Authorization header of the n-th request; by default the one in `headers`, if any. */
  readonly authorizationOf?: (n: number) => string;
}

export interface Latency {
  /** When the request was due, by `performance.now()`. */
  readonly due: number;
  /** Milliseconds from then to the end of the answer: a request that is sent late counts as slow. */
  readonly ms: number;
}

export interface RunningRate {
  /** Requests that were due between the two times. Waits for their answers; rejects if one is not 200. */
  between(begin: number, end: number): Promise<readonly Latency[]>;
  stop(): Promise<void>;
}

/** A server that hangs must end the measurement. */
const MAX_SECONDS_BEHIND = 5;

/** Starts the load; it runs until `stop`. */
export function startFixedRate({ url, headers, perSecond, pathOf, authorizationOf }: FixedRate): RunningRate {
  const agent = new http.Agent({ keepAlive: true });
  const latencies: Latency[] = [];
  const open = new Set<Promise<void>>();
  const begin = performance.now();
  let sent = 0;
  let failure: Error | undefined;
  let timer: NodeJS.Timeout | undefined;

  function sendDue(): void {
    for (;;) {
      const due = begin + (sent / perSecond) * 1000;
      const wait = due - performance.now();
      if (wait > 0) {
        timer = setTimeout(sendDue, wait);
        return;
      }
      if (open.size > MAX_SECONDS_BEHIND * perSecond)
        failure ??= new Error(`${open.size} requests wait for an answer`);
      if (failure !== undefined) return;
      const own =
        authorizationOf === undefined ? headers : { ...headers, authorization: authorizationOf(sent) };
      const request = get(agent, `${url}${pathOf(sent)}`, own).then(
        () => void latencies.push({ due, ms: performance.now() - due }),
        (error: unknown) => void (failure ??= error as Error),
      );
      open.add(request);
      void request.then(() => open.delete(request));
      sent += 1;
    }
  }

  sendDue();
  return {
    async between(from, to) {
      await Promise.all(open);
      if (failure !== undefined) throw failure;
      return latencies.filter(({ due }) => due >= from && due < to);
    },
    async stop() {
      clearTimeout(timer);
      await Promise.all(open);
      agent.destroy();
    },
  };
}

function get(agent: http.Agent, url: string, headers: Readonly<Record<string, string>>): Promise<void> {
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent, headers }, (answer) => {
        answer.resume();
        answer.once('end', () =>
          answer.statusCode === 200 ? resolve() : reject(new Error(`status ${answer.statusCode ?? 0}`)),
        );
        answer.on('error', reject);
      })
      .on('error', reject);
  });
}

/** The value below which `share` (0 to 1) of the latencies are; NaN without any. */
export function percentile(latencies: readonly Latency[], share: number): number {
  const sorted = latencies.map(({ ms }) => ms).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
