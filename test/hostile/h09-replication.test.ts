// H9: a replication job runs inside CouchDB's network, with headers and credentials of its writer's choice, and belongs to whoever wrote it last.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type CouchAnswer } from '../../src/couch/couch.ts';
import { guardReplication } from '../../src/guard/replication.ts';
import { createReplicationHosts, type ReplicationHosts } from '../../src/guard/replication-hosts.ts';
import { type Request, type Response } from 'express';
import { type Identified } from '../../src/context.ts';
import { attachContext, testBodies } from '../support/bodies.ts';
import { startPolicyFront } from '../support/policy-front.ts';
import { asHttpError } from '../../src/respond.ts';
import { until } from '../support/until.ts';

/** What names resolve to here; every other name does not. */
const DNS: Readonly<Record<string, readonly string[]>> = {
  'far.example': ['93.184.216.34', '2606:2800:220:1:248:1893:25c8:1946'],
  'two-faced.example': ['93.184.216.34', '10.0.0.7'],
  'node1.example': ['198.41.0.4'],
  'alias-of-node1.example': ['198.41.0.4'],
  'partner.internal': ['10.9.9.9'],
};
const PUBLIC_URL = 'https://gate.example:8443';
const FAR = 'https://far.example/db';

const identified: Readonly<Record<string, Identified>> = {
  key: { principal: { kind: 'key', name: 'mykey' }, method: 'basic' },
  cookie: { principal: { kind: 'user', name: 'ann', roles: [] }, method: 'cookie' },
  nobody: { principal: { kind: 'nobody', name: 'nobody' }, method: 'none' },
  owner: { principal: { kind: 'owner', name: 'admin', roles: ['_admin'] }, method: 'basic' },
};

/** Jobs that exist, by id. */
const EXISTING: Readonly<Record<string, { readonly owner?: string }>> = {
  mine: { owner: 'mykey' },
  theirs: { owner: 'somebody' },
  unowned: {},
};

function ask({ body }: { readonly body?: unknown }): Promise<CouchAnswer> {
  const { keys } = body as { readonly keys: readonly string[] };
  const rows = keys.map((key) =>
    EXISTING[key] === undefined
      ? { key, error: 'not_found' }
      : { id: key, key, value: { rev: '1-a' }, doc: { _id: key, ...EXISTING[key] } },
  );
  return Promise.resolve({ status: 200, body: { rows } });
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

describe('H9: replication jobs', () => {
  const resolved: string[] = [];
  let publicUrl = PUBLIC_URL;
  const parameters = {
    bodies: testBodies(),
    couch: { ask },
    couchdbNodes: ['http://node1.example:5984', 'http://partner.internal:5984'],
    replicationHosts: 'partner.internal',
    limitBytes: 24_000_000,
    resolve: (name: string) => {
      resolved.push(name);
      if (/^[\d.]+$|:/u.test(name)) return Promise.resolve([name]);
      return name in DNS ? Promise.resolve(DNS[name] ?? []) : Promise.reject(new Error('no such name'));
    },
  };
  const server = http.createServer((req, res) => {
    const context = attachContext(req);
    context.identified = identified[String(req.headers['x-who'])];
    const [path = '', query = ''] = (req.url ?? '').split('?');
    context.target = { segments: path.split('/').slice(1), path, query: query === '' ? '' : `?${query}` };
    const guard = guardReplication({ ...parameters, publicUrl });
    Promise.resolve(guard(req as Request, res as Response, context)).then(
      (body) => res.end(body),
      (thrown: unknown) => {
        const { status, error, reason } = asHttpError(thrown);
        res.writeHead(status).end(JSON.stringify({ error, reason }));
      },
    );
  });
  before(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });
  after(() => {
    server.close();
  });
  beforeEach(() => {
    resolved.length = 0;
  });

  async function send(
    who: string,
    method: string,
    path: string,
    body?: string | Buffer | object,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const { port } = server.address() as AddressInfo;
    const authorization = `Basic ${Buffer.from('mykey:p:ss wörd').toString('base64')}`;
    const req = http.request({ port, method, path, agent: false });
    for (const [name, value] of Object.entries({
      'content-type': 'application/json',
      'x-who': who,
      authorization,
      ...headers,
    }))
      req.setHeader(name, value);
    req.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
    const [res] = (await once(req, 'response')) as [IncomingMessage];
    const sent = await text(res);
    return { status: res.statusCode ?? 0, body: sent === '' ? undefined : (JSON.parse(sent) as unknown) };
  }

  const replicate = (body: object, who = 'key'): Promise<Answer> => send(who, 'POST', '/_replicate', body);

  const closedHosts = [
    'http://127.0.0.1:5984/db',
    'http://localhost.example/db',
    'http://2130706433/db',
    'http://0x7f.1/db',
    'http://017700000001/db',
    'http://[::1]:5984/db',
    'http://[::ffff:127.0.0.1]/db',
    'http://[64:ff9b::7f00:1]/db',
    'http://[2002:7f00:1::]/db',
    'http://[fd00::1]/db',
    'http://[fe80::1]/db',
    'http://10.0.0.7/db',
    'http://172.16.3.4/db',
    'http://192.168.1.1/db',
    'http://169.254.169.254/latest',
    'http://100.64.0.1/db',
    'http://0.0.0.0:5984/db',
    'http://two-faced.example/db',
    'http://node1.example:5984/db',
    'http://node1.example/db',
    'https://alias-of-node1.example/db',
    'http://198.41.0.4:5986/db',
    'http://partner.internal:5984/db',
    'http://far.example:80@127.0.0.1/db',
  ];
  for (const url of closedHosts) {
    it(`refuses a host that is not public – POST /_replicate – 403: ${url}`, async () => {
      for (const body of [
        { source: url, target: FAR },
        { source: FAR, target: { url } },
      ]) {
        const { status, body: answer } = await replicate(body);
        assert.equal(status, 403, JSON.stringify(answer));
        assert.match(JSON.stringify(answer), /not allowed/u);
      }
    });
  }

  const closedBodies: readonly (readonly [string, object, number])[] = [
    ['a proxy', { source: FAR, target: FAR, proxy: 'http://far.example' }, 403],
    ['a source_proxy', { source: FAR, target: FAR, source_proxy: 'socks5://far.example' }, 403],
    ['a target_proxy', { source: FAR, target: FAR, target_proxy: '' }, 403],
    ['a proxy beside the url', { source: { url: FAR, proxy: 'http://far.example' }, target: FAR }, 400],
    [
      'X-Auth headers',
      { source: { url: FAR, headers: { 'x-AUTH-CouchDB-Roles': '_admin' } }, target: FAR },
      403,
    ],
    ['a Host header', { source: { url: FAR, headers: { Host: 'internal' } }, target: FAR }, 403],
    ['a Cookie header', { source: { url: FAR, headers: { cookie: 'AuthSession=x' } }, target: FAR }, 403],
    ['a line break in a header', { source: { url: FAR, headers: { a: 'b\r\nX: y' } }, target: FAR }, 400],
    ['a line break in a header name', { source: { url: FAR, headers: { 'a\r\nX': 'y' } }, target: FAR }, 400],
    ['a file url', { source: 'file:///etc/passwd', target: FAR }, 400],
    ['a url of another scheme', { source: { url: 'gopher://far.example/' }, target: FAR }, 400],
    ['a url with a query', { source: `${FAR}?x`, target: FAR }, 400],
    ['another kind of auth', { source: { url: FAR, auth: { iam: { api_key: 'x' } } }, target: FAR }, 400],
    ['no target', { source: FAR }, 400],
    ['a number for a source', { source: 5, target: FAR }, 400],
    ['a local name with other credentials', { source: { url: 'db', auth: {} }, target: FAR }, 400],
    ["another's user_ctx", { source: FAR, target: FAR, user_ctx: { name: 'admin' } }, 403],
    ['creation of a local target', { source: FAR, target: 'new', create_target: true }, 403],
    [
      'creation by the public address',
      { source: FAR, target: `${PUBLIC_URL}/new`, create_target: true },
      403,
    ],
    [
      'a cancellation by id with a closed source',
      { cancel: true, id: 'x', source: 'http://10.0.0.7/', target: FAR },
      403,
    ],
  ];
  for (const [what, body, status] of closedBodies) {
    it(`refuses ${what} – POST /_replicate – ${status}`, async () => {
      assert.equal((await replicate(body)).status, status);
    });
    it(`refuses ${what} in a document – PUT /_replicator/new – ${status}`, async () => {
      if ('cancel' in body) return;
      assert.equal((await send('key', 'PUT', '/_replicator/new', body)).status, status);
      assert.equal((await send('key', 'POST', '/_replicator/_bulk_docs', { docs: [body] })).status, status);
    });
  }

  it('does not say whether a name exists inside – POST /_replicate', async () => {
    const missing = await replicate({ source: 'http://no-such-name.example/', target: FAR });
    const inside = await replicate({ source: 'http://10.0.0.7/', target: FAR });
    assert.deepEqual(missing, inside);
  });

  it('refuses a job of nobody – POST /_replicate – 401', async () => {
    assert.equal((await replicate({ source: FAR, target: FAR }, 'nobody')).status, 401);
  });

  it('holds the owner to the same hosts – POST /_replicate – 403', async () => {
    assert.equal((await replicate({ source: 'http://127.0.0.1/', target: FAR }, 'owner')).status, 403);
  });

  it('keeps what is allowed as it was – POST /_replicate', async () => {
    const job = {
      source: 'https://user:p%40ss@far.example/db%2Fx',
      target: {
        url: 'http://partner.internal:6984/db',
        headers: { Authorization: 'Bearer x' },
        auth: { basic: { username: 'a', password: 'b' } },
      },
      continuous: true,
      filter: 'd/f',
      query_params: { n: 1.5, s: '18446744073709551616' },
      since_seq: '12-abc',
    };
    assert.deepEqual(await replicate(job), { status: 200, body: job });
    assert.deepEqual(await replicate({ cancel: true, replication_id: 'abc+continuous' }), {
      status: 200,
      body: { cancel: true, replication_id: 'abc+continuous' },
    });
  });

  it("makes a local name Couchgate's own address with the caller's own credentials – POST /_replicate", async () => {
    const { body } = await replicate({
      source: 'team/docs',
      target: { url: 'copy' },
      user_ctx: { name: 'mykey', roles: ['_admin'] },
    });
    const auth = { basic: { username: 'mykey', password: 'p:ss wörd' } };
    assert.deepEqual(body, {
      source: { url: `${PUBLIC_URL}/team%2Fdocs`, auth },
      target: { url: `${PUBLIC_URL}/copy`, auth },
    });
    assert.deepEqual(resolved, [], 'no name was looked up');
  });

  it('refuses a local name of a session – POST /_replicate – 400', async () => {
    const { status, body } = await replicate({ source: 'a', target: FAR }, 'cookie');
    assert.equal(status, 400);
    const { reason } = body as { readonly reason: string };
    assert.match(reason, /Basic credentials/u);
    // What to write instead, with the caller's own database.
    assert.ok(reason.includes(`"source": {"url":"${PUBLIC_URL}/a","auth":{"basic":`), reason);
  });

  it('names the missing setting for a local name – POST /_replicate – 400', async () => {
    publicUrl = '';
    const { status, body } = await replicate({ source: 'a', target: FAR });
    publicUrl = PUBLIC_URL;
    assert.equal(status, 400);
    assert.match(
      JSON.stringify(body),
      /requires the setting public_url.*write the URL of Couchgate and an API key/u,
    );
  });

  it('leaves creation of a local target to the owner – POST /_replicate', async () => {
    assert.equal((await replicate({ source: FAR, target: 'new', create_target: true }, 'owner')).status, 200);
  });

  it('sends on the one reading of a URL that it judged – POST /_replicate', async () => {
    // To some parsers the name ends at the backslash, to others at the @.
    const { body } = await replicate({
      source: ' http://far.example\\@127.0.0.1/db',
      target: 'HTTPS://FAR.example:443/db',
    });
    assert.deepEqual(body, { source: 'http://far.example/@127.0.0.1/db', target: FAR });
  });

  const job = { source: FAR, target: FAR };
  const others: readonly (readonly [string, string, string, object | undefined])[] = [
    ['takes over a job by leaving owner out', 'PUT', '/_replicator/theirs', { _rev: '1-a', ...job }],
    [
      'takes over a job with its own name',
      'PUT',
      '/_replicator/theirs',
      { _rev: '1-a', owner: 'mykey', ...job },
    ],
    ['takes over a job nobody owns', 'PUT', '/_replicator/unowned', { _rev: '1-a', ...job }],
    ['takes over a job by POST', 'POST', '/_replicator', { _id: 'theirs', _rev: '1-a', ...job }],
    [
      'takes over a job in bulk',
      'POST',
      '/_replicator/_bulk_docs',
      {
        docs: [
          { _id: 'mine', ...job },
          { _id: 'theirs', ...job },
        ],
      },
    ],
    ['deletes a job', 'DELETE', '/_replicator/theirs?rev=1-a', undefined],
    ['deletes a job by a document', 'PUT', '/_replicator/theirs', { _rev: '1-a', _deleted: true }],
    ['forges an owner', 'PUT', '/_replicator/new', { owner: 'somebody', ...job }],
    ['forges an owner of a deletion', 'PUT', '/_replicator/mine', { owner: 'somebody', _deleted: true }],
    ['writes revisions as they are', 'PUT', '/_replicator/new?new_edits=true&new_edits=false', job],
    ['writes revisions as they are', 'PUT', '/_replicator/new?x=1;new_edits=false', job],
    [
      'writes revisions as they are in bulk',
      'POST',
      '/_replicator/_bulk_docs',
      { new_edits: false, docs: [job] },
    ],
    ['writes a design document', 'POST', '/_replicator', { _id: '_design/x', ...job }],
    ['writes a design document in bulk', 'POST', '/_replicator/_bulk_docs', { docs: [{ _id: '_design/x' }] }],
    ['writes a checkpoint', 'POST', '/_replicator', { _id: '_local/x' }],
    ['writes _security', 'PUT', '/_replicator/_security', {}],
  ];
  for (const [what, method, path, body] of others) {
    it(`refuses a key that ${what} – ${method} ${path} – 403`, async () => {
      assert.equal((await send('key', method, path, body)).status, 403);
    });
  }

  it('lets a key write and delete its own jobs', async () => {
    for (const [method, path, body] of [
      ['PUT', '/_replicator/new', job],
      ['PUT', '/_replicator/mine', { _rev: '1-a', owner: 'mykey', ...job }],
      ['POST', '/_replicator', job],
      ['PUT', '/_replicator/mine', { _rev: '1-a', _deleted: true }],
      ['POST', '/_replicator/_bulk_docs', { docs: [{ _id: 'mine', ...job }, job] }],
    ] as const) {
      assert.deepEqual(await send('key', method, path, body), { status: 200, body });
    }
    assert.equal((await send('key', 'DELETE', '/_replicator/mine?rev=1-a')).status, 200);
    assert.equal((await send('owner', 'DELETE', '/_replicator/theirs?rev=1-a')).status, 200);
  });

  it('takes a whole document back for its deletion, and keeps none of its content', async () => {
    const deletion = { _rev: '1-a', owner: 'mykey', _deleted: true };
    const whole = {
      ...{ source: 'http://10.0.0.7/', target: 'local', proxy: 'http://far.example', socket_options: '[]' },
      ...{ user_ctx: { name: 'admin' }, worker_processes: 1e9, comment: 'x', unknown: 1, _attachments: {} },
      ...{ _replication_state: 'error', ...deletion },
    };
    assert.deepEqual(await send('cookie', 'PUT', '/_replicator/new', { ...whole, owner: 'ann' }), {
      status: 200,
      body: { ...deletion, owner: 'ann' },
    });
    const docs = [{ _id: 'mine', ...whole }];
    assert.deepEqual(await send('key', 'POST', '/_replicator/_bulk_docs', { docs }), {
      status: 200,
      body: { docs: [{ _id: 'mine', ...deletion }] },
    });
    assert.equal((await send('key', 'PUT', '/_replicator/mine', { ...whole, _deleted: 'true' })).status, 403);
    assert.equal((await send('key', 'PUT', '/_replicator/theirs', whole)).status, 403);
    assert.equal((await send('key', 'POST', '/_replicate', { ...job, ...whole })).status, 403);
  });

  it('reads a repeated field as CouchDB does: the last one counts, and is the only one sent on', async () => {
    const sent = await send(
      'key',
      'POST',
      '/_replicate',
      `{"source":"http://10.0.0.7/","target":"${FAR}","source":"${FAR}"}`,
    );
    assert.deepEqual(sent, { status: 200, body: { source: FAR, target: FAR } });
    const hidden = await send(
      'key',
      'POST',
      '/_replicate',
      `{"source":"${FAR}","target":"${FAR}","sourc\\u0065":"http://10.0.0.7/"}`,
    );
    assert.equal(hidden.status, 403);
  });

  const FIELDS: readonly (readonly [fields: object, refused: string | undefined])[] = [
    [{ worker_processes: 20, http_connections: 100, worker_batch_size: 5000 }, undefined],
    [{ connection_timeout: 300_000, retries_per_request: 50, checkpoint_interval: 100 }, undefined],
    [{ use_checkpoints: false, use_bulk_get: true, winning_revs_only: true }, undefined],
    [{ create_target_params: { q: 2, n: 3, partitioned: true }, since_seq: 0, doc_ids: ['a'] }, undefined],
    [{ selector: { a: { $gt: null } }, _rev: '1-a', _replication_stats: { a: 1 } }, undefined],
    [{ socket_options: '[{nodelay, true}]' }, '`socket_options` is not allowed in a replication.'],
    [{ ibrowse_options: '[]' }, '`ibrowse_options` is not allowed in a replication.'],
    [{ worker_processes: 21 }, '`worker_processes` must be a whole number from 1 to 20.'],
    [{ worker_processes: '21' }, '`worker_processes` must be a whole number from 1 to 20.'],
    [{ http_connections: 101 }, '`http_connections` must be a whole number from 1 to 100.'],
    [{ worker_batch_size: 1.5 }, '`worker_batch_size` must be a whole number from 1 to 5000.'],
    [{ connection_timeout: 300_001 }, '`connection_timeout` must be a whole number from 1 to 300000.'],
    [{ retries_per_request: -1 }, '`retries_per_request` must be a whole number from 0 to 50.'],
    [{ continuous: 'true' }, '`continuous` must be true or false.'],
    [{ doc_ids: [1] }, '`doc_ids` must be an array of strings.'],
    [{ selector: [] }, '`selector` must be an object.'],
    [{ request_compression: 'gzip' }, undefined],
    [{ request_compression: 'none' }, undefined],
    [{ request_compression: true }, '`request_compression` must be `gzip` or `none`.'],
    [{ comment: 'of a user', tags: ['a'], 'x-team': 1.5, teamName: { a: null }, größe: 1 }, undefined],
    [{ Proxy: 'http://far.example' }, '`Proxy` is not allowed in a replication.'],
    [{ socks5_host: 'far.example' }, '`socks5_host` is not allowed in a replication.'],
    [{ ssl_options: '[]' }, '`ssl_options` is not allowed in a replication.'],
    [{ _replication_other: 1 }, '`_replication_other` is not allowed in a replication.'],
    [
      { create_target_params: { q: 1e6, placement: 'x' }, _unknown: 1 },
      '`create_target_params.q` must be a whole number from 1 to 256. ' +
        '`create_target_params.placement` is not allowed in a replication. ' +
        '`_unknown` is not allowed in a replication.',
    ],
  ];
  for (const [fields, refused] of FIELDS) {
    const status = refused === undefined ? 200 : 400;
    it(`takes listed fields alone, in their ranges – ${JSON.stringify(fields)} – ${status}`, async () => {
      for (const path of ['/_replicate', '/_replicator']) {
        const sent = await send('key', 'POST', path, JSON.stringify({ source: FAR, target: FAR, ...fields }));
        assert.deepEqual(
          sent,
          refused === undefined
            ? { status, body: { source: FAR, target: FAR, ...fields } }
            : { status, body: { error: 'bad_request', reason: refused } },
        );
      }
    });
  }

  it('leaves out what could be an option of a later CouchDB – POST /_replicate, POST /_replicator', async () => {
    const unknown = { since_date: '2026', worker_batch_bytes: 1, app2: {}, 7: 1, constructor: 1, '': 1 };
    for (const path of ['/_replicate', '/_replicator'])
      assert.deepEqual(await send('key', 'POST', path, { ...unknown, ...job, comment: 'x' }), {
        status: 200,
        body: { ...job, comment: 'x' },
      });
  });

  it('takes a number as digits, and sends it as a number – POST /_replicate', async () => {
    const sent = await replicate({ source: FAR, target: FAR, worker_processes: '4' });
    assert.deepEqual(sent.body, { source: FAR, target: FAR, worker_processes: 4 });
  });

  it('takes JSON of every type but multipart for PUT, as CouchDB does, and of its own for POST – 200, 415', async () => {
    const typed = (method: string, path: string, type: string, body: object = job): Promise<Answer> =>
      send('key', method, path, body, { 'content-type': type });
    // A form of another site can send these types, but no PUT.
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'application/octet-stream', '']) {
      assert.deepEqual(await typed('PUT', '/_replicator/new', type), { status: 200, body: job }, type);
      assert.equal((await typed('PUT', '/_replicator/theirs', type)).status, 403, type);
      for (const path of ['/_replicate', '/_replicator', '/_replicator/_bulk_docs'])
        assert.equal((await typed('POST', path, type, { ...job, docs: [] })).status, 415, `${path} ${type}`);
    }
    for (const type of [
      'multipart/related; boundary=x',
      'multipart/related;x',
      'Multipart/Related',
      'multipart/form-data',
    ])
      assert.equal((await typed('PUT', '/_replicator/new', type)).status, 415, type);
  });

  it('refuses numbers that CouchDB refuses, and other types than JSON', async () => {
    const infinite = await send(
      'key',
      'POST',
      '/_replicate',
      `{"source":"${FAR}","target":"${FAR}","query_params":{"x":1e999}}`,
    );
    assert.equal(infinite.status, 400);
    const form = await send('key', 'PUT', '/_replicator/new', job, {
      'content-type': 'multipart/related; boundary=x',
    });
    assert.equal(form.status, 415);
    assert.equal((await send('key', 'POST', '/_replicate', '[]')).status, 400);
    const bomb = gzipSync(JSON.stringify({ pad: 'x'.repeat(24_000_000) }));
    const gzipped = { 'content-encoding': 'gzip' };
    assert.equal((await send('key', 'POST', '/_replicate', bomb, gzipped)).status, 413);
  });

  it('refuses a body that is nested too deeply to be written again, and takes texts of any length – 400', async () => {
    const job = (more: string): string =>
      `{"source": "${FAR}", "target": "${FAR}", "query_params": {"more": ${more}}}`;
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    for (const path of ['/_replicate', '/_replicator']) {
      const { status, body } = await send('key', 'POST', path, job(deep));
      assert.equal(status, 400);
      assert.deepEqual(body, { error: 'bad_request', reason: 'The request body is nested too deeply.' });
    }
    const long = `"${String.raw`\n`.repeat(400_000)}"`;
    const numbers: readonly (readonly [string, number])[] = [
      [long, 200],
      [String.raw`["\\", 9007199254740993, "\""]`, 200],
      [String.raw`["\\\"9007199254740993", -1.5e3]`, 200],
    ];
    for (const [more, status] of numbers)
      assert.equal((await send('key', 'POST', '/_replicate', job(more))).status, status);
  });

  it('refuses objects of more than a thousand members – POST /_replicate – 413', async () => {
    const fields = (count: number): object =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`n${at}`, 1]));
    assert.equal((await replicate({ ...job, ...fields(990) })).status, 200);
    assert.equal((await replicate({ ...job, ...fields(1001) })).status, 413);
    assert.equal((await replicate({ ...job, query_params: fields(1001) })).status, 413);
  });

  it('stops between the jobs of a bulk when the client has left – POST /_replicator/_bulk_docs', async () => {
    let leave = (): void => undefined;
    const outcome = new Promise<number>((resolve) => {
      const guarded = http.createServer((req, res) => {
        const context = attachContext(req);
        context.identified = identified['key'];
        context.target = {
          segments: ['_replicator', '_bulk_docs'],
          path: '/_replicator/_bulk_docs',
          query: '',
        };
        const left = once(res, 'close');
        const guard = guardReplication({
          ...parameters,
          publicUrl,
          async resolve(name) {
            if (name !== 'far.example') return ['198.41.0.9'];
            leave();
            await left;
            return ['93.184.216.34'];
          },
        });
        Promise.resolve(guard(req as Request, res as Response, context))
          .then(
            () => 200,
            (thrown: unknown) => asHttpError(thrown).status,
          )
          .then(resolve, resolve);
      });
      guarded.listen(0, '127.0.0.1', () => {
        const { port } = guarded.address() as AddressInfo;
        const req = http.request({ port, method: 'POST', headers: { 'content-type': 'application/json' } });
        req.on('error', () => guarded.close());
        leave = () => req.destroy();
        const direct = { source: 'http://198.41.0.5/db', target: 'http://198.41.0.6/db' };
        req.end(JSON.stringify({ docs: [job, ...Array.from({ length: 150 }, () => direct)] }));
      });
    });
    assert.equal(await outcome, 503);
  });

  it('looks inside a gzipped body', async () => {
    const gzipped = { 'content-encoding': 'gzip' };
    const closed = gzipSync(JSON.stringify({ source: 'http://10.0.0.7/', target: FAR }));
    assert.equal((await send('key', 'POST', '/_replicate', closed, gzipped)).status, 403);
    const { port } = server.address() as AddressInfo;
    const req = http.request({
      port,
      method: 'POST',
      path: '/_replicate',
      headers: { ...gzipped, 'x-who': 'key', 'content-type': 'application/json' },
    });
    req.end(gzipSync(JSON.stringify(job)));
    const [res] = (await once(req, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of res) chunks.push(chunk as Buffer);
    assert.deepEqual(JSON.parse(Buffer.concat(chunks).toString()), job);
  });
});

describe('H9: a job that CouchDB gets', () => {
  it('has the type of JSON, whatever the client has sent – PUT /_replicator/job', async () => {
    const front = await startPolicyFront();
    try {
      for (const type of [
        'application/x-www-form-urlencoded',
        'text/plain',
        'application/json;charset=utf-8',
      ]) {
        const job = { source: 'https://198.41.0.4/db', target: 'https://198.41.0.4/copy' };
        const { status } = await fetch(`${front.url}/_replicator/job`, {
          method: 'PUT',
          headers: { 'x-test-caller': 'owner', 'content-type': type },
          body: `${JSON.stringify(job)} `,
        });
        assert.equal(status, 200);
        const [reached, ...others] = front.takeAll();
        assert.deepEqual([reached?.headers['content-type'], others], ['application/json', []]);
        assert.equal(reached?.body.toString(), JSON.stringify(job));
      }
    } finally {
      await front.close();
    }
  });
});

describe('H9: the names in replication jobs', () => {
  it('are looked up one at a time for all callers, once for a request, and never after the client has left', async () => {
    const pending: { readonly name: string; readonly answer: (addresses: string[]) => void }[] = [];
    const hostsFor = createReplicationHosts({
      ...{ publicUrl: '', couchdbNodes: [], replicationHosts: '' },
      resolve: (name) => new Promise((answer) => pending.push({ name, answer })),
    });
    let hasLeft = false;
    const one = hostsFor({ caller: 'one', hasLeft: () => hasLeft });
    const check = (hosts: ReplicationHosts, name: string): Promise<unknown> =>
      hosts.check(new URL(`http://${name}/db`), 'source').then(
        () => 200,
        (error: unknown) => asHttpError(error).status,
      );
    const turn = (): Promise<void> => new Promise(setImmediate);
    const first = check(one, 'a.example');
    const again = check(one, 'a.example');
    const leaves = check(one, 'b.example');
    // Its share of the queue: others find a place.
    const more = ['c', 'd', 'e', 'f', 'g'].map((name) => check(one, `${name}.example`));
    assert.equal(await more[4], 503);
    const other = check(hostsFor({ caller: 'other', hasLeft: () => false }), 'h.example');
    assert.deepEqual([await check(one, '198.41.0.4'), await check(one, '10.0.0.7')], [200, 403]);
    await turn();
    assert.deepEqual(
      pending.map(({ name }) => name),
      ['a.example'],
    );
    hasLeft = true;
    pending[0]?.answer(['198.41.0.4']);
    assert.deepEqual([await first, await again, await leaves], [200, 200, 503]);
    await until(() => Promise.resolve(pending.length === 2), 'the other caller has its turn');
    assert.equal(pending[1]?.name, 'h.example');
    pending[1].answer(['10.0.0.7']);
    assert.equal(await other, 403);
    for (const rest of more) assert.equal(await rest, 503);
  });

  it('of nodes are looked up once for a request', async () => {
    const names: string[] = [];
    const hostsFor = createReplicationHosts({
      ...{ publicUrl: '', couchdbNodes: ['http://n1:5984', 'http://n2:5984'], replicationHosts: '' },
      resolve: (name) => Promise.resolve([name, names.push(name)].slice(0, 1).map(() => '198.41.0.4')),
    });
    const hosts = hostsFor({ caller: 'one', hasLeft: () => false });
    for (let at = 0; at < 20; at += 1) await hosts.check(new URL('http://198.41.0.9/db'), 'source');
    assert.deepEqual(names, ['n1', 'n2']);
  });

  it('are at most a hundred for a request', async () => {
    const hostsFor = createReplicationHosts({
      ...{ publicUrl: '', couchdbNodes: [], replicationHosts: '' },
      resolve: () => Promise.resolve(['198.41.0.4']),
    });
    const hosts = hostsFor({ caller: 'one', hasLeft: () => false });
    for (let at = 0; at < 300; at += 1)
      await hosts.check(new URL(`http://n${at % 100}.example/db`), 'source');
    await assert.rejects(hosts.check(new URL('http://n100.example/db'), 'source'), { status: 400 });
  });
});
