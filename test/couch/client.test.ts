// How Couchgate's own conversation with CouchDB chooses nodes, tries again and follows a feed, against nodes that misbehave on purpose.
import assert from 'node:assert/strict';
import { type ServerResponse } from 'node:http';
import https from 'node:https';
import { type AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { createCouch, type CouchClient, type CouchOptions } from '../../src/couch/client.ts';
import { type ChangeRow } from '../../src/couch/couch.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { getSecurity } from '../../src/permissions/couch-security.ts';
import { makeCertificate } from '../support/certificates.ts';
import { answerJson, startScriptedNode, type Script, type ScriptedNode } from '../support/scripted-node.ts';
import { until } from '../support/until.ts';

/** A port that nobody listens on. A port that was closed before could be another test's by now. */
const GONE = 'http://127.0.0.1:3';
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function node(script: Script): Promise<ScriptedNode> {
  const started = await startScriptedNode(script);
  closers.push(() => started.close());
  return started;
}

interface Client {
  readonly couch: CouchClient;
  readonly failed: string[];
}

function client(urls: readonly string[], options: Partial<CouchOptions> = {}): Client {
  const failed: string[] = [];
  const couch = createCouch({
    pickNode: (tried) => urls.map((url) => ({ url })).find(({ url }) => !tried.has(url)),
    authorization: () => 'Bearer own',
    nodeFailed: (url, reason) => failed.push(`${url} ${reason}`),
    connectTimeoutMs: 500,
    ...options,
  });
  closers.push(() => couch.close());
  return { couch, failed };
}

const rejects = (promise: Promise<unknown>, detail: RegExp): Promise<void> =>
  assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof Unavailable, 'must be an Unavailable');
    // Nobody knows of a change that was sent whether it was made.
    const isUnknown = /^PUT .*\(sent\)/.test(error.detail ?? '');
    assert.equal(
      error.reason,
      isUnknown
        ? 'The change may or may not stand: CouchDB did not answer.'
        : 'CouchDB cannot be reached at present.',
    );
    assert.equal(error.error, isUnknown ? 'unknown_outcome' : 'service_unavailable');
    assert.match(error.detail ?? '', detail);
    return true;
  });

describe('asking CouchDB', () => {
  it('reads an exact answer of any number of values, and fails for one that is no JSON', async () => {
    const texts = [`{"a":[${'{},'.repeat(300_000)}12345678901234567890]}`, '{"a":', '', '{"a":"\xff"}'];
    const up = await node(({ url }, res) => {
      res.writeHead(200, { 'Content-Type': url === '/3' ? 'text/plain' : 'application/json' });
      res.end(Buffer.from(texts[Number(url.slice(1))] ?? '', 'latin1'));
    });
    const { couch, failed } = client([up.url]);
    const { body } = await couch.ask({ method: 'GET', path: '/0', exact: true });
    assert.equal((body as { a: unknown[] }).a.length, 300_001);
    for (const path of ['/1', '/2', '/3'])
      await rejects(couch.ask({ method: 'GET', path, exact: true }), /answer is not JSON/);
    assert.deepEqual(failed, []);
    for (const given of [undefined, null, [], 'text']) {
      const odd = { ask: () => Promise.resolve({ status: 200, body: given }) };
      await assert.rejects(getSecurity(odd, 'db', undefined), Unavailable);
    }
  });

  it('writes a body of any depth: CouchDB may have it already – PUT /db/_security, 100 000 levels – 200', async () => {
    let length = 0;
    const up = await node((request, res) => {
      length = request.body.length;
      answerJson(res, 200, {});
    });
    const { couch, failed } = client([up.url]);
    const json = `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    const answer = await couch.ask({
      method: 'PUT',
      path: '/db/_security',
      body: JSON.parse(json) as unknown,
    });
    assert.deepEqual([answer.status, length, failed], [200, json.length, []]);
  });

  it('gives status and body of an answer, and signs as itself – GET /db/_security', async () => {
    const up = await node((_, res) => answerJson(res, 202, { a: 1 }));
    const { couch } = client([up.url]);
    assert.deepEqual(await couch.ask({ method: 'GET', path: '/a%2Fb/_security?x=%2F' }), {
      status: 202,
      body: { a: 1 },
      bytes: '{"a":1}\n'.length,
    });
    const [received] = up.received;
    assert.deepEqual(
      [received?.url, received?.headers.authorization],
      ['/a%2Fb/_security?x=%2F', 'Bearer own'],
    );
  });

  it('sends no token of its own when the request brings headers, and no cookie of an earlier answer', async () => {
    const up = await node((_, res) => {
      res.setHeader('set-cookie', 'AuthSession=stolen');
      answerJson(res, 200, {});
    });
    const { couch } = client([up.url]);
    await couch.ask({
      method: 'GET',
      path: '/_session',
      headers: { authorization: 'Basic eDp5', 'x-forwarded-for': '192.0.2.1' },
    });
    await couch.ask({ method: 'GET', path: '/_session' });
    assert.deepEqual(
      up.received.map(({ headers }) => [headers.authorization, headers['x-forwarded-for'], headers.cookie]),
      [
        ['Basic eDp5', '192.0.2.1', undefined],
        ['Bearer own', undefined, undefined],
      ],
    );
  });

  for (const [status, error, reason] of [
    [401, 'unauthorized', 'no'],
    [404, 'not_found', 'missing'],
    [412, 'file_exists', 'there'],
  ] as const) {
    it(`resolves with a refusal of CouchDB – ${status} ${error}`, async () => {
      const up = await node((_, res) => answerJson(res, status, { error, reason }));
      const { couch } = client([up.url]);
      assert.deepEqual(await couch.ask({ method: 'PUT', path: '/db', body: {} }), {
        status,
        body: { error, reason },
        bytes: `${JSON.stringify({ error, reason })}\n`.length,
      });
    });
  }

  it('gives the status of a HEAD', async () => {
    const up = await node((_, res) => answerJson(res, 200, {}));
    assert.deepEqual(await client([up.url]).couch.ask({ method: 'HEAD', path: '/db' }), {
      status: 200,
      body: undefined,
      bytes: 0,
    });
  });

  it('asks the next node when a connection is refused, writes too, and reports the first', async () => {
    const up = await node((_, res) => answerJson(res, 201, { ok: true }));
    const { couch, failed } = client([GONE, up.url]);
    assert.equal((await couch.ask({ method: 'POST', path: '/db', body: { a: 1 } })).status, 201);
    assert.deepEqual(failed, [`${GONE} ECONNREFUSED`]);
    assert.equal(up.received[0]?.body, '{"a":1}');
  });

  it('repeats a read, never a write, that a node may have received before the connection broke', async () => {
    const breaks = await node((_, res) => res.destroy());
    const up = await node((_, res) => answerJson(res, 200, { ok: true }));
    const { couch } = client([breaks.url, up.url]);
    assert.equal((await couch.ask({ method: 'GET', path: '/db' })).status, 200);
    await rejects(
      couch.ask({ method: 'PUT', path: '/db', body: {} }),
      /^PUT to 127\.0\.0\.1:\d+ failed \(sent\)/,
    );
    assert.equal(up.received.length, 1);
  });

  for (const request of [
    { method: 'GET', path: '/' },
    { method: 'POST', path: '/_dbs_info', body: { keys: ['fruit'] }, repeatable: true },
  ] as const)
    it(`asks the only node a second time for a read whose idle connection broke – ${request.method}`, async () => {
      let first = true;
      const up = await node((_, res) => {
        if (first) res.destroy();
        else answerJson(res, 200, {});
        first = false;
      });
      const { couch, failed } = client([up.url]);
      assert.equal((await couch.ask(request)).status, 200);
      assert.deepEqual(failed, []);
    });

  describe('takes an answer that does not end for a failure, and goes on with the next request', () => {
    const TYPES = ['application/json', 'text/plain', 'text/html', 'multipart/related', undefined] as const;
    const ENDS = {
      'breaks off': (res: ServerResponse): void => void res.destroy(),
      'falls silent': (): void => undefined,
    } as const;
    for (const [how, end] of Object.entries(ENDS))
      for (const status of [200, 404])
        it(`${String(status)}, then ${how}, for each type of content, exact and not`, async () => {
          const cutter = await node(({ url }, res) => {
            if (url === '/up') {
              answerJson(res, 200, { ok: true });
              return;
            }
            const type = TYPES[Number(url.slice(1))];
            res.writeHead(status, {
              ...(type === undefined ? {} : { 'content-type': type }),
              'content-length': 99,
            });
            res.write('{"a":', () => end(res));
          });
          const { couch } = client([cutter.url]);
          const asked = TYPES.flatMap((_, at) =>
            [true, false].map((exact) =>
              rejects(
                couch.ask({ method: 'PUT', path: `/${String(at)}`, exact, timeoutMs: 300 }),
                /failed \(sent\): (timeout|UND_ERR_SOCKET|truncated response)$/,
              ),
            ),
          );
          await Promise.all(asked);
          assert.deepEqual((await couch.ask({ method: 'GET', path: '/up' })).body, { ok: true });
        });
  });

  it('refuses a success that is not plain JSON: a redirect, a page, a body that is compressed', async () => {
    const answers: readonly (readonly [number, Readonly<Record<string, string>>])[] = [
      [302, { location: '/up' }],
      [200, { 'content-type': 'text/html' }],
      [200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }],
      [200, { 'content-type': 'application/json', 'content-encoding': 'zstd' }],
    ];
    const odd = await node(({ url, headers }, res) => {
      assert.equal(headers['accept-encoding'], 'identity');
      const [status, fields] = answers[Number(url.slice(1))] ?? [200, {}];
      res.writeHead(status, fields).end('{"a":1}');
    });
    const { couch } = client([odd.url]);
    for (const at of answers.keys())
      for (const exact of [true, false])
        await rejects(
          couch.ask({ method: 'PUT', path: `/${String(at)}`, exact }),
          /failed \(sent\): (answer is not JSON|connection failed|no answer)$/,
        );
  });

  it('takes a node that does not answer in time for failed and asks the next', async () => {
    const silent = await node(() => undefined);
    const up = await node((_, res) => answerJson(res, 200, {}));
    const { couch, failed } = client([silent.url, up.url]);
    assert.equal((await couch.ask({ method: 'GET', path: '/', timeoutMs: 2000 })).status, 200);
    assert.deepEqual(failed, [`${silent.url} timeout`]);
  });

  it('asks the next node for a read after a 500, and is unavailable when every node gives one', async () => {
    const broken = await node((_, res) =>
      answerJson(res, 500, { error: 'no_majority', reason: 'secret text' }),
    );
    const up = await node((_, res) => answerJson(res, 200, {}));
    assert.equal((await client([broken.url, up.url]).couch.ask({ method: 'GET', path: '/' })).status, 200);
    await rejects(client([broken.url]).couch.ask({ method: 'GET', path: '/' }), /: status 500 no_majority$/);
    await rejects(
      client([broken.url]).couch.ask({ method: 'PUT', path: '/db/_security', body: {} }),
      /status 500 no_majority$/,
    );
  });

  it('asks an https node whose certificate its CA signed, and no other', async () => {
    const ca = await makeCertificate('authority', { ca: true });
    const secure = https.createServer(await makeCertificate('node', { signedBy: ca }), (_, res) =>
      answerJson(res, 200, { ok: 1 }),
    );
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    closers.push(() => new Promise((resolve) => secure.close(resolve)));
    const url = `https://127.0.0.1:${(secure.address() as AddressInfo).port}`;
    const question = { method: 'GET', path: '/' } as const;
    assert.deepEqual((await client([url], { ca: ca.cert }).couch.ask(question)).body, { ok: 1 });
    await rejects(client([url]).couch.ask(question), /failed \(unsent\): UNABLE_TO_VERIFY_LEAF_SIGNATURE$/);
  });

  it('is unavailable when no node is available', async () => {
    await rejects(client([]).couch.ask({ method: 'GET', path: '/' }), /^no CouchDB node is available$/);
  });

  for (const path of ['/a b', 'db', '/db#x', '/d\u00e9', '']) {
    it(`refuses a path that is not encoded – ${path}`, async () => {
      const up = await node((_, res) => answerJson(res, 200, {}));
      await assert.rejects(client([up.url]).couch.ask({ method: 'GET', path }), /is not encoded/);
      assert.equal(up.received.length, 0);
    });
  }

  for (const path of [
    '/db/..',
    '/db/%2E',
    '/db/%2e%2E/att?rev=1-x',
    '/db/../_users',
    '/db/a%00b',
    '//evil/db',
    '/d\\b',
    "/db/'x'?k='",
    '/db/x?',
    '/',
  ]) {
    it(`sends a path byte for byte, though fetch would rewrite it – DELETE ${path}`, async () => {
      const up = await node((_, res) => answerJson(res, 200, {}));
      const { status } = await client([up.url]).couch.ask({ method: 'DELETE', path });
      assert.equal(status, 200);
      assert.deepEqual(
        up.received.map(({ method, url }) => [method, url]),
        [['DELETE', path]],
      );
    });
  }
});

interface FakeFeed {
  readonly script: Script;
  readonly rows: { seq: number; id: string }[];
  live: ServerResponse | undefined;
  opened: number;
}

/** `_changes` of one database: a normal feed over `rows`, and a continuous one that the test writes to through `live`. */
function fakeFeed(): FakeFeed {
  const feed: FakeFeed = {
    rows: [],
    live: undefined,
    opened: 0,
    script({ url }, res) {
      const query = new URL(url, GONE).searchParams;
      const since = query.get('since') === 'now' ? Infinity : Number(query.get('since'));
      const results = feed.rows
        .filter((row) => row.seq > since)
        .slice(0, Number(query.get('limit') ?? '1000'));
      if (query.get('feed') !== 'continuous') {
        answerJson(res, 200, { results, last_seq: results.at(-1)?.seq ?? feed.rows.at(-1)?.seq ?? 0 });
        return;
      }
      feed.opened += 1;
      res.writeHead(200, { 'content-type': 'application/json' });
      res.write('\n');
      feed.live = res;
    },
  };
  return feed;
}

function listen(couch: CouchClient): { readonly events: string[]; readonly close: () => void } {
  const events: string[] = [];
  const feed = couch.follow('st/ore', {
    change: (row: ChangeRow) => events.push(`${row.id}${row.deleted ? ' deleted' : ''}`),
    state: (up) => events.push(up ? 'UP' : 'DOWN'),
  });
  return { events, close: () => feed.close() };
}

describe('following _changes', () => {
  it('begins with the present, and gives each change with its document', async () => {
    const feed = fakeFeed();
    feed.rows.push({ seq: 1, id: 'old' });
    const up = await node(feed.script);
    const { couch } = client([up.url]);
    const rows: ChangeRow[] = [];
    let state: boolean | undefined;
    couch.follow('db', { change: (row) => rows.push(row), state: (now) => (state = now) });
    await until(() => state === true);
    feed.live?.write('{"seq":2,"id":"a","changes":[],"doc":{"_id":"a","n":"ü"}}\n{"seq":3,"id":"b","del');
    feed.live?.write('eted":true,"changes":[]}\n');
    await until(() => rows.length === 2);
    assert.deepEqual(rows, [
      { id: 'a', deleted: false, doc: { _id: 'a', n: 'ü' } },
      { id: 'b', deleted: true, doc: undefined },
    ]);
    assert.match(up.received[0]?.url ?? '', /since=now&limit=0/);
    assert.equal(up.received[0]?.headers.authorization, 'Bearer own');
  });

  it('puts characters together that arrive in two parts', async () => {
    const feed = fakeFeed();
    const up = await node(feed.script);
    const { events } = listen(client([up.url]).couch);
    await until(() => events.includes('UP'));
    const line = Buffer.from('{"seq":2,"id":"ü"}\n');
    feed.live?.write(line.subarray(0, 16));
    await new Promise((resolve) => setTimeout(resolve, 20));
    feed.live?.write(line.subarray(16));
    await until(() => events.includes('ü'));
  });

  it('says at once that it is down when the connection breaks, and hands out what was missed before it is up again', async () => {
    const feed = fakeFeed();
    const up = await node(feed.script);
    const { events } = listen(client([up.url]).couch);
    await until(() => events.length === 1);
    feed.live?.write('{"seq":1,"id":"a"}\n');
    await until(() => events.length === 2);
    for (let seq = 1; seq <= 2500; seq += 1) feed.rows.push({ seq, id: seq === 2500 ? 'missed' : `m${seq}` });
    feed.live?.destroy();
    await until(() => events.filter((event) => event === 'UP').length === 2);
    assert.deepEqual(
      [events[0], events[1], events[2], events[3], events.at(-2), events.at(-1)],
      ['UP', 'a', 'DOWN', 'm2', 'missed', 'UP'],
    );
    assert.equal(events.length, 3 + 2499 + 1);
  });

  it('takes a silent node for dead and goes to another', async () => {
    const feed = fakeFeed();
    const silent = await node((request, res) =>
      request.url.includes('continuous') ? undefined : feed.script(request, res),
    );
    const up = await node(feed.script);
    const { couch, failed } = client([silent.url, up.url], { feedSilenceMs: 60 });
    const { events } = listen(couch);
    await until(() => events.includes('UP'));
    assert.equal(failed[0], `${silent.url} silent _changes feed`);
  });

  it('is down when a feed that was up falls silent', async () => {
    const feed = fakeFeed();
    const up = await node(feed.script);
    const { events } = listen(client([up.url], { feedSilenceMs: 60 }).couch);
    await until(() => events.includes('DOWN'));
    assert.deepEqual(events.slice(0, 2), ['UP', 'DOWN']);
  });

  it('tries again when the database is missing, when an answer is refused, and when a node is gone', async () => {
    const feed = fakeFeed();
    let refusals = 4;
    const up = await node((request, res) => {
      refusals -= 1;
      if (refusals > 0)
        answerJson(res, request.url.includes('continuous') ? 500 : 404, { error: 'not_found' });
      else feed.script(request, res);
    });
    const reasons: string[] = [];
    const feedFailed = (database: string, reason: string): unknown => reasons.push(`${database}: ${reason}`);
    const { events } = listen(client([GONE, up.url], { feedFailed }).couch);
    await until(() => events.includes('UP'));
    assert.deepEqual(events, ['UP']);
    assert.deepEqual(reasons, ['st/ore: _changes answered 404', 'st/ore: ECONNREFUSED']);
  });

  it('replays everything when CouchDB no longer knows its place in the feed', async () => {
    const feed = fakeFeed();
    let forgotten = false;
    const up = await node((request, res) => {
      if (forgotten && request.url.includes('since=7')) answerJson(res, 400, { error: 'bad_request' });
      else feed.script(request, res);
    });
    const { events } = listen(client([up.url]).couch);
    await until(() => events.includes('UP'));
    feed.live?.write('{"seq":7,"id":"a"}\n');
    await until(() => events.includes('a'));
    feed.rows.push({ seq: 1, id: 'first' });
    forgotten = true;
    feed.live?.end('{"last_seq":7}\n');
    await until(() => events.filter((event) => event === 'UP').length === 2);
    assert.deepEqual(events, ['UP', 'a', 'DOWN', 'first', 'UP']);
  });

  it('comes back after a listener threw', async () => {
    const feed = fakeFeed();
    const up = await node(feed.script);
    const { couch, failed } = client([up.url]);
    const seen: string[] = [];
    couch.follow('db', {
      change: ({ id }) => {
        seen.push(id);
        if (seen.length === 1) throw new Error('a fault of the listener');
      },
      state: (now) => seen.push(String(now)),
    });
    await until(() => seen.includes('true'));
    seen.length = 0;
    feed.rows.push({ seq: 1, id: 'a' });
    feed.live?.write('{"seq":1,"id":"a"}\n');
    await until(() => seen.at(-1) === 'true');
    assert.deepEqual(seen, ['a', 'false', 'a', 'true']);
    assert.deepEqual(failed, []);
  });

  it('says nothing more once it is closed', async () => {
    const feed = fakeFeed();
    const up = await node(feed.script);
    const { events, close } = listen(client([up.url]).couch);
    await until(() => events.includes('UP'));
    const left = new Promise((resolve) => feed.live?.on('close', resolve));
    close();
    await left;
    assert.deepEqual(events, ['UP']);
  });
});
