// Hazard H3: CouchDB sends an attachment's stored type, and a stored revision, out as they are, line ends included: they can bring headers
// along, or end the head early and leave a forged answer on the connection for whoever uses it next.
import assert from 'node:assert/strict';
import net, { type Socket } from 'node:net';
import { before, describe, it } from 'node:test';
import { parseTarget } from '../../src/admit/target.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { ENDPOINTS } from '../../src/catalogue/catalogue.ts';
import { openAdmin } from '../../src/setup/admin.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { describeHostile } from '../support/hostile.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { head } from '../support/raw-client.ts';
import { type ScriptedUpstream, startRawUpstream } from '../support/scripted-upstream.ts';
import { closedAfterSuite } from '../support/started.ts';
import { testSettings } from '../support/settings.ts';

const FORGED_BODY = '{"cloudant":{"attacker":["_admin"]}}';
const FORGED = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${FORGED_BODY.length}\r\n\r\n${FORGED_BODY}`;
const TRUE_BODY = '{"true":1}';

/** Stands for the line in which CouchDB repeats our request id. */
const ID = 'X-Couch-Request-ID: (ours)';

function get(path: string, ...lines: readonly string[]): string {
  return head(`GET ${path} HTTP/1.1`, 'Host: x', ...lines);
}

describe('H3: an answer that was forged beforehand', () => {
  let upstream: ScriptedUpstream;
  let front: ForwardingFront;
  /** The head of the first answer, as the attacker has stored it. */
  let stored = '';
  /** Sent in one piece with it. */
  let tail = '';
  /** The connection that carried it; whoever uses it again gets a forged answer. */
  let used: Socket | undefined;
  const started = closedAfterSuite();
  before(async () => {
    upstream = await started(
      startRawUpstream((socket: Socket) => {
        socket.on('data', (chunk: Buffer) => {
          const request = chunk.toString('latin1');
          const id = `X-Couch-Request-ID: ${/x-couch-request-id: (.*)\r/i.exec(request)?.[1] ?? ''}`;
          if (request.includes('/_up')) socket.end(head('HTTP/1.1 200 OK', 'Content-Length: 0'));
          else if (request.startsWith('GET /db/first')) {
            used = socket;
            socket.write(`${stored.replace(ID, id)}body${tail}`);
          } else {
            const lines = ['Content-Type: application/json', `Content-Length: ${TRUE_BODY.length}`, id];
            socket.write((socket === used ? FORGED : '') + head('HTTP/1.1 200 OK', ...lines) + TRUE_BODY);
          }
        });
      }),
    );
    front = await started(startForwarding({ upstreams: [upstream] }));
  });

  const first = (...lines: readonly string[]): Promise<string> => {
    stored = head('HTTP/1.1 200 OK', 'Content-Length: 4', ...lines, ID);
    return exchangeBytes(front.url, get('/db/first', 'Connection: close'));
  };

  const types: readonly string[] = [
    'text/plain',
    'application/octet-stream',
    'multipart/mixed; boundary=x',
    'text/event-stream',
    'application/jsonp',
    'Application/JSON',
  ];
  for (const type of types) {
    it(`does not reach the next request over a connection that carried ${type}`, async () => {
      await first(`Content-Type: ${type}`);
      const next = await exchangeBytes(front.url, get('/db/next', 'Connection: close'));
      assert.ok(next.includes(TRUE_BODY) && !next.includes('attacker'), next);
    });
  }

  const cut: readonly (readonly [string, readonly string[]])[] = [
    ['nothing of what CouchDB writes behind it', []],
    [
      'what CouchDB writes behind it, but an id of the writer’s',
      ['Server: CouchDB', 'X-Couch-Request-ID: guessed'],
    ],
    ['two ids', ['X-Couch-Request-ID: guessed', ID]],
  ];
  for (const [what, lines] of cut) {
    it(`does not reach it behind a revision that ended the head with ${what}`, async () => {
      stored = head(
        'HTTP/1.1 200 OK',
        'Content-Length: 4',
        'Content-Type: application/json',
        'ETag: "1-a"',
        ...lines,
      );
      await exchangeBytes(front.url, get('/db/first', 'Connection: close'));
      const next = await exchangeBytes(front.url, get('/db/next', 'Connection: close'));
      assert.ok(next.includes(TRUE_BODY) && !next.includes('attacker'), next);
    });
  }

  it('does not reach it when its writer asked for it with an id that was stored in the revision', async () => {
    stored = head(
      'HTTP/1.1 200 OK',
      'Content-Length: 4',
      'Content-Type: application/json',
      'X-Couch-Request-ID: request-1',
    );
    await exchangeBytes(front.url, get('/db/first', 'X-Couch-Request-ID: request-1', 'Connection: close'));
    const next = await exchangeBytes(front.url, get('/db/next', 'Connection: close'));
    assert.ok(next.includes(TRUE_BODY) && !next.includes('attacker'), next);
  });

  it('is told apart from an answer that came whole, after which the connection is used again', async () => {
    await first('Content-Type: application/json');
    const ports = [used?.remotePort];
    used = undefined;
    await exchangeBytes(front.url, get('/db/next', 'Connection: close'));
    await first('Content-Type: application/json');
    ports.push((used as Socket | undefined)?.remotePort);
    used = undefined;
    assert.ok(ports[0] !== undefined && ports[0] === ports[1], ports.join());
  });

  it('does not reach it either when it comes in one piece with the answer before it', async () => {
    tail = FORGED;
    const answer = await first('Content-Type: application/json');
    tail = '';
    const next = await exchangeBytes(front.url, get('/db/next', 'Connection: close'));
    assert.equal(!answer.includes('attacker') && !next.includes('attacker'), true);
    assert.ok(next.includes(TRUE_BODY), next);
  });

  it('brings no header along that is not on the list', async () => {
    const answer = await first(
      'Content-Type: text/plain',
      'Set-Cookie: AuthSession=evil',
      'Access-Control-Allow-Origin: *',
      'Location: https://evil.example',
      'Clear-Site-Data: "*"',
    );
    assert.match(answer, /^HTTP\/1\.1 200 /);
    for (const word of ['evil', 'Access-Control', 'Clear-Site-Data']) assert.ok(!answer.includes(word), word);
  });

  it('cannot overrule a header that CouchDB has sent', async () => {
    const answer = await first(
      'Content-Type: text/plain',
      'ETag: "1"',
      'Content-Type: text/html',
      'ETag: "2"',
    );
    assert.match(answer, /Content-Type: text\/plain\r\n/);
    assert.equal(!answer.includes('text/html') && !answer.includes('"2"'), true);
  });

  it('loses a value that holds control characters', async () => {
    const answer = await first('Content-Type: text/\x01plain', 'ETag: "\x0b"', 'X-Couch-Id: good');
    assert.match(answer, /^HTTP\/1\.1 (200|502) /);
    assert.equal(!answer.includes('\x01') && !answer.includes('\x0b'), true);
  });

  for (const lines of [
    ['Content-Type: text/plain', 'Content-Length: 2'],
    ['Content-Type: text/plain', 'Transfer-Encoding: chunked'],
    ['Content-Type: text/plain', 'no colon here'],
    ['Content-Type: text/plain\nSet-Cookie: a=b'],
  ]) {
    it(`is 502 when it is not HTTP any more: ${JSON.stringify(lines.at(-1))}`, async () => {
      const answer = await first(...lines);
      assert.match(answer, /^HTTP\/1\.1 502 /);
      assert.equal(answer.includes('Set-Cookie'), false);
      assert.equal(front.nodes.report()[0]?.state, 'up');
    });
  }
});

// A stored type may begin with application/json, so the type alone does not tell: what classify finds has to.
const WRITTEN = [
  'GET /h3/doc/att',
  'HEAD /h3/doc/att',
  'PUT /h3/doc/att',
  'GET /h3/_design/d/att',
  'GET /h3/_design/d/_some',
  'PUT /h3/_design/d/att',
  'GET /h3/_design/d/_show/s/doc',
  'POST /h3/_design/d/_show/s',
  'GET /h3/_design/d/_list/l/v',
  'POST /h3/_design/d/_list/l/other/v',
  'POST /h3/_design/d/_update/u',
  'PUT /h3/_design/d/_update/u/doc',
  'GET /h3/_design/d/_geo/i',
  'GET /h3/_partition/p/_design/d/_show/s',
  'POST /h3/_partition/p/_design/d/_update/u',
  'GET /h3/_partition/p/_design/d/_some',
  'GET /_users',
  'GET /_users/org.couchdb.user:a',
  'HEAD /_users/org.couchdb.user:a',
  'GET /_users/org.couchdb.user:a/att',
  'GET /_users/_design/_auth',
  'GET /_users/_changes',
  'GET /_users/_changes?feed=longpoll&timeout=100',
  'GET /%5Fusers/org.couchdb.user:a',
  'GET /_replicator',
  'GET /_replicator/doc',
  'GET /_replicator/doc/att',
  'GET /_replicator/_design/d',
  'GET /_replicator/_local/doc',
  'POST /_replicator/_find',
  'GET /_replicator/_design/d/_view/v',
  'GET /_global_changes/doc',
  'GET /x%2F_users/doc',
  'GET /x%2F_replicator/doc',
  'GET /x%2F_replicator/_changes?feed=continuous',
] as const;
/** CouchDB's own JSON and nothing else. */
const OWN = ['GET /h3/doc', 'POST /h3/_find', 'GET /_replicator/_all_docs', 'GET /_replicator/_changes'];

describeHostile('H3: answers whose type a client has written', { databases: ['h3'] }, (gate) => {
  const connectionOf = async (line: string): Promise<string | undefined> => {
    const [method = ''] = line.split(' ');
    const json = method === 'POST' || method === 'PUT';
    const { reached } = await gate.send({
      line,
      as: 'owner',
      ...(json ? { headers: ['Content-Type: application/json'], body: '{}' } : {}),
    });
    assert.equal(reached.length, 1, `${line} did not reach CouchDB`);
    return reached[0]?.headers.connection;
  };
  for (const line of WRITTEN) {
    it(`come on a connection that is used once – ${line}`, async () => {
      assert.equal(await connectionOf(line), 'close');
    });
  }
  for (const line of OWN) {
    it(`are not those on which CouchDB answers of its own – ${line}`, async () => {
      assert.equal(await connectionOf(line), 'keep-alive');
    });
  }

  it('are known, every row of them', () => {
    const classify = createClassify(testSettings());
    const tried = new Set(
      WRITTEN.map((line) => {
        const [method = '', target = ''] = line.split(' ');
        return classify(method, parseTarget(target, { maxUrlBytes: 4096 }), undefined).endpoint.id;
      }),
    );
    const known = ENDPOINTS.filter(({ pool }) => pool === 'single-use').map(({ id }) => id);
    assert.deepEqual(
      known.filter((id) => !tried.has(id)),
      [],
    );
  });
});

describe('H3 on a real CouchDB', { skip: withoutCouchdb }, () => {
  let backend: Backend;
  let front: ForwardingFront;
  let relay: ScriptedUpstream;
  const FIRST_LINES = 'application/octet-stream\r\nX-Ends: here\r\n\r\n-';
  const started = closedAfterSuite();
  before(async () => {
    backend = await started(startBackend());
    relay = await started(startRelay(backend.urls[0] ?? ''));
    front = await started(
      startForwarding({
        upstreams: [relay],
        key: backend,
        // The next request then takes the connection at once, while the tail of the answer is still under way.
        nodes: { connections: 1 },
        judge: () => ({ privilege: 'server_admin' }),
      }),
    );
    await fetch(`${front.url}/split`, { method: 'PUT' });
  });

  const store = async (id: string, type: string, data: Buffer): Promise<void> => {
    const attachment = { content_type: type, data: data.toString('base64') };
    // Past Couchgate, which limits the length of a type (H20.10).
    const admin = openAdmin({ url: backend.urls[0] ?? '', credentials: backend.owner });
    const answer = await admin.ask('PUT', `/split/${id}`, { _attachments: { a: attachment } });
    assert.equal(answer.status, 201);
  };

  it('drops a cookie that was stored in a type – GET /db/doc/attachment', async () => {
    await store('cookie', 'text/plain\r\nSet-Cookie: AuthSession=evil', Buffer.from('hello'));
    const answer = await fetch(`${front.url}/split/cookie/a`);
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.headers.getSetCookie(), []);
    assert.equal(await answer.text(), 'hello');
  });

  it('uses no connection again after a document whose revision ends the head of its answer', async () => {
    const forged = `1-a"\r\nServer: CouchDB\r\nX-Couch-Request-ID: guessed\r\n\r\n${FORGED}`;
    const docs = [{ _id: 'revision', _rev: forged }, { _id: 'good' }];
    await Promise.all(
      docs.map((doc) =>
        fetch(`${front.url}/split/_bulk_docs`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ new_edits: doc._rev === undefined, docs: [doc] }),
        }),
      ),
    );
    const opened = async (path: string, method = 'GET'): Promise<number> => {
      const before = relay.connections;
      for (let n = 0; n < 3; n += 1) {
        const answer = await fetch(`${front.url}/split/${path}`, { method });
        assert.equal(answer.status, 200);
        await answer.text();
      }
      return relay.connections - before;
    };
    await opened('good');
    assert.equal(await opened('good'), 0);
    // The first of each three takes an idle connection: http-proxy's or undici's.
    assert.equal(await opened('revision', 'HEAD'), 2);
    assert.equal(await opened('revision'), 2);
  });

  it('gives nobody the answer that was forged in an attachment', async () => {
    // What the node sends behind the length that it announced is as long as the header lines that were pushed into the body. Made as
    // long as one of the pieces in which an attachment is sent, and put behind what Node reads at a time, it arrives by itself.
    const size = 17 * PIECE;
    await store('measure', FIRST_LINES, Buffer.alloc(size, 'x'));
    const left = await leftOver(backend, '/split/measure/a', size);
    const type = FIRST_LINES + '-'.repeat(PIECE - left);
    const forged = FORGED.replace('\r\n\r\n', `\r\nX-Pad: ${'p'.repeat(PIECE - FORGED.length - 9)}\r\n\r\n`);
    await store('forged', type, Buffer.from(forged.padStart(size, 'x')));
    assert.equal(await leftOver(backend, '/split/forged/a', size), forged.length);
    const attack = async (): Promise<undefined> => {
      await (await fetch(`${front.url}/split/forged/a`)).arrayBuffer();
    };
    const ask = async (): Promise<string> => (await fetch(`${front.url}/split`)).text();
    for (let round = 0; round < 20; round += 1) {
      const answers = await Promise.all([attack(), ask(), attack(), ask(), ask(), attack().then(ask), ask()]);
      for (const text of answers)
        if (text !== undefined) assert.match(text, /^\{"(instance_start_time|db_name)"/);
    }
  });
});

const PIECE = 4096;

/** How many bytes a node sends behind the end of an answer. */
async function leftOver(backend: Backend, path: string, size: number): Promise<number> {
  const { name, password } = backend.owner;
  const basic = `Authorization: Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
  const { hostname, port } = new URL(backend.urls[0] ?? '');
  const socket = net.connect(Number(port), hostname);
  socket.write(get(path, basic, 'Connection: close'));
  let received = '';
  for await (const chunk of socket) received += (chunk as Buffer).toString('latin1');
  return received.length - (received.indexOf('\r\n\r\n') + 4) - size;
}

/** Passes bytes on to a node, so that connections can be counted. */
function startRelay(url: string): Promise<ScriptedUpstream> {
  const { hostname, port } = new URL(url);
  return startRawUpstream((socket) => {
    const onward = net.connect(Number(port), hostname);
    onward.on('error', () => socket.destroy());
    onward.on('close', () => socket.destroy());
    socket.on('close', () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  });
}
