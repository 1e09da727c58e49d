// Tests the embedded node after kill -9, with malformed requests and with concurrent requests.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { startEmbeddedNode } from '../../src/embedded/index.ts';
import { AS_OWNER, Client, KEYS, OWNER } from './client.ts';

/** Starts a node in its own process with a folder; resolves when it listens. */
async function startProcess(folder: string): Promise<{ child: ChildProcess; client: Client }> {
  const program = new URL('node-process.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, ['--import', 'tsx', program, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const [url] = (await once(lines, 'line')) as [string];
  return { child, client: new Client({ url, close: () => Promise.resolve() }) };
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

describe('embedded node with a folder', () => {
  const folder = mkdtempSync(join(tmpdir(), 'embedded-'));
  after(() => rmSync(folder, { recursive: true }));

  it('keeps documents, attachments, users, permissions and views after kill -9', async () => {
    const first = await startProcess(folder);
    const { client } = first;
    const security = { members: { roles: ['m'] }, cloudant: { k: ['_reader'] } };
    await client.send('PUT', '/kept%2Fslash');
    await client.send('PUT', '/kept%2Fslash/_security', { body: security });
    await client.send('PUT', '/kept%2Fslash/doc', { body: { x: 1 } });
    await client.send('PUT', '/kept%2Fslash/att/file', { body: Buffer.alloc(100_000, 1) });
    await client.send('PUT', '/kept%2Fslash/_local/l', { body: { l: 1 } });
    const views = { v: { map: 'function (doc) { emit(doc._id); }' } };
    await client.send('PUT', '/kept%2Fslash/_design/d', { body: { views } });
    await client.send('GET', '/kept%2Fslash/_design/d/_view/v');
    await client.send('PUT', '/removed');
    await client.send('DELETE', '/removed');
    await client.send('PUT', '/_users/org.couchdb.user:u', {
      body: { name: 'u', type: 'user', roles: [], password: 'p' },
    });
    const written = await client.send('POST', '/kept%2Fslash/_bulk_docs', {
      body: { docs: [{ _id: 'last' }] },
    });
    assert.equal(written.status, 201);
    await kill(first.child);

    const second = await startProcess(folder);
    try {
      const get = async (path: string) => (await second.client.send('GET', path)).json;
      assert.deepEqual(await get('/_all_dbs'), ['_replicator', '_users', 'kept/slash']);
      assert.deepEqual(await get('/kept%2Fslash/_security'), security);
      const view = await second.client.send('GET', '/kept%2Fslash/_design/d/_view/v');
      assert.equal(view.at('total_rows'), 3);
      for (const path of ['doc', 'att', '_local/l', 'last'])
        assert.equal((await second.client.send('GET', `/kept%2Fslash/${path}`)).status, 200, path);
      const file = await second.client.send('GET', '/kept%2Fslash/att/file');
      assert.equal(file.text.length, 100_000);
      assert.equal(
        (await second.client.send('POST', '/_session', { body: { name: 'u', password: 'p' } })).status,
        200,
      );

      // The other process still holds LevelDB's lock.
      await assert.rejects(
        startEmbeddedNode({ folder, owner: OWNER, jwtKeys: KEYS }),
        /^Error: The folder of the embedded node cannot be opened: .*Another process is using it\.$/,
      );
    } finally {
      await kill(second.child);
    }
  });

  it('can be opened, closed and opened again in one process', async () => {
    for (let i = 0; i < 2; i += 1) {
      const client = await Client.start(folder);
      assert.equal((await client.send('GET', '/kept%2Fslash/doc')).at('x'), 1);
      await client.node.close();
    }
  });

  it('deletes the folders of an interrupted deletion and keeps the others', async () => {
    const orphan = join(folder, 'db-0123456789abcdef');
    mkdirSync(orphan);
    const client = await Client.start(folder);
    assert.equal(existsSync(orphan), false);
    assert.equal((await client.send('GET', '/kept%2Fslash/_design/d/_view/v')).at('total_rows'), 3);
    await client.node.close();
  });

  it('rejects if the port is in use and releases the folder – startEmbeddedNode – EADDRINUSE', async () => {
    const taken = await Client.start();
    const port = Number(new URL(taken.node.url).port);
    await assert.rejects(startEmbeddedNode({ folder, owner: OWNER, jwtKeys: KEYS, port }), /EADDRINUSE/);
    await taken.node.close();
    await (await Client.start(folder)).node.close();
  });
});

describe('embedded node: malformed requests', () => {
  let client: Client;
  before(async () => {
    client = await Client.start();
    await client.send('PUT', '/db');
    await client.send('PUT', '/db/d1', { body: { a: 1 } });
  });
  after(() => client.node.close());

  const nested = (depth: number) => `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  const bodies = [
    '{"__proto__":{"polluted":1}}',
    '{"constructor":1,"toString":2,"hasOwnProperty":3,"then":4}',
    '{"_attachments":{"__proto__":{"data":""}}}',
    '{"_attachments":{"constructor":{"data":""}}}',
    '{"_attachments":{"a":{"data":"","digest":5,"length":"x","revpos":"z","stub":"q"}}}',
    '{"_attachments":{"a":{"stub":true,"digest":"md5-x","revpos":1}}}',
    '{"_revisions":{"start":-1,"ids":["a"]},"_rev":"1-a"}',
    '{"_revisions":{"start":1e15,"ids":["a"]},"_rev":"1000000000000000-a"}',
    '{"_revisions":{"start":1,"ids":["a","b","c"]},"_rev":"1-a"}',
    '{"_rev":"0-a"}',
    '{"_deleted":1}',
    nested(150),
    nested(100_000),
    '{"\\u0000":1,"\\ud800":2}',
    '[',
    '\u0000',
  ];
  const ids = [
    '__proto__',
    'constructor',
    'a%00b',
    '%EF%BF%BF',
    '_design%2Fq',
    '_local/__proto__',
    '%ED%A0%80',
    '..',
    '%FF',
  ];

  it('answers malformed documents with a status below 500 – PUT and _bulk_docs', async () => {
    for (const id of ids) {
      for (const body of bodies) {
        for (const query of ['', '?new_edits=false']) {
          const { status, text } = await client.send('PUT', `/db/${id}${query}`, { body });
          assert.ok(status < 500, `${id} ${body.slice(0, 60)}: ${text}`);
        }
      }
      for (const query of [
        '',
        '?open_revs=all',
        '?revs=true&revs_info=true&conflicts=true&attachments=true',
      ]) {
        const { status, text } = await client.send('GET', `/db/${id}${query}`);
        assert.ok(status < 500, `${id}${query}: ${text}`);
      }
    }
    const batches = bodies.map((body) => `{"docs":[${body}]}`);
    for (const body of batches) {
      const headers = { ...AS_OWNER, 'content-type': 'application/json' };
      assert.ok(
        (await client.send('POST', '/db/_bulk_docs', { headers, body })).status < 500,
        body.slice(0, 60),
      );
    }
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  });

  it('answers malformed Mango queries with a status below 500, or 501 – POST /db/_find', async () => {
    const values = [null, true, -1, '', '__proto__', '(', '(a+)+$', [], {}, [[]], [{}], { $gt: {} }];
    const operators = [
      '$in',
      '$or',
      '$and',
      '$not',
      '$regex',
      '$mod',
      '$size',
      '$type',
      '$elemMatch',
      '$all',
      '__proto__',
    ];
    for (const value of values) {
      for (const operator of operators) {
        for (const selector of [{ a: { [operator]: value } }, { [operator]: value }]) {
          const { status, text } = await client.send('POST', '/db/_find', { body: { selector } });
          assert.ok(status < 500 || status === 501, `${JSON.stringify(selector)}: ${text}`);
        }
      }
      for (const member of ['sort', 'fields', 'limit', 'use_index']) {
        const body = { selector: { a: 1 }, [member]: value };
        assert.ok((await client.send('POST', '/db/_find', { body })).status < 500, JSON.stringify(body));
      }
      for (const index of [
        { fields: value },
        { fields: [value] },
        { fields: ['a'], partial_filter_selector: value },
      ]) {
        const { status } = await client.send('POST', '/db/_index', { body: { index } });
        assert.ok(status < 500, JSON.stringify(index));
      }
    }
  });

  it('keeps serving after aborted connections and invalid framing', async () => {
    const head = `Host: x\r\nAuthorization: ${AS_OWNER['authorization'] ?? ''}\r\n`;
    const raw = [
      'garbage\r\n\r\n',
      `PUT /db/c HTTP/1.1\r\n${head}Content-Length: 1000\r\n\r\n{"a":`,
      `PUT /db/c HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\nZZ`,
      `PUT /db/c/att HTTP/1.1\r\n${head}Content-Length: 100000\r\n\r\nabc`,
      `PUT /db/c HTTP/1.1\r\n${head}Content-Type: multipart/related; boundary=\r\nContent-Length: 3\r\n\r\nabc`,
      `PUT /db/c HTTP/1.1\r\n${head}Content-Type: multipart/related; boundary="a"\r\nContent-Length: 8\r\n\r\n--a\r\n--a`,
      `GET /db/_changes?feed=continuous HTTP/1.1\r\n${head}\r\n`,
      'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n',
      'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n',
      `GET /${'a'.repeat(70_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    ];
    const port = Number(new URL(client.node.url).port);
    for (const text of raw) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      await new Promise((resolve) => socket.write(text, resolve));
      socket.destroy();
      assert.equal((await client.send('GET', '/_up')).status, 200);
    }
  });

  it('keeps serving while one database is created, written, read and deleted concurrently', async () => {
    for (let i = 0; i < 10; i += 1) {
      const answers = await Promise.all([
        client.send('PUT', '/race'),
        client.send('PUT', '/race'),
        client.send('PUT', '/race/doc', { body: {} }),
        client.send('POST', '/race/_bulk_docs', { body: { docs: Array.from({ length: 100 }, () => ({})) } }),
        client.send('GET', '/race/_all_docs'),
        client.send('DELETE', '/race'),
        client.send('GET', '/race/_changes?feed=longpoll&timeout=20'),
        client.send('DELETE', '/race'),
      ]);
      assert.equal(
        answers.every(({ status }) => status < 500),
        true,
      );
    }
    assert.equal((await client.send('GET', '/db/d1')).status, 200);
  });
});
