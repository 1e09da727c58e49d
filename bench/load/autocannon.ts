// Load generator for machines without wrk: autocannon in its own process. Reads the load from its parent over
// IPC and sends the result back.
// autocannon needs several times the CPU of wrk: absolute values are lower, ratios remain valid.
import autocannon from 'autocannon';
import { type Load, type LoadResult } from './load.ts';

process.once('message', (load: Load) => {
  void fire(load).then((result) => {
    process.send?.(result);
    process.disconnect();
  });
});

async function fire(load: Load): Promise<LoadResult> {
  let count = 0;
  const { sequence } = load;
  const next = (request: autocannon.Request): autocannon.Request => {
    const one = sequence?.[count % sequence.length];
    count += 1;
    const path = (one?.path ?? load.path).replaceAll('{n}', `${load.prefix ?? ''}${String(count)}`);
    const authorization = one?.authorization === undefined ? {} : { Authorization: one.authorization };
    return { ...request, path, headers: { ...load.headers, ...authorization } };
  };
  const result = await autocannon({
    url: load.url,
    connections: load.connections,
    duration: load.seconds,
    requests: [
      {
        method: load.method ?? 'GET',
        path: load.path,
        headers: { ...load.headers },
        ...(load.body === undefined ? {} : { body: load.body }),
        ...(sequence === undefined ? {} : { setupRequest: next }),
      },
    ],
  });
  return {
    requests: result.requests.total,
    seconds: result.duration,
    bytes: result.throughput.total,
    p50: result.latency.p50,
    p99: result.latency.p99,
    refused: result.non2xx,
    failed: result.errors + result.timeouts,
  };
}
