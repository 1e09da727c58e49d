// The stack of docker-compose.yml on a container engine: first start, what is published, which networks reach
// what, a node that is killed, a restart, a broken node, and the pipe into `couchgate audit`.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { audit } from '../../src/cli/audit.ts';
import { until } from '../support/until.ts';
import { stackOf, withoutEngine } from './engine.ts';

const NODES = ['couchdb1', 'couchdb2', 'couchdb3'];

/** The addresses of this machine that other machines may reach. */
const HOST_ADDRESSES = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .filter(({ family, internal }) => family === 'IPv4' && !internal)
  .map(({ address }) => address);

describe('the stack of docker-compose.yml', { skip: withoutEngine }, () => {
  const stack = stackOf(`couchgate-test-${process.pid}`);
  let url = '';
  let owner = '';

  /** Sends a request to Couchgate; as the owner if no credentials are given. */
  async function ask(
    method: string,
    path: string,
    { body, as = owner }: { readonly body?: unknown; readonly as?: string } = {},
  ): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }> {
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (as !== '') headers['authorization'] = `Basic ${Buffer.from(as).toString('base64')}`;
    const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const response = await fetch(`${url}${path}`, init);
    return { status: response.status, body: (await response.json()) as Readonly<Record<string, unknown>> };
  }

  async function up(): Promise<void> {
    const { code, stderr } = await stack.compose('up', '-d');
    assert.equal(code, 0, stderr);
    await until(async () => (await stack.healthOf('couchgate')) === 'healthy', 'Couchgate is healthy');
    url = `http://${await stack.published()}`;
  }

  before(async () => {
    await up();
    const { stdout } = await stack.compose('run', '--rm', 'owner');
    owner = `admin:${stdout.trim()}`;
  });
  after(async () => {
    await stack.compose('down', '--volumes', '--remove-orphans');
  });

  it('serves the walk-through: a database, a key, a grant', async () => {
    for (const node of NODES)
      await until(async () => (await stack.healthOf(node)) === 'healthy', `${node} is healthy`);
    assert.equal((await ask('PUT', '/fruit')).status, 201);
    assert.equal((await ask('PUT', '/fruit/apple', { body: { colour: 'red' } })).status, 201);
    const { body: key } = await ask('POST', '/_api/v2/api_keys', { body: { label: 'sensor' } });
    const as = `${String(key['key'])}:${String(key['password'])}`;
    assert.equal((await ask('GET', '/fruit/apple', { as })).status, 403);
    const couchdb_auth_only = false;
    const cloudant = { [String(key['key'])]: ['_reader'] };
    const granted = await ask('PUT', '/_api/v2/db/fruit/_security', {
      body: { couchdb_auth_only, cloudant },
    });
    assert.equal(granted.status, 200);
    await until(async () => (await ask('GET', '/fruit/apple', { as })).status === 200, 'the key may read');
    assert.equal((await ask('PUT', '/fruit/pear', { as, body: {} })).status, 403);
    assert.equal((await ask('GET', '/fruit/apple', { as: '' })).status, 401);
  });

  it('serves the dashboard', async () => {
    const page = await fetch(`${url}/_dashboard/`);
    assert.equal(page.status, 200);
    assert.match(await page.text(), /<script type="module"/u);
  });

  it('publishes Couchgate on loopback of IPv4 alone', async () => {
    const [host, port] = (await stack.published()).split(':');
    assert.equal(host, '127.0.0.1');
    for (const address of ['[::1]', ...HOST_ADDRESSES])
      await assert.rejects(fetch(`http://${address}:${port}/`), `${address} answers`);
    for (const node of NODES) assert.equal((await stack.compose('port', node, '5984')).stdout.trim(), '');
  });

  it('lets nothing but Couchgate reach CouchDB, and CouchDB reach nothing', async () => {
    for (const node of NODES) {
      const container = await stack.containerOf(node);
      const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}';
      const [address = ''] = (await stack.engine('inspect', '-f', format, container)).stdout.split(' ');
      assert.notEqual(address, '');
      // Another machine may answer at that address. CouchDB names itself.
      const answer = await fetch(`http://${address}:5984/`, { signal: AbortSignal.timeout(3000) }).then(
        (response) => response.headers.get('server') ?? '',
        () => '',
      );
      assert.doesNotMatch(answer, /CouchDB/u);
    }
    const host = createServer((_req, res) => res.end('the host'));
    host.listen(0, '0.0.0.0');
    await once(host, 'listening');
    const { port } = host.address() as AddressInfo;
    try {
      for (const address of HOST_ADDRESSES) {
        const request = `exec 3<>/dev/tcp/${address}/${port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`;
        const from = ['exec', '-T', 'couchdb1', 'timeout', '3', 'bash', '-c', request];
        assert.doesNotMatch((await stack.compose(...from)).stdout, /the host/u);
      }
    } finally {
      host.close();
    }
  });

  it('goes on when one node is killed, and takes it back', async () => {
    await stack.engine('kill', await stack.containerOf('couchdb2'));
    const ids = Array.from({ length: 100 }, (_, index) => `under-load-${index}`);
    const written = await Promise.all(ids.map((id) => ask('PUT', `/fruit/${id}`, { body: {} })));
    // 502: the node died with the request, so its outcome is unknown.
    for (const { status } of written) assert.ok([201, 202, 502].includes(status), `status ${status}`);
    const acknowledged = ids.filter((_, index) => written[index]?.status !== 502);
    const reads = await Promise.all(acknowledged.map((id) => ask('GET', `/fruit/${id}`)));
    assert.deepEqual(
      reads.filter(({ status }) => status !== 200),
      [],
    );
    assert.equal((await stack.compose('up', '-d')).code, 0);
    await until(async () => (await stack.healthOf('couchdb2')) === 'healthy', 'the node is back');
  });

  it('finishes what runs when it is told to stop', async () => {
    const feed = await fetch(`${url}/fruit/_changes?feed=continuous&since=now`, {
      headers: { authorization: `Basic ${Buffer.from(owner).toString('base64')}` },
    });
    const stopped = stack.compose('stop', 'couchgate');
    await feed.text();
    assert.equal((await stopped).code, 0);
    const state = await stack.engine(
      'inspect',
      '-f',
      '{{.State.ExitCode}}',
      (await stack.compose('ps', '-a', '-q', 'couchgate')).stdout.trim(),
    );
    assert.equal(state.stdout.trim(), '0');
    await up();
  });

  it('keeps data and volumes over down and up, twice', async () => {
    const volumes = await stack.volumes();
    for (let round = 0; round < 2; round += 1) {
      assert.equal((await stack.compose('down')).code, 0);
      await up();
    }
    assert.equal((await ask('GET', '/fruit/apple')).status, 200);
    assert.deepEqual([...(await stack.volumes())].sort(), [...volumes].sort());
  });

  it('starts with one broken node of three', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'couchgate-compose-'));
    const file = join(folder, 'broken.yml');
    writeFileSync(file, JSON.stringify({ services: { couchdb3: { entrypoint: ['false'] } } }));
    assert.equal((await stack.compose('down')).code, 0);
    const { code, stderr } = await stack.composeWith(file, 'up', '-d');
    rmSync(folder, { recursive: true });
    assert.equal(code, 0, stderr);
    await until(async () => (await stack.healthOf('couchgate')) === 'healthy', 'Couchgate is healthy');
    url = `http://${await stack.published()}`;
    assert.equal((await ask('GET', '/fruit/apple')).status, 200);
    await up();
  });

  it('pipes its log into `couchgate audit`, with the prefix of the engine or without', async () => {
    assert.equal((await ask('GET', '/fruit/apple', { as: '' })).status, 401);
    for (const words of [
      ['logs', 'couchgate'],
      ['logs', '--no-log-prefix', 'couchgate'],
    ]) {
      const logs = await stack.compose(...words);
      assert.equal(logs.code, 0, logs.stderr);
      const stdout = new PassThrough();
      const stderr = new PassThrough();
      const code = await audit(['--decision', 'deny', '--operation', 'doc-get'], {
        env: {},
        stdin: Readable.from([logs.stdout]),
        stdout,
        stderr,
      });
      stdout.end();
      assert.equal(code, 0);
      assert.match(await text(stdout), /"statusCode":401/u);
    }
  });
});
