// The listener of /metrics, /healthz and /readyz.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { openMetricsServer, type MetricsServer, type Readiness } from '../../src/audit/metrics-server.ts';
import { rememberingLog } from '../support/log.ts';

const open: MetricsServer[] = [];
after(async () => {
  for (const server of open) await server.close();
});

async function serve(
  over: { address?: string; chosen?: boolean; ready?: Readiness; metrics?: () => Promise<string> } = {},
): Promise<{ server: MetricsServer | undefined; log: ReturnType<typeof rememberingLog> }> {
  const log = rememberingLog();
  const server = await openMetricsServer({
    address: over.address ?? '127.0.0.1:0',
    chosen: over.chosen ?? true,
    metrics: over.metrics ?? (() => Promise.resolve('couchgate_x 1\n')),
    readiness: () => over.ready ?? { ready: true, checks: { nodes_up: 3 } },
    log,
  });
  if (server !== undefined) open.push(server);
  return { server, log };
}

describe('the metrics listener', () => {
  it('answers the three paths, and nothing else', async () => {
    const { server } = await serve();
    const url = server?.url ?? '';
    const get = async (path: string, method = 'GET'): Promise<[number, string]> => {
      const answer = await fetch(url + path, { method });
      return [answer.status, await answer.text()];
    };
    assert.deepEqual(await get('/metrics'), [200, 'couchgate_x 1\n']);
    assert.deepEqual(await get('/metrics?x=1'), [200, 'couchgate_x 1\n']);
    assert.deepEqual(await get('/metrics', 'HEAD'), [200, '']);
    assert.deepEqual(await get('/healthz'), [200, '{"status":"ok"}\n']);
    assert.deepEqual(await get('/readyz'), [200, '{"ready":true,"nodes_up":3}\n']);
    assert.equal((await get('/_all_dbs'))[0], 404);
    assert.equal((await get('/metrics', 'POST'))[0], 405);
  });

  it('says that Couchgate is alive but not ready – GET /readyz – 503', async () => {
    const { server } = await serve({ ready: { ready: false, checks: { draining: true } } });
    const answer = await fetch(`${server?.url ?? ''}/readyz`);
    assert.equal(answer.status, 503);
    assert.equal(await answer.text(), '{"ready":false,"draining":true}\n');
    assert.equal((await fetch(`${server?.url ?? ''}/healthz`)).status, 200);
  });

  it('answers 503 when the numbers cannot be had, and lives on', async () => {
    const { server, log } = await serve({ metrics: () => Promise.reject(new Error('no worker answers')) });
    assert.equal((await fetch(`${server?.url ?? ''}/metrics`)).status, 503);
    assert.equal((await fetch(`${server?.url ?? ''}/healthz`)).status, 200);
    assert.equal(log.lines[0]?.level, 'error');
  });

  it('is left out with a warning when the default address is taken, and an error when the operator chose it', async () => {
    const { server } = await serve();
    const taken = new URL(server?.url ?? '').host;
    const second = await serve({ address: taken, chosen: false });
    assert.equal(second.server, undefined);
    assert.match(JSON.stringify(second.log.lines), /"level":"warn".*is in use/);
    await assert.rejects(serve({ address: taken, chosen: true }), /is already in use/);
  });

  it('is not opened when it is off', async () => {
    assert.equal((await serve({ address: 'off' })).server, undefined);
  });
});
