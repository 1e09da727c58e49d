// A whole Couchgate, looked at as its operator does: whitelist, owner addresses, CORS, log and metrics
// together, and no secret anywhere.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startBackend, type Backend } from '../support/backend.ts';
import { basic, startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { until } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';

const CANARY = 'canary-7d1f';

describe('a whole Couchgate', () => {
  let backend: Backend;
  let gate: Couchgate;
  const started = closedAfterSuite();
  before(async () => {
    backend = await started(startBackend());
    gate = await started(startCouchgate({ backend }));
    await gate.database('operation');
  });
  const lineOf = async (id: string): Promise<Readonly<Record<string, unknown>>> => {
    await until(async () => (await gate.accessLog()).some((line) => line['id'] === id));
    return (await gate.accessLog()).find((line) => line['id'] === id) ?? {};
  };

  it('writes one line for every request, also for those that are refused, under the id of the answer', async () => {
    const key = await gate.key();
    await gate.grant('operation', { [key.name]: ['_reader'] });
    const rows: readonly [
      method: string,
      path: string,
      as: typeof key | undefined,
      status: number,
      fields: Record<string, unknown>,
    ][] = [
      [
        'GET',
        '/operation',
        key,
        200,
        {
          decision: 'allow',
          operation: 'db-info',
          principal: key.name,
          principalKind: 'key',
          dbName: 'operation',
        },
      ],
      [
        'PUT',
        '/operation/doc',
        key,
        403,
        { decision: 'deny', requestClass: 'write', needed: '_writer', terminationState: 'PR--' },
      ],
      ['GET', '/operation', undefined, 401, { decision: 'deny', principal: 'nobody', authMethod: 'none' }],
      ['GET', '/operation', { ...key, password: CANARY }, 401, { decision: 'deny', rule: 'credentials' }],
      ['GET', '/_no_such_endpoint', key, 403, { decision: 'deny' }],
      ['GET', '/operation/%zz', key, 400, { decision: 'deny', rule: 'malformed' }],
      ['OPTIONS', '/operation', undefined, 401, { decision: 'deny', rule: 'blocked' }],
    ];
    for (const [method, path, as, status, fields] of rows) {
      const answer = await gate.ask(method, path, { as, ...(method === 'PUT' ? { body: {} } : {}) });
      const line = await lineOf(answer.headers.get('x-couch-request-id') ?? '');
      assert.equal(answer.status, status, `${method} ${path}`);
      const shown = Object.fromEntries(Object.keys(fields).map((name) => [name, line[name]]));
      assert.deepEqual({ ...shown, statusCode: line['statusCode'] }, { ...fields, statusCode: status });
    }
  });

  it('refuses an expectation that it does not know like any other request – Expect: magic, 417, from elsewhere 403', async () => {
    const ask = (id: string, to: Couchgate): Promise<string> => {
      const lines = [`X-Couch-Request-ID: ${id}`, 'Expect: magic', 'Host: a', 'Connection: close'];
      return exchangeBytes(to.url, `GET /operation HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
    };
    gate.recorder.take();
    const answer = await ask('magic', gate);
    assert.match(answer, /^HTTP\/1\.1 417 .*"error":"expectation_failed"/su);
    const { rule, statusCode } = await lineOf('magic');
    assert.deepEqual([rule, statusCode], ['malformed', 417]);
    assert.deepEqual(gate.recorder.take(), []);
    const closed = await startCouchgate({ backend, settings: { allow: ['203.0.113.1/32'] } });
    assert.match(await ask('elsewhere', closed), /^HTTP\/1\.1 403 /u);
    await closed.close();
  });

  it('passes the id of the client on to CouchDB, and shows it in every place', async () => {
    gate.recorder.take();
    const answer = await gate.ask('GET', '/operation', {
      as: gate.owner,
      headers: { 'X-Couch-Request-ID': 'trace-42' },
    });
    assert.equal(answer.headers.get('x-couch-request-id'), 'trace-42');
    assert.deepEqual(
      gate.recorder.take().map(({ headers }) => headers['x-couch-request-id']),
      ['trace-42'],
    );
    assert.match(String((await lineOf('trace-42'))['node']), /^127\.0\.0\.1:\d+$/);
  });

  it('warns when the invalidation feed is down, which costs CouchDB more reads', async () => {
    const alone = await startCouchgate({ backend });
    await alone.recorder.close();
    const warning = () => alone.log.lines.find(({ message }) => message === 'invalidation feed is down');
    await until(() => warning() !== undefined);
    assert.equal(warning()?.level, 'warn');
    await alone.close();
  });

  it('marks what changes keys, permissions, sessions and configuration, and says what', async () => {
    const { status } = await gate.ask('PUT', '/_api/v2/user/config/cors', {
      as: gate.owner,
      body: { origins: ['https://a.example'] },
    });
    assert.equal(status, 200);
    const key = await gate.key();
    await gate.grant('operation', { [key.name]: ['_writer'] });
    await gate.ask('POST', '/_session', { body: { name: key.name, password: key.password } });
    await gate.ask('GET', '/operation', { as: key });
    const classes = new Set(['configuration', 'key', 'permissions', 'session']);
    await until(async () => {
      const marked = (await gate.accessLog()).filter(
        (line) => line['management'] === true && line['change'] !== undefined,
      );
      for (const line of marked) classes.delete(String(line['requestClass']));
      return classes.size === 0;
    });
    const reads = (await gate.accessLog()).filter((line) => line['requestClass'] === 'read');
    assert.equal(reads.length > 0 && reads.every((line) => line['management'] === undefined), true);
  });

  it('counts as a refusal what its own endpoints refuse – replication, login, users, internal ids – once they have looked', async () => {
    const writer = await gate.key();
    const { owner } = gate;
    await gate.grant('operation', { [writer.name]: ['_writer'] });
    await gate.ask('PUT', '/_replicator', { as: owner });
    await gate.grant('_replicator', { nobody: ['_replicator', '_writer'] });
    const wrong = { name: writer.name, password: 'wrong' };
    const taken = { _id: 'org.couchdb.user:nobody', name: 'nobody', type: 'user', roles: [], password: 'x' };
    const inside = { source: 'http://127.0.0.1:1/x', target: 'http://127.0.0.1:1/y' };
    const hidden = { docs: [{ _id: '_local/purge-mem3-1' }] };
    const rows: readonly [string, string, typeof writer | undefined, unknown, number, string][] = [
      ['POST', '/_replicate', undefined, inside, 401, 'not signed in'],
      ['POST', '/_replicate', owner, inside, 403, 'content'],
      ['PUT', '/_replicator/job', owner, inside, 403, 'content'],
      ['PUT', '/_users/org.couchdb.user:nobody', owner, taken, 403, 'content'],
      ['POST', '/operation/_bulk_docs', writer, hidden, 403, 'content'],
      ['GET', '/_session?basic=true', undefined, undefined, 401, 'not signed in'],
      ['POST', '/_session', undefined, wrong, 401, 'credentials'],
      ['POST', '/_session?fail=/sorry', undefined, wrong, 302, 'credentials'],
    ];
    for (const [at, [method, path, as, body, status, rule]] of rows.entries()) {
      const id = `late-${at}`;
      const answer = await gate.ask(method, path, { as, body, headers: { 'X-Couch-Request-ID': id } });
      assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`);
      const { decision, rule: logged, reason, operation } = await lineOf(id);
      assert.deepEqual([decision, logged], ['deny', rule], `${method} ${path}`);
      assert.equal(typeof reason, 'string');
      assert.equal(typeof operation, 'string');
    }
    const metrics = await gate.running.metrics();
    assert.match(metrics, /couchgate_requests_total\{action="replicate",decision="deny",status="4xx"\} 3\n/);
    assert.doesNotMatch(metrics, /action="replicate",decision="allow",status="4xx"/);
  });

  it('counts as allowed what CouchDB refuses, and what is wrong but not forbidden – 409, 400', async () => {
    const { owner } = gate;
    await gate.ask('PUT', '/operation/twice', { as: owner, body: {} });
    const rows = [
      ['PUT', '/operation/twice', {}, 409],
      ['POST', '/_session', { name: 1 }, 400],
    ] as const;
    for (const [method, path, body, status] of rows) {
      const id = `wrong-${status}`;
      const answer = await gate.ask(method, path, { as: owner, body, headers: { 'X-Couch-Request-ID': id } });
      assert.equal(answer.status, status);
      assert.equal((await lineOf(id))['decision'], 'allow');
    }
  });

  it('lets no secret into the access log, the operational log, the metrics or an answer', async () => {
    const key = await gate.key();
    const attempts: readonly [
      method: string,
      path: string,
      headers: Record<string, string>,
      body?: string,
    ][] = [
      ['GET', '/operation', { Authorization: `Basic ${Buffer.from(`x:${CANARY}`).toString('base64')}` }],
      ['GET', '/operation', { Authorization: `Bearer ${CANARY}` }],
      ['GET', '/operation', { Authorization: CANARY }],
      ['GET', '/operation', { Cookie: `AuthSession=${CANARY}` }],
      ['GET', `/operation?password=${CANARY}&access_token=${CANARY}`, { Authorization: basic(key) }],
      ['GET', `/operation/http:%2f%2fbob:${CANARY}@host%2fdb`, { Authorization: basic(gate.owner) }],
      [
        'POST',
        '/_session',
        { 'Content-Type': 'application/json' },
        JSON.stringify({ name: 'x', password: CANARY }),
      ],
      [
        'POST',
        '/_session',
        { 'Content-Type': 'application/x-www-form-urlencoded' },
        `name=x&password=${CANARY}`,
      ],
      ['POST', '/_session', { 'Content-Type': 'application/json' }, `{"name":"x","password":"${CANARY}"`],
      [
        'PUT',
        '/_users/org.couchdb.user:x',
        { Authorization: basic(gate.owner) },
        JSON.stringify({ password: CANARY }),
      ],
      [
        'POST',
        '/_replicate',
        { Authorization: basic(gate.owner), 'Content-Type': 'application/json' },
        JSON.stringify({
          source: `http://a:${CANARY}@127.0.0.1:1/x`,
          target: `http://a:${CANARY}@127.0.0.1:1/y`,
        }),
      ],
      [
        'PUT',
        '/_replicator/job',
        { Authorization: basic(gate.owner), 'Content-Type': 'application/json' },
        JSON.stringify({ source: `http://a:${CANARY}@127.0.0.1:1/x`, target: 'operation' }),
      ],
    ];
    for (const [method, path, headers, body] of attempts) {
      const answer = await fetch(gate.url + path, {
        method,
        headers,
        ...(body === undefined ? {} : { body }),
      });
      assert.equal((await answer.text()).includes(CANARY), false, `${method} ${path}`);
    }
    // What fetch would not send: credentials in the target, and a head that is no HTTP.
    const { host } = new URL(gate.url);
    for (const target of [`http://u:${CANARY}@${host}/operation`, `//u:${CANARY}@${host}/operation`])
      await exchangeBytes(gate.url, `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    await exchangeBytes(gate.url, `GET / HTTP/1.1\r\nAuthorization: ${CANARY}\nX\r\n\r\n`);
    await gate.ask('GET', '/_up', { headers: { 'X-Couch-Request-ID': 'after-the-canaries' } });
    await lineOf('after-the-canaries');
    const everything = JSON.stringify([await gate.accessLog(), gate.log.lines, await gate.running.metrics()]);
    const secrets = [
      CANARY,
      Buffer.from(`x:${CANARY}`).toString('base64'),
      key.password,
      gate.owner.password,
    ];
    for (const secret of secrets) {
      const at = everything.indexOf(secret);
      assert.equal(at, -1, everything.slice(Math.max(0, at - 200), at));
    }
  });

  it('keeps the owner’s operations to the owner’s addresses, also for whoever knows the password – PUT /db – 403', async () => {
    const far = await startCouchgate({
      backend,
      settings: { trustedProxies: ['127.0.0.1/32'], ownerAllow: ['10.1.0.0/16'] },
    });
    try {
      const from = (ip: string): Promise<{ status: number }> =>
        far.ask('PUT', `/operation-${ip.replaceAll('.', '-')}`, {
          as: far.owner,
          headers: { 'X-Forwarded-For': ip },
        });
      assert.equal((await from('10.2.0.1')).status, 403);
      assert.equal((await from('10.1.0.1')).status, 201);
      const key = await gate.key();
      await gate.grant('operation', { [key.name]: ['_reader'] });
      const asKey = { as: key, headers: { 'X-Forwarded-For': '10.2.0.1' } };
      await until(async () => (await far.ask('GET', '/operation', asKey)).status === 200);
      // With one CouchDB behind both, what one has made is taken away again by the other.
      await gate.ask('DELETE', '/operation-10-1-0-1', { as: gate.owner });
    } finally {
      await far.close();
    }
  });

  it('takes up a whitelist while it runs; what reaches CouchDB stops at once', async () => {
    const { configFolder } = gate;
    gate.recorder.take();
    writeFileSync(join(configFolder, 'ip-whitelist.yaml'), 'allow: [10.0.0.0/8]\n');
    await until(async () => (await gate.ask('GET', '/operation', { as: gate.owner })).status === 403);
    gate.recorder.take();
    assert.equal((await gate.ask('GET', '/operation', { as: gate.owner })).status, 403);
    assert.deepEqual(gate.recorder.take(), []);
    writeFileSync(join(configFolder, 'ip-whitelist.yaml'), 'allow: [127.0.0.1]\n');
    await until(async () => (await gate.ask('GET', '/operation', { as: gate.owner })).status === 200);
    assert.match(await gate.running.metrics(), /couchgate_address_refusals_total [1-9]/);
  });

  it('writes CORS where the operator would, too', () => {
    assert.match(readFileSync(join(gate.configFolder, 'cors.yaml'), 'utf8'), /https:\/\/a\.example/);
  });
});
