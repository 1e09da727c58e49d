// Hazard H3: CouchDB sends an attachment's stored type out as it is, line ends included: it can bring headers along, or end the head
// early and leave a forged answer on the connection for whoever uses it next.
import assert from 'node:assert/strict';
import net, { type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startBackend, type Backend } from '../support/backend.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { head } from '../support/raw-client.ts';
import { type ScriptedUpstream, startRawUpstream } from '../support/scripted-upstream.ts';

const FORGED_BODY = '{"cloudant":{"attacker":["_admin"]}}';
const FORGED = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${FORGED_BODY.length}\r\n\r\n${FORGED_BODY}`;
const TRUE_BODY = '{"true":1}';
const TRUE = `${head('HTTP/1.1 200 OK', 'Content-Type: application/json', `Content-Length: ${TRUE_BODY.length}`)}${TRUE_BODY}`;

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
  before(async () => {
    upstream = await startRawUpstream((socket: Socket) => {
      socket.on('data', (chunk: Buffer) => {
        const request = chunk.toString('latin1');
        if (request.includes('/_up')) socket.end(head('HTTP/1.1 200 OK', 'Content-Length: 0'));
        else if (request.startsWith('GET /db/first')) {
          used = socket;
          socket.write(`${stored}body${tail}`);
        } else socket.write((socket === used ? FORGED : '') + TRUE);
      });
    });
    front = await startForwarding({ upstreams: [upstream] });
  });
  after(() => Promise.all([front.close(), upstream.close()]));

  const first = (...lines: readonly string[]): Promise<string> => {
    stored = head('HTTP/1.1 200 OK', 'Content-Length: 4', ...lines);
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

  it('does not reach it either when it comes in one piece with the answer before it', async () => {
    tail = FORGED;
    const answer = await first('Content-Type: application/json');
    tail = '';
    const next = await exchangeBytes(front.url, get('/db/next', 'Connection: close'));
    assert.ok(!answer.includes('attacker') && !next.includes('attacker'));
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
    assert.ok(!answer.includes('text/html') && !answer.includes('"2"'));
  });

  it('loses a value that holds control characters', async () => {
    const answer = await first('Content-Type: text/\x01plain', 'ETag: "\x0b"', 'X-Couch-Id: good');
    assert.match(answer, /^HTTP\/1\.1 (200|502) /);
    assert.ok(!answer.includes('\x01') && !answer.includes('\x0b'));
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
      assert.ok(!answer.includes('Set-Cookie'));
      assert.equal(front.nodes.report()[0]?.state, 'up');
    });
  }
});

describe('H3 on a real CouchDB', { skip: withoutCouchdb }, () => {
  let backend: Backend;
  let front: ForwardingFront;
  const FIRST_LINES = 'application/octet-stream\r\nX-Ends: here\r\n\r\n-';
  before(async () => {
    backend = await startBackend();
    front = await startForwarding({
      upstreams: backend.urls.map((url) => ({ url })),
      key: backend,
      // The next request then takes the connection at once, while the tail of the answer is still under way.
      nodes: { connections: 1 },
      judge: () => ({ privilege: 'server_admin' }),
    });
    await fetch(`${front.url}/split`, { method: 'PUT' });
  });
  after(async () => {
    await front.close();
    await backend.close();
  });

  const store = async (id: string, type: string, data: Buffer): Promise<void> => {
    const attachment = { content_type: type, data: data.toString('base64') };
    const answer = await fetch(`${front.url}/split/${id}`, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ _attachments: { a: attachment } }),
    });
    assert.equal(answer.status, 201);
  };

  it('drops a cookie that was stored in a type – GET /db/doc/attachment', async () => {
    await store('cookie', 'text/plain\r\nSet-Cookie: AuthSession=evil', Buffer.from('hello'));
    const answer = await fetch(`${front.url}/split/cookie/a`);
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.headers.getSetCookie(), []);
    assert.equal(await answer.text(), 'hello');
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
