// H17: a client that leaves while a step waits gets nothing done any more: its line in the access log is written,
// and nothing would ever end what it began.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { connectRaw, head } from '../support/raw-client.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

const BODY = '{"_id":"doc","value":1}';

/** Each with the lines of its head after the first two, and its body. */
const REQUESTS: readonly (readonly [string, readonly string[], string])[] = [
  ['GET /left/_changes?feed=continuous&heartbeat=1000 HTTP/1.1', [], ''],
  ['GET /left/_changes?feed=longpoll&since=now HTTP/1.1', [], ''],
  ['GET /left/doc HTTP/1.1', [], ''],
  ['GET /_api/v2/db/left/_export?format=jsonl HTTP/1.1', [], ''],
  ['PUT /left/doc HTTP/1.1', ['Content-Type: application/json', 'Content-Length: 23'], BODY],
  ['PUT /left/doc HTTP/1.1', ['Content-Type: application/json', 'Content-Length: 23'], BODY.slice(0, 9)],
  ['PUT /left/doc/file HTTP/1.1', ['Content-Type: text/plain', 'Content-Length: 23'], BODY.slice(0, 9)],
  ['POST /left/_bulk_docs HTTP/1.1', ['Content-Type: application/json', 'Transfer-Encoding: chunked'], ''],
  ['DELETE /left HTTP/1.1', [], ''],
  [
    'PUT /left/_security HTTP/1.1',
    ['Content-Type: application/json', 'Content-Length: 15'],
    '{"cloudant":{}}',
  ],
];

describe('H17: a client that leaves while its password is checked', () => {
  let gate: Couchgate;
  let user: Credentials;
  const started = closedAfterSuite();
  before(async () => {
    gate = await started(startCouchgate());
    user = { name: 'leaver', password: 'pw' };
    await gate.ask('PUT', '/_users', { as: gate.owner });
    const body = { ...user, type: 'user', roles: [] };
    await gate.ask('PUT', '/_users/org.couchdb.user:leaver', { as: gate.owner, body });
    await gate.database('left', { leaver: ['_reader', '_writer', '_admin', '_security'] });
    // Permissions and password are in memory afterwards, so the first wait is the one that is held below.
    await gate.ask('GET', '/left', { as: user });
  });

  it('leaves nothing behind, and nothing is done for it', async () => {
    const changed = await gate.ask('PUT', '/_users/org.couchdb.user:leaver', {
      as: gate.owner,
      body: {
        ...((await gate.ask('GET', '/_users/org.couchdb.user:leaver', { as: gate.owner })).body as object),
        ...user,
      },
    });
    assert.equal(changed.status, 201);
    gate.recorder.take();
    const before = await load();
    const held = gate.recorder.hold(/^\/_session/);
    const clients = await Promise.all(REQUESTS.map(() => connectRaw(Number(new URL(gate.url).port))));
    for (const [at, [first, others, body]] of REQUESTS.entries())
      clients[at]?.send(head(first, 'Host: x', `Authorization: ${basic(user)}`, ...others) + body);
    await until(() => held.count > 0, 'a password check waits');
    await until(async () => (await inFlight()) >= REQUESTS.length, 'all requests have arrived');
    for (const { socket } of clients) socket.destroy();
    await until(async () => (await withoutAnswer()).length === REQUESTS.length, 'all are in the log');
    held.release();
    assert.equal((await gate.ask('GET', '/left/none', { as: user })).status, 404, 'the check is over');
    assert.deepEqual(
      gate.recorder
        .take()
        .map(({ method, url }) => `${method} ${url}`)
        .filter((one) => !one.includes('none')),
      [],
    );
    assert.deepEqual(await load(), before);
    for (const line of await withoutAnswer())
      assert.deepEqual(
        [line['decision'], line['rule'], line['ended']],
        ['deny', 'credentials', 'client left'],
      );
  });

  const CHANGES: readonly (readonly [string, string, RegExp, string])[] = [
    ['POST /_api/v2/api_keys', '{}', /^\/couchgate\/key/, 'create'],
    ['PUT /_api/v2/db/left/_security', '{"cloudant":{"somebody":["_reader"]}}', /_security/, 'permissions'],
    ['PUT /made', '', /^\/made$/, 'create database'],
    ['DELETE /made', '', /^\/made$/, 'delete database'],
  ];
  for (const [request, body, path, action] of CHANGES)
    it(`finds its change in the log if it left meanwhile – ${request}`, async () => {
      const lines = (await withoutAnswer()).length;
      const held = gate.recorder.hold(path);
      const client = await connectRaw(Number(new URL(gate.url).port));
      const fields = ['Content-Type: application/json', `Content-Length: ${body.length}`];
      const basicOwner = `Authorization: ${basic(gate.owner)}`;
      client.send(head(`${request} HTTP/1.1`, 'Host: x', basicOwner, ...fields) + body);
      await until(() => held.count > 0, 'the change waits for CouchDB');
      client.socket.destroy();
      await until(async () => (await inFlight()) === 0, 'the client has left');
      held.release();
      await until(async () => (await withoutAnswer()).length > lines, 'the line is written');
      const { management, change, decision } = (await withoutAnswer()).at(-1) ?? {};
      assert.deepEqual([management, decision], [true, 'allow']);
      assert.equal((change as { action: string }).action, action);
    });

  it('has a line also if Couchgate ends during the change', async () => {
    let isChanging = false;
    const permissionStep = (): Promise<void> => {
      isChanging = true;
      return new Promise(() => undefined);
    };
    const overrides = { permissionStep };
    const ending = await startCouchgate({ settings: { drainTimeoutSeconds: 0 }, overrides });
    const client = await connectRaw(Number(new URL(ending.url).port));
    const fields = ['Content-Type: application/json', 'Content-Length: 2'];
    const asOwner = `Authorization: ${basic(ending.owner)}`;
    await fetch(`${ending.backend.urls[0] ?? ''}/ending`, {
      method: 'PUT',
      headers: { authorization: basic(ending.owner) },
    });
    client.send(`${head('PUT /ending/_security HTTP/1.1', 'Host: x', asOwner, ...fields)}{}`);
    await until(() => isChanging, 'the change is being made');
    client.socket.destroy();
    await ending.running.drain();
    const line = (await ending.accessLog()).find(({ statusCode }) => statusCode === 0);
    assert.equal(line?.['httpRequest'], '/ending/_security');
    await ending.close();
  });

  async function withoutAnswer(): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return (await gate.accessLog()).filter((line) => line['statusCode'] === 0);
  }

  async function inFlight(): Promise<number> {
    return Number(/^couchgate_requests_in_flight (\d+)/m.exec(await gate.running.metrics())?.[1]);
  }

  /** What one process holds: feeds, watched requests, and requests at the node. */
  async function load(): Promise<unknown> {
    const { body } = await gate.ask('GET', '/_api/v2/cluster', { as: gate.owner });
    const { feeds, nodes } = body as {
      feeds: unknown;
      nodes: { running: number; waiting: number; feeds: number }[];
    };
    return { feeds, nodes: nodes.map(({ running, waiting, feeds: open }) => ({ running, waiting, open })) };
  }
});
