// Hazard H15: what CouchDB and a strict server read differently in the framing of a request, and what HTTP has beside requests.
import assert from 'node:assert/strict';
import { type IncomingHttpHeaders } from 'node:http';
import { before, beforeEach, describe, it } from 'node:test';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head } from '../support/raw-client.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { closedAfterSuite } from '../support/started.ts';

interface Got {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  body: string;
}

describe('H15: framing', () => {
  let upstream: ScriptedUpstream;
  let front: ForwardingFront;
  let seen: Got[] = [];
  const started = closedAfterSuite();
  before(async () => {
    upstream = await started(
      startUpstream((req, res) => {
        const got: Got = { method: req.method, url: req.url, headers: req.headers, body: '' };
        seen.push(got);
        req.on('data', (chunk: Buffer) => (got.body += chunk.toString('latin1')));
        req.on('end', () => {
          res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 12 });
          res.end('{"ok":true}\n');
        });
      }),
    );
    front = await started(
      startForwarding({
        upstreams: [upstream],
        judge: (req) => (req.url === '/db/inspected' ? { body: Buffer.from('{"é":1}') } : {}),
      }),
    );
  });
  beforeEach(() => (seen = []));

  const send = async (lines: readonly string[], body = ''): Promise<string> =>
    exchangeBytes(front.url, head(...lines, 'Host: x', 'Connection: close') + body);

  const refused: readonly (readonly [string, readonly string[], string])[] = [
    ['a length beside chunks', ['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
    ['two lengths', ['Content-Length: 2', 'Content-Length: 3'], '{}x'],
    ['a signed length', ['Content-Length: +2'], '{}'],
    ['chunks that are not the last coding', ['Transfer-Encoding: chunked, gzip'], '0\r\n\r\n'],
    ['a space before the colon', ['Content-Length : 2'], '{}'],
    ['a chunk length that is no number', ['Transfer-Encoding: chunked'], 'zz\r\n{}\r\n0\r\n\r\n'],
  ];
  for (const [what, lines, body] of refused) {
    it(`never reaches CouchDB with ${what} – POST /db`, async () => {
      await send(['POST /db HTTP/1.1', 'Content-Type: application/json', ...lines], body);
      assert.ok(
        seen.every((got) => got.body === '' && got.url === '/db'),
        JSON.stringify(seen),
      );
      assert.equal(
        seen.every(({ headers }) => headers['content-length'] === undefined),
        true,
      );
    });
  }

  it('is made anew for a chunked body: extensions, trailers and the size of chunks stay here', async () => {
    const body = '1;x="\r"\r\n{\r\n1\r\n}\r\n0\r\nX-Auth-CouchDB-Roles: _admin\r\n\r\n'.replace(
      '="\r"',
      '=y',
    );
    const lines = ['PUT /db/doc HTTP/1.1', 'Content-Type: application/json', 'Transfer-Encoding: Chunked'];
    await send([...lines, 'Trailer: X-Auth-CouchDB-Roles'], body);
    assert.equal(seen[0]?.body, '{}');
    assert.equal(seen[0].headers['transfer-encoding'], 'chunked');
    assert.equal(seen[0].headers['content-length'], undefined);
    assert.equal(seen[0].headers.trailer, undefined);
  });

  it('says the length of the bytes that were inspected, whatever the client said of them', async () => {
    const lines = ['POST /db/inspected HTTP/1.1', 'Content-Type: application/json'];
    await send([...lines, 'Transfer-Encoding: chunked'], '3\r\nabc\r\n0\r\n\r\n');
    assert.equal(seen[0]?.headers['content-length'], '8');
    assert.equal(seen[0].headers['transfer-encoding'], undefined);
    assert.equal(Buffer.from(seen[0].body, 'latin1').toString(), '{"é":1}');
  });

  it('says that a body is empty where the client said nothing – POST /db/_compact', async () => {
    await send(['POST /db/_compact HTTP/1.1', 'Content-Type: application/json']);
    assert.equal(seen[0]?.headers['content-length'], '0');
    assert.equal(seen[0].headers['transfer-encoding'], undefined);
  });

  it('passes the target byte for byte, though http-proxy would mend it', async () => {
    for (const target of [
      '/db/http:/x',
      '/db/a%2Fb?x=//y&z=http:/w',
      "/db/'(*)~!$&+,;=:@",
      '/db/x?a?b',
      '/db/%E2%82%AC?k="a|b"',
    ]) {
      await send([`GET ${target} HTTP/1.1`]);
      assert.equal(seen.pop()?.url, target);
    }
  });

  it('answers HEAD with the head of GET and no body', async () => {
    const answer = await send(['HEAD /db/doc HTTP/1.1']);
    assert.match(answer, /Content-Length: 12\r\n/);
    assert.equal(answer.endsWith('\r\n\r\n'), true);
    assert.equal(seen[0]?.method, 'HEAD');
  });

  it('takes the second request of a pipeline after the first, each with its own answer', async () => {
    const lines = (path: string): string => head(`GET ${path} HTTP/1.1`, 'Host: x');
    const client = await connectRaw(front.port);
    client.send(lines('/db/1') + lines('/db/2'));
    await client.sees('}\n'.concat('HTTP/1.1 200 OK'));
    client.socket.destroy();
    assert.deepEqual(
      seen.map(({ url }) => url),
      ['/db/1', '/db/2'],
    );
  });
});

describe('H15: an answer before the body was read', () => {
  it('is passed on, and ends the client’s connection, so that the rest of the body is no next request', async () => {
    const upstream = await startUpstream((_req, res) => {
      res.writeHead(413, { 'Content-Type': 'application/json' }).end('{"error":"too_large"}\n');
    });
    const front = await startForwarding({ upstreams: [upstream] });
    const client = await connectRaw(front.port);
    const lines = ['PUT /db/doc/att HTTP/1.1', 'Host: x', 'Content-Type: application/octet-stream'];
    client.send(head(...lines, 'Content-Length: 1000000') + 'x'.repeat(1000));
    await client.sees('too_large');
    await client.end();
    assert.match(client.received, /Connection: close/);
    assert.equal(client.received.match(/HTTP\/1\.1/g)?.length, 1);
    await front.close();
    await upstream.close();
  });

  it('is passed on though CouchDB resets the connection right behind it', async () => {
    const upstream = await startUpstream((req, res) => {
      res.writeHead(413, { 'Content-Type': 'application/json', 'Content-Length': 2 });
      res.end('{}', () => setImmediate(() => req.socket.resetAndDestroy()));
    });
    const front = await startForwarding({ upstreams: [upstream] });
    const client = await connectRaw(front.port);
    client.send(
      head('PUT /db/doc HTTP/1.1', 'Host: x', 'Content-Length: 100000') + `{"x":"${'x'.repeat(70_000)}`,
    );
    await client.sees('HTTP/1.1 413');
    await client.end();
    assert.ok(client.received.endsWith('{}'), client.received);
    await front.close();
    await upstream.close();
  });
});

describe('H15: a refusal that ends the connection', () => {
  const started = closedAfterSuite();
  let gate: Couchgate;
  before(async () => {
    gate = await started(startCouchgate());
  });

  for (const [what, lines, rest] of [
    ['a coding that nobody knows', ['POST /db HTTP/1.1', 'Transfer-Encoding: xchunked'], '0\r\n\r\n'],
    ['a body that is no body', ['PUT /db/doc HTTP/1.1', 'Transfer-Encoding: chunked'], 'zz\r\n{}\r\n'],
    [
      'wrong credentials and garbage',
      ['PUT /db/doc HTTP/1.1', 'Authorization: Basic eDp5', 'Transfer-Encoding: xchunked'],
      'GARBAGE\r\n\r\n',
    ],
    ['a preflight with half a body', ['OPTIONS /db HTTP/1.1', 'Transfer-Encoding: xchunked'], 'x\r\n\r\n'],
  ] as const)
    it(`is the only answer, if there is one – ${what}`, async () => {
      const received = await exchangeBytes(gate.url, head(...lines, 'Host: x') + rest);
      assert.ok(received.split('HTTP/1.1 ').length <= 2, received);
    });

  it('is the answer to chunks of HTTP/1.0, which another proxy may not know – POST /_session – 400', async () => {
    const lines = ['POST /_session HTTP/1.0', 'Connection: keep-alive', 'Transfer-Encoding: chunked'];
    const next = head('GET / HTTP/1.1', 'Host: x', 'Connection: close');
    const received = await exchangeBytes(gate.url, `${head(...lines)}0\r\n\r\n${next}`);
    assert.deepEqual(received.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 400']);
  });
});
