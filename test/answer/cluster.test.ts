// GET /_api/v2/cluster: what the owner learns about nodes, checks and load, and what nobody learns.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { until } from '../support/until.ts';

interface Body {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, unknown>>;
  readonly nodes: readonly Readonly<Record<string, unknown>>[];
  readonly caches: Readonly<Record<string, unknown>>;
}

describe('GET /_api/v2/cluster', () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate({ settings: { healthIntervalMs: 100 } });
  });
  after(() => gate.close());

  const read = async (): Promise<Body> =>
    (await gate.ask('GET', '/_api/v2/cluster', { as: gate.owner })).body as Body;

  it('tells state, latency and version of each node, and the checks of /readyz', async () => {
    await until(async () => (await read()).caches['invalidation_feed_up'] === true, 'the feed is up');
    const { ready, checks, nodes } = await read();
    assert.equal(ready, true);
    assert.deepEqual(checks, gate.running.readiness().checks);
    const [node] = nodes;
    assert.equal(nodes.length, 1);
    assert.equal(node?.['node'], new URL(gate.recorder.url).host);
    assert.equal(node['state'], 'up');
    assert.match(String(node['version']), /^3\.\d+\.\d+/);
    assert.equal(typeof node['latency_ms'], 'number');
    assert.equal(Date.parse(String(node['since'])) <= Date.now(), true);
  });

  it('says why a node is down, and that Couchgate is not ready', async () => {
    await gate.recorder.stop();
    await until(async () => (await read()).nodes[0]?.['state'] === 'down', 'the node is down');
    const { ready, nodes } = await read();
    assert.equal(ready, false);
    assert.match(String(nodes[0]?.['reason']), /ECONNREFUSED|ECONNRESET|connection|socket/);
    assert.equal(nodes[0]?.['version'], null);
    await gate.recorder.restart();
    await until(async () => (await read()).ready, 'the node is up again');
  });

  it('has the version of Couchgate, and the check of an embedded node, which has no settings', async () => {
    const answer = await gate.ask('GET', '/_api/v2/cluster', { as: gate.owner });
    const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
    assert.equal((answer.body as { version?: string }).version, version);
    const check = await gate.ask('GET', '/_api/v2/cluster/check', { as: gate.owner });
    const { nodes, folders } = check.body as Record<'nodes' | 'folders', readonly Record<string, unknown>[]>;
    const isEmbedded = process.env['COUCHDB_HOME'] === undefined;
    assert.deepEqual([check.status, nodes[0]?.['state']], [200, isEmbedded ? 'no settings' : 'checked']);
    assert.equal(
      folders.length >= 2 && folders.every(({ encryption }) => typeof encryption === 'string'),
      true,
    );
    assert.doesNotMatch(JSON.stringify(folders), /\//);
  });

  it('has no credential of a node, and is one line of the access log', async () => {
    const answer = await gate.ask('GET', '/_api/v2/cluster', { as: gate.owner });
    assert.doesNotMatch(JSON.stringify(answer.body), /@|password|secret/i);
    const id = answer.headers.get('x-couch-request-id');
    await until(async () => (await gate.accessLog()).some((line) => line['id'] === id), 'the line');
    const line = (await gate.accessLog()).find((each) => each['id'] === id);
    assert.deepEqual([line?.['operation'], line?.['needed']], ['api-cluster', 'owner']);
  });
});
