// Compare-and-swap of permissions through nginx that compresses: it weakens the ETag, so `X-Couchgate-Revision` counts.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { basic, startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';

const NGINX = process.env['NGINX'] ?? '/usr/sbin/nginx';
const isInstalled = spawnSync(NGINX, ['-v'], { stdio: 'ignore' }).status === 0;

describe('permissions behind nginx with gzip', { skip: !isInstalled && 'nginx is not installed' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-nginx-'));
  let gate: Couchgate;
  let nginx: ChildProcess;
  let port: number;
  let output = '';

  before(async () => {
    gate = await startCouchgate({ settings: { trustedProxies: ['127.0.0.1/32'] } });
    port = await freePort();
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    );
    const location = `location / { proxy_pass ${gate.url}; proxy_http_version 1.1; proxy_set_header Host $http_host; }`;
    const gzip = 'gzip on; gzip_types application/json; gzip_min_length 1; gzip_proxied any;';
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off; master_process off; error_log stderr; pid ${folder}/pid; events {}
       http { access_log off; ${temporary.join(' ')} ${gzip}
         server { listen 127.0.0.1:${port}; ${location} } }`,
    );
    nginx = spawn(NGINX, ['-c', join(folder, 'nginx.conf'), '-p', folder], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    nginx.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await until(async () => {
      assert.equal(nginx.exitCode, null, output);
      return await fetch(`http://127.0.0.1:${port}/_up`).then(
        ({ status }) => status === 200,
        () => false,
      );
    }, 'nginx listens');
  });
  after(async () => {
    nginx.kill('SIGKILL');
    if (nginx.exitCode === null && nginx.signalCode === null) await once(nginx, 'exit');
    await gate.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function ask(
    path: string,
    options: { method?: string; body?: object; headers?: Record<string, string> } = {},
  ) {
    const { method = 'GET', body, headers } = options;
    return fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: {
        Authorization: basic(gate.owner),
        'Accept-Encoding': 'gzip',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  for (const path of ['/nginx/_security', '/_api/v2/db/nginx/_security'])
    it(`changes exactly the state that was read – GET and PUT ${path} – 200, then 412`, async () => {
      await gate.ask('PUT', '/nginx', { as: gate.owner });
      await gate.grant('nginx', { ann: ['_reader'] });
      const read = await ask(path);
      assert.equal(read.headers.get('content-encoding'), 'gzip', 'nginx compresses');
      const [tag, revision] = [read.headers.get('etag'), read.headers.get('x-couchgate-revision')];
      assert.equal(tag, `W/"${revision ?? ''}"`, 'nginx weakens the tag');
      const body = (name: string): object => ({ cloudant: { [name]: ['_reader'] } });
      const done = await ask(`${path}?rev=${revision ?? ''}`, { method: 'PUT', body: body('bob') });
      assert.equal(done.status, 200);
      const next = done.headers.get('x-couchgate-revision') ?? '';
      assert.notEqual(next, revision);
      const stale = await ask(`${path}?rev=${revision ?? ''}`, { method: 'PUT', body: body('eve') });
      assert.equal(stale.status, 412);
      for (const [match, status] of [
        [tag, 412],
        [`W/"${next}"`, 200],
      ] as const)
        assert.equal(
          (await ask(path, { method: 'PUT', body: body('joe'), headers: { 'If-Match': match } })).status,
          status,
          match,
        );
      assert.deepEqual(((await (await ask(path)).json()) as { cloudant: unknown }).cloudant, {
        joe: ['_reader'],
      });
    });
});
