// H31: a monitor reads numbers about the cluster, and nothing else: no document, no change, no setting, no password. CouchDB
// gets its requests with the least privilege that there is.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { markersOf } from '../../src/principal/marker.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

/** What the agents ask for. Read in their source: see docs/monitoring.md. */
const AGENTS: Readonly<Record<string, readonly string[]>> = {
  'the couchdb input of Telegraf': ['/_node/_local/_stats'],
  'the couch check of the Datadog agent': [
    '/',
    '/_membership',
    '/_node/{node}/_stats',
    '/_node/{node}/_system',
    '/_active_tasks',
    '/_all_dbs',
    '/{db}',
    '/{db}/_design/app/_info',
  ],
  'couchdb-prometheus-exporter': [
    '/',
    '/_up',
    '/_all_dbs',
    '/_node/_local',
    '/_membership',
    '/_node/{node}/_stats',
    '/_node/{node}/_system',
    '/{db}',
    '/_scheduler/jobs',
    '/_active_tasks',
    '/_node/_local/_active_tasks',
  ],
  'Prometheus itself': ['/_node/_local/_prometheus'],
};

describe('H31 server grants', () => {
  let backend: Backend;
  let gate: Couchgate;
  let monitor: Credentials;
  let node: string;
  const started = closedAfterSuite();

  const grantPath = (name: string): string => `/_api/v2/server_grants/${encodeURIComponent(name)}`;

  async function grant(to: Credentials): Promise<void> {
    const body = { roles: ['_monitor'] };
    const { status } = await gate.ask('PUT', grantPath(to.name), { as: gate.owner, body });
    assert.equal(status, 201);
  }

  const statusOf = async (method: string, path: string, body?: unknown, as = monitor): Promise<number> =>
    (await gate.ask(method, path, { as, ...(body === undefined ? {} : { body }) })).status;

  before(async () => {
    backend = await started(startBackend());
    gate = await started(startCouchgate({ backend }));
    monitor = await gate.key();
    await grant(monitor);
    await gate.database('h31-marked', { somebody: ['_reader'] });
    const design = { views: { v: { map: 'function (doc) { emit(doc._id) }' } } };
    const put = await gate.ask('PUT', '/h31-marked/_design/app', { as: gate.owner, body: design });
    assert.equal(put.status, 201);
    await gate.database('h31-new');
    await gate.database('h31-couchdb');
    const body = { couchdb_auth_only: true, members: { names: ['x'] }, admins: { names: ['x'] } };
    await gate.ask('PUT', '/h31-couchdb/_security', { as: gate.owner, body });
    const { body: membership } = await gate.ask('GET', '/_membership', { as: gate.owner });
    [node = ''] = (membership as { cluster_nodes: string[] }).cluster_nodes;
  });

  for (const [agent, paths] of Object.entries(AGENTS))
    for (const path of paths)
      it(`opens to a monitor what ${agent} asks for – GET ${path}`, async () => {
        const target = path.replace('{node}', node).replace('{db}', 'h31-marked');
        const asOwner = await gate.ask('GET', target, { as: gate.owner });
        const { status } = await gate.ask('GET', target, { as: monitor });
        // The embedded node has no /_prometheus.
        assert.equal(status, backend.kind === 'embedded' ? asOwner.status : 200);
        assert.ok(status === 200 || status === 501, String(status));
        assert.equal(await statusOf('HEAD', target), status);
      });

  it('has the privilege of its endpoint at CouchDB, and no more', async () => {
    gate.recorder.takeEverything();
    const ways: readonly [path: string, roles: readonly string[]][] = [
      ['/_node/_local/_stats', ['_metrics']],
      ['/_node/_local/_system', ['_metrics']],
      ['/_node/_local/_prometheus', ['_metrics']],
      ['/h31-marked', [markersOf('h31-marked').member]],
      ['/h31-marked/_design/app/_info', [markersOf('h31-marked').member]],
    ];
    for (const [path, roles] of ways) {
      await statusOf('GET', path);
      const sent = gate.recorder.takeEverything().find(({ url }) => url === path);
      assert.deepEqual(sent?.claims?.roles, roles, path);
    }
  });

  it('reads the size of every ordinary database, and lists them – GET /_all_dbs', async () => {
    for (const database of ['h31-marked', 'h31-new', 'h31-couchdb'])
      assert.equal(await statusOf('GET', `/${database}`), 200, database);
    assert.equal(await statusOf('GET', '/h31-missing'), 404);
    assert.equal(await statusOf('GET', '/couchgate'), 403);
    const { body } = await gate.ask('GET', '/_all_dbs', { as: monitor });
    const names = body as string[];
    for (const database of ['h31-marked', 'h31-new', 'h31-couchdb'])
      assert.equal(names.includes(database), true);
    assert.ok(
      names.every((name) => !name.startsWith('_') && !name.startsWith('couchgate')),
      names.join(),
    );
    const info = await gate.ask('GET', '/_dbs_info', { as: monitor });
    assert.equal(info.status, 200);
    assert.deepEqual(
      (info.body as { key: string }[]).map(({ key }) => key),
      names,
    );
  });

  it('reads no document, no change, no setting, and writes nothing – 403', async () => {
    await gate.ask('PUT', '/h31-marked/doc', { as: gate.owner, body: {} });
    gate.recorder.takeEverything();
    const refused: readonly [method: string, path: string, body?: unknown][] = [
      ['GET', '/h31-marked/doc'],
      ['GET', '/h31-marked/_all_docs'],
      // Datadog's list of design documents.
      ['GET', '/h31-marked/_all_docs?startkey=%22_design/%22&endkey=%22_design0%22'],
      ['GET', '/h31-marked/_design_docs'],
      ['GET', '/h31-marked/_design/app'],
      ['GET', '/h31-marked/_design/app/_view/v'],
      ['GET', '/h31-marked/_changes'],
      ['GET', '/h31-marked/_security'],
      ['GET', '/h31-marked/_shards'],
      ['GET', '/h31-marked/_local/x'],
      ['POST', '/h31-marked/_find', { selector: {} }],
      ['PUT', '/h31-marked/other', {}],
      ['POST', '/h31-marked', {}],
      ['POST', '/h31-marked/_compact', {}],
      ['DELETE', '/h31-marked'],
      ['PUT', '/h31-other'],
      ['PUT', '/h31-marked/_security', {}],
      ['GET', '/_node/_local/_config'],
      ['GET', '/_node/_local/_config/admins'],
      ['GET', '/_node/_local/_smoosh/status'],
      ['PUT', '/_node/_local/_config/a/b', 'c'],
      ['POST', '/_node/_local/_restart', {}],
      ['GET', '/_reshard'],
      ['GET', '/_db_updates'],
      ['GET', '/_users'],
      ['GET', '/_users/_all_docs'],
      ['GET', '/_replicator'],
      ['GET', '/_replicator/_all_docs'],
      ['GET', '/_api/v2/api_keys'],
      ['GET', '/_api/v2/server_grants'],
      ['PUT', grantPath('other'), { roles: ['_monitor'] }],
      ['POST', '/_replicate', { source: 'h31-marked', target: 'h31-new' }],
    ];
    for (const [method, path, body] of refused)
      assert.equal(await statusOf(method, path, body), 403, `${method} ${path}`);
    const forwarded = gate.recorder.takeEverything().filter(({ claims }) => claims?.sub === monitor.name);
    assert.deepEqual(forwarded, [], 'CouchDB gets nothing in its name');
  });

  it('gets no password of a replication – GET /_scheduler/docs, /_scheduler/jobs, /_active_tasks', async () => {
    const secret = 'h31-secret-password';
    const job = {
      source: `http://someone:${secret}@127.0.0.1:9/h31-a`,
      target: { url: `http://other:${secret}@127.0.0.1:9/h31-b`, headers: { 'X-Key': secret } },
      continuous: true,
    };
    // Past Couchgate, which refuses these addresses.
    const at = `${backend.urls[0] ?? ''}/_replicator/h31-job`;
    const headers = { authorization: basic(backend.owner), 'content-type': 'application/json' };
    const put = await fetch(at, { method: 'PUT', headers, body: JSON.stringify(job) });
    assert.equal(put.status, 201, await put.text());
    const read = (path: string) => gate.ask('GET', path, { as: monitor });
    await until(async () => JSON.stringify((await read('/_scheduler/docs')).body).includes('h31-job'));
    for (const path of [
      '/_scheduler/docs',
      '/_scheduler/docs/_replicator',
      '/_scheduler/docs/_replicator/h31-job',
      '/_scheduler/jobs',
      '/_active_tasks',
      '/_node/_local/_active_tasks',
    ]) {
      const { status, body } = await read(path);
      assert.equal(status, 200, path);
      assert.ok(!JSON.stringify(body).includes(secret), path);
    }
    const { _rev: rev } = (await (await fetch(at, { headers })).json()) as { _rev: string };
    await fetch(`${at}?rev=${rev}`, { method: 'DELETE', headers });
  });

  it('ends with its revocation – DELETE /_api/v2/server_grants/{principal}', async () => {
    const other = await gate.key();
    await grant(other);
    assert.equal(await statusOf('GET', '/_active_tasks', undefined, other), 200);
    const { status } = await gate.ask('DELETE', grantPath(other.name), { as: gate.owner });
    assert.equal(status, 200);
    assert.equal(await statusOf('GET', '/_active_tasks', undefined, other), 403);
    assert.equal(await statusOf('GET', '/h31-marked', undefined, other), 403);
    const { body } = await gate.ask('GET', '/_all_dbs', { as: other });
    assert.deepEqual(body, []);
    assert.equal((await gate.ask('DELETE', grantPath(other.name), { as: gate.owner })).status, 404);
  });

  it('is in force and ends on another replica too', async () => {
    const second = await started(startCouchgate({ backend }));
    const other = await gate.key();
    const status = async (): Promise<number> =>
      (await second.ask('GET', '/_membership', { as: other })).status;
    await until(async () => (await status()) === 403);
    await grant(other);
    await until(async () => (await status()) === 200);
    await gate.ask('DELETE', grantPath(other.name), { as: gate.owner });
    await until(async () => (await status()) === 403);
  });

  it('is refused with every problem named – PUT /_api/v2/server_grants/{principal} – 400', async () => {
    const body = { roles: ['_monitor', '_admin'], until: 'x' };
    const answer = await gate.ask('PUT', grantPath('nobody'), { as: gate.owner, body });
    assert.equal(answer.status, 400);
    const { reason } = answer.body as { reason: string };
    for (const problem of ['nobody', '_monitor', '"until"']) assert.ok(reason.includes(problem), reason);
    for (const roles of [[], ['_reader'], '_monitor', undefined])
      assert.equal(
        (await gate.ask('PUT', grantPath('x'), { as: gate.owner, body: { roles } })).status,
        400,
        JSON.stringify(roles),
      );
  });
});
