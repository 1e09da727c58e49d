// What an operator sees of starting and ending Couchgate as a process: first start, restart, refusals in one line.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PROGRAM, ROOT, startProgram, temporaryFolder, type Program } from '../support/program.ts';
import { until } from '../support/until.ts';

const password = (data: string): string => readFileSync(join(data, 'owner_password'), 'utf8').trim();

async function ask(
  url: string,
  method: string,
  path: string,
  name: string,
  secret: string,
  body?: object,
): Promise<number> {
  const answer = await fetch(url + path, {
    method,
    headers: {
      Authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  await answer.arrayBuffer();
  return answer.status;
}

describe('a first start without CouchDB', () => {
  const folder = temporaryFolder();
  const data = join(folder.path, 'data');
  let program: Program;
  before(() => {
    program = startProgram({ COUCHGATE_DATA: data });
  });
  after(async () => {
    await program.end('SIGKILL');
    folder.remove();
  });

  it('makes the data folder for this user alone, and shows the generated owner password once', async () => {
    await program.url;
    assert.equal(statSync(data).mode & 0o777, 0o700);
    assert.equal(statSync(join(data, 'owner_password')).mode & 0o777, 0o600);
    assert.equal(program.stderr().split(password(data)).length - 1, 1);
  });

  it('lets the owner in – PUT /kept – 201, PUT /kept/doc – 201', async () => {
    const url = await program.url;
    assert.equal(await ask(url, 'PUT', '/kept', 'admin', password(data)), 201);
    assert.equal(await ask(url, 'PUT', '/kept/doc', 'admin', password(data), { kept: true }), 201);
  });

  it('keeps databases, grants and secrets over kill -9, and then shows where the password is', async () => {
    await program.end('SIGKILL');
    program = startProgram({ COUCHGATE_DATA: data });
    const url = await program.url;
    assert.equal(await ask(url, 'GET', '/kept/doc', 'admin', password(data)), 200);
    assert.equal(program.stderr().includes(password(data)), false);
    assert.equal(program.stderr().includes(`with the password in ${join(data, 'owner_password')}.`), true);
    assert.match(program.stderr(), /Try in a second terminal/u);
  });

  it('shows the guide until the first API key exists', async () => {
    const url = await program.url;
    assert.equal(await ask(url, 'POST', '/_api/v2/api_keys', 'admin', password(data)), 201);
    await program.end('SIGTERM');
    program = startProgram({ COUCHGATE_DATA: data });
    await program.url;
    assert.match(program.stderr(), /owner_password/u);
    assert.doesNotMatch(program.stderr(), /Try in a second terminal/u);
  });

  it('writes its access log to stdout, without a credential', async () => {
    const url = await program.url;
    await ask(url, 'GET', '/kept/doc', 'admin', password(data));
    assert.equal(program.stdout().includes(password(data)), false);
    assert.equal((await program.end('SIGTERM')).code, 0);
    assert.match(program.stdout(), /"operation":"doc-get"/u);
  });
});

describe('a start that cannot be', () => {
  const folder = temporaryFolder();
  const taken = createServer();
  before(async () => {
    writeFileSync(join(folder.path, 'file'), '');
    mkdirSync(join(folder.path, 'config'));
    writeFileSync(join(folder.path, 'config', 'couchgate.yaml'), 'lissten: 127.0.0.1:1\nworkers: many\n');
    taken.listen(0, '127.0.0.1');
    await once(taken, 'listening');
  });
  after(() => {
    taken.close();
    folder.remove();
  });

  const data = join(folder.path, 'data');
  const cases: readonly (readonly [string, () => Record<string, string>, RegExp])[] = [
    [
      'its port is taken',
      () => ({
        COUCHGATE_DATA: data,
        COUCHGATE_LISTEN: `127.0.0.1:${(taken.address() as AddressInfo).port}`,
      }),
      /^couchgate: listen: 127\.0\.0\.1:\d+ is already in use; set COUCHGATE_LISTEN to another address$/mu,
    ],
    [
      'the port of its metrics is taken',
      () => ({
        COUCHGATE_DATA: data,
        COUCHGATE_METRICS_LISTEN: `127.0.0.1:${(taken.address() as AddressInfo).port}`,
      }),
      /^couchgate: metrics_listen: \S+ is already in use; set COUCHGATE_METRICS_LISTEN to another address$/mu,
    ],
    [
      'its address is not one of this machine',
      () => ({ COUCHGATE_DATA: data, COUCHGATE_LISTEN: '192.0.2.1:5984', COUCHGATE_EMBEDDED: 'on' }),
      /^couchgate: listen: 192\.0\.2\.1:5984 is not an address of this machine; set COUCHGATE_LISTEN/mu,
    ],
    [
      'other machines would reach an embedded node',
      () => ({ COUCHGATE_DATA: data, COUCHGATE_LISTEN: '0.0.0.0:0' }),
      /couchdb_nodes: is empty, but listen is 0\.0\.0\.0:0: an embedded node.*the configuration folder is \//u,
    ],
    [
      'it runs in production without CouchDB',
      () => ({ COUCHGATE_DATA: data, NODE_ENV: 'production' }),
      /couchdb_nodes: is empty, but NODE_ENV is production/u,
    ],
    [
      'its data folder cannot be made',
      () => ({ COUCHGATE_DATA: join(folder.path, 'file', 'data') }),
      /^couchgate: The data folder \S+ cannot be used \(ENOTDIR\)\./mu,
    ],
    [
      'its configuration has two mistakes: both are listed',
      () => ({ COUCHGATE_DATA: data, COUCHGATE_CONFIG: join(folder.path, 'config') }),
      /couchgate\.yaml:1.*lissten.*listen[\s\S]*couchgate\.yaml:2.*workers/u,
    ],
    [
      'CouchDB nodes are configured without the secret that they share with Couchgate',
      () => ({ COUCHGATE_DATA: data, COUCHGATE_COUCHDB_NODES: 'http://127.0.0.1:1' }),
      /jwt_secret.*is empty/iu,
    ],
  ];
  for (const [name, env, sentence] of cases) {
    it(`ends with a clear line and a code that is not 0 – ${name}`, async () => {
      const program = startProgram(env());
      assert.notEqual(await program.ended, 0);
      assert.match(program.stderr(), sentence);
      assert.doesNotMatch(program.stderr(), /\n\s+at /u, 'no stack');
      assert.ok(
        !existsSync(data),
        'a start that fails creates no secret: nobody would see the password again',
      );
    });
  }

  it('starts an embedded node all the same where the operator says so – COUCHGATE_EMBEDDED=on', async () => {
    const other = temporaryFolder();
    const program = startProgram({
      COUCHGATE_DATA: other.path,
      COUCHGATE_EMBEDDED: 'on',
      NODE_ENV: 'production',
    });
    await program.url;
    await program.end('SIGKILL');
    other.remove();
  });

  it('says what it does not know – couchgate nonsense – 2', async () => {
    const program = startProgram({}, ['nonsense']);
    assert.equal(await program.ended, 2);
    assert.match(program.stderr(), /unknown command nonsense/u);
  });
});

describe('several workers on the embedded node', () => {
  const folder = temporaryFolder();
  const data = join(folder.path, 'data');
  let program: Program;
  before(() => {
    program = startProgram({ COUCHGATE_DATA: data, COUCHGATE_WORKERS: '2' });
  });
  after(async () => {
    await program.end('SIGKILL');
    folder.remove();
  });

  it('lets a revoked key in nowhere, whichever worker is asked', async () => {
    const url = await program.url;
    const owner = password(data);
    const made = await fetch(`${url}/_api/v2/api_keys`, {
      method: 'POST',
      headers: { Authorization: `Basic ${Buffer.from(`admin:${owner}`).toString('base64')}` },
    });
    const { key, password: secret } = (await made.json()) as { key: string; password: string };
    const everywhere = async (): Promise<ReadonlySet<number>> =>
      new Set(await Promise.all(Array.from({ length: 12 }, () => ask(url, 'GET', '/_session', key, secret))));
    assert.deepEqual(await everywhere(), new Set([200]));
    assert.equal(await ask(url, 'DELETE', `/_api/v2/api_keys/${key}`, 'admin', owner), 200);
    assert.equal((await everywhere()).has(200), false);
  });

  it('ends on SIGTERM with 0', async () => {
    assert.equal((await program.end('SIGTERM')).code, 0);
  });
});

describe('SIGHUP', () => {
  const folder = temporaryFolder();
  after(() => folder.remove());

  it('during the start does not end Couchgate', async () => {
    // CouchDB is away, so that the start takes a while.
    const program = startProgram({
      COUCHGATE_DATA: join(folder.path, 'away'),
      COUCHGATE_COUCHDB_NODES: 'http://127.0.0.1:9',
      COUCHGATE_JWT_SECRET: Buffer.alloc(32, 7).toString('base64'),
    });
    try {
      await once(program.child.stderr ?? program.child, 'data');
      program.child.kill('SIGHUP');
      assert.match(await program.url, /^http/u);
    } finally {
      await program.end('SIGKILL');
    }
  });

  it('ends Couchgate if its terminal was closed', { skip: !existsSync('/usr/bin/script') }, async () => {
    const data = join(folder.path, 'terminal');
    const command = [process.execPath, ...PROGRAM].map((word) => `'${word}'`);
    const terminal = spawn('/usr/bin/script', ['-qec', `exec ${command.join(' ')}`, '/dev/null'], {
      cwd: ROOT,
      env: {
        ...process.env,
        COUCHGATE_DATA: data,
        COUCHGATE_LISTEN: '127.0.0.1:0',
        COUCHGATE_METRICS_LISTEN: 'off',
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let shown = '';
    terminal.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString()));
    await until(() => /Couchgate listens on http:\/\/\S+/u.test(shown), 'Couchgate listens');
    const url = /Couchgate listens on (http:\/\/[^\s]+)/u.exec(shown)?.[1] ?? '';
    assert.equal((await fetch(`${url}/_up`)).status, 200);
    terminal.kill('SIGKILL');
    await until(
      () =>
        fetch(`${url}/_up`).then(
          () => false,
          () => true,
        ),
      'Couchgate ends',
    );
  });
});
