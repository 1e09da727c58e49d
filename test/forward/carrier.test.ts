// The contract of both carriers: undici on kept connections, http-proxy for streams. Each row runs over both.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, afterEach, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type PoolKind } from '../../src/catalogue/endpoint.ts';
import { type ForwardingFront, type ForwardingSetup, startForwarding } from '../support/forwarding.ts';
import { type ScriptedUpstream, startRawUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

interface Carrier {
  readonly name: string;
  readonly transport: PoolKind;
  /** A request that this carrier takes. */
  readonly request: { readonly method: string; readonly body?: string };
}

const CARRIERS: readonly Carrier[] = [
  { name: 'undici', transport: 'pooled', request: { method: 'GET' } },
  { name: 'http-proxy', transport: 'single-use', request: { method: 'GET' } },
  { name: 'http-proxy on a kept connection', transport: 'pooled', request: { method: 'PUT', body: '{}' } },
];

interface Received {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

const CLOSE: (() => Promise<void> | void)[] = [];

async function front(
  carrier: Carrier,
  upstreams: readonly ScriptedUpstream[],
  setup: Partial<ForwardingSetup> = {},
): Promise<ForwardingFront> {
  const started = await startForwarding({
    upstreams,
    judge: () => ({ transport: carrier.transport }),
    ...setup,
  });
  CLOSE.push(() => started.close(), ...upstreams.map((upstream) => () => upstream.close()));
  return started;
}

function send({ request }: Carrier, url: string): http.ClientRequest {
  const headers = request.body === undefined ? {} : { 'content-type': 'application/json' };
  const req = http.request(url, { method: request.method, agent: false, headers });
  req.on('error', () => undefined);
  return req.end(request.body);
}

async function ask(carrier: Carrier, url: string): Promise<Received> {
  const [res] = (await once(send(carrier, url), 'response')) as [IncomingMessage];
  return { status: res.statusCode ?? 0, headers: res.headers, body: await buffer(res) };
}

/** Answers each request on a connection with the next of these texts; `$ID` is the request's id. */
function scripted(...answers: readonly string[]): (socket: Socket) => void {
  let at = 0;
  return (socket) => {
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1');
      if (text.startsWith('GET /_up')) {
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}');
        return;
      }
      if (!/^[A-Z]+ \//.test(text)) return;
      const id = /x-couch-request-id: (\S+)/i.exec(text)?.[1] ?? '';
      const answer = answers[Math.min(at, answers.length - 1)] ?? '';
      at += 1;
      socket.write(answer.replaceAll('$ID', id), 'latin1');
    });
  };
}

const JSON_HEAD = 'HTTP/1.1 200 OK\r\nX-Couch-Request-ID: $ID\r\nContent-Type: application/json\r\n';
const WHOLE = `${JSON_HEAD}Content-Length: 11\r\n\r\n{"ok":true}`;

for (const carrier of CARRIERS) {
  describe(`a request over ${carrier.name}`, () => {
    afterEach(async () => {
      for (const close of CLOSE.splice(0).reverse()) await close();
    });
    after(() => assert.equal(CLOSE.length, 0));

    it('gets status, headers and bytes as the node sent them', async () => {
      const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, n) => n % 256));
      const upstream = await startUpstream((_req, res) => {
        res.writeHead(202, { 'Content-Type': 'application/json', ETag: '"1-a"', 'X-Unknown': 'x' });
        res.end(bytes);
      });
      const { url } = await front(carrier, [upstream]);
      const { status, headers, body } = await ask(carrier, `${url}/db/doc?a=%2F&b`);
      assert.equal(status, 202);
      assert.equal(headers.etag, '"1-a"');
      assert.equal(headers['x-unknown'], undefined);
      assert.deepEqual(body, bytes);
    });

    it('gets the headers of a head that arrives in pieces', async () => {
      const inPieces = async (socket: Socket): Promise<void> => {
        const [request] = (await once(socket, 'data')) as [Buffer];
        const id = /x-couch-request-id: (\S+)/i.exec(request.toString())?.[1] ?? '';
        const answer = WHOLE.replace('\r\n', '\r\nETag: "1-a"\r\n').replace('$ID', id);
        for (let at = 0; at < answer.length; at += 5) {
          socket.write(answer.slice(at, at + 5));
          await nextTurn();
        }
      };
      const upstream = await startRawUpstream((socket) => void inPieces(socket));
      const { url } = await front(carrier, [upstream]);
      const { headers, body } = await ask(carrier, `${url}/db/doc`);
      const { etag, 'content-type': type, 'content-length': length } = headers;
      assert.deepEqual([etag, type, length], ['"1-a"', 'application/json', '11']);
      assert.equal(body.toString(), '{"ok":true}');
    });

    it('brings the node the target, the token and the id, and no header of the client beside', async () => {
      let seen: IncomingMessage | undefined;
      const upstream = await startUpstream((req, res) => {
        seen = req;
        req.resume();
        res.end('{}');
      });
      const { url } = await front(carrier, [upstream]);
      assert.equal((await ask(carrier, `${url}/db/a%2Fb//http:/c?x=%20`)).status, 200);
      assert.equal(seen?.url, '/db/a%2Fb//http:/c?x=%20');
      assert.equal(seen.headers.host, upstream.host);
      assert.match(seen.headers.authorization ?? '', /^Bearer /);
      assert.equal(seen.headers['x-couch-request-id'], 'request-1');
      const passed = ['connection', 'content-length', 'content-type', 'transfer-encoding'];
      const others = Object.keys(seen.headers).filter((name) => !passed.includes(name));
      assert.deepEqual(others.sort(), ['authorization', 'host', 'x-couch-request-id', 'x-forwarded-for']);
    });

    const INVALID: readonly (readonly [name: string, text: string])[] = [
      ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
      ['two lengths', `${JSON_HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}`],
      ['a length and chunks', `${JSON_HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}`],
      ['a line without a colon', `${JSON_HEAD}nonsense\r\n\r\n`],
      ['a head without an end', `${JSON_HEAD}X-Filler: ${'x'.repeat(40_000)}\r\n`],
      ['a switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\nX-Couch-Request-ID: $ID\r\n\r\n'],
    ];
    for (const [name, text] of INVALID) {
      it(`is 502 for an answer that is not valid – ${name}`, async () => {
        const upstream = await startRawUpstream(scripted(text));
        const { url } = await front(carrier, [upstream]);
        const { status, body } = await ask(carrier, `${url}/db/doc`);
        assert.equal(status, 502, body.toString());
      });
    }

    for (const early of ['102 Processing', '103 Early Hints']) {
      it(`gets the final answer after an interim one – ${early} – RFC 9110 section 15.2`, async () => {
        const upstream = await startRawUpstream(
          scripted(`HTTP/1.1 ${early}\r\nX-Early: yes\r\n\r\n${WHOLE}`),
        );
        const { url } = await front(carrier, [upstream]);
        const { status, headers, body } = await ask(carrier, `${url}/db/doc`);
        assert.equal(status, 200);
        assert.equal(headers['x-early'], undefined);
        assert.equal(body.toString(), '{"ok":true}');
      });
    }

    const BEHIND: readonly (readonly [name: string, bytes: string])[] = [
      ['a second answer', `${JSON_HEAD}Content-Length: 8\r\n\r\n{"no":1}`],
      ['bytes that are no HTTP', 'xxxx'],
    ];
    for (const [name, bytes] of BEHIND) {
      it(`never gets what stood behind the answer before it – ${name}`, async () => {
        const upstream = await startRawUpstream(scripted(WHOLE + bytes, WHOLE));
        const { url } = await front(carrier, [upstream]);
        for (let n = 0; n < 4; n += 1) {
          const { status, body } = await ask(carrier, `${url}/db/doc`);
          assert.deepEqual([status, body.toString()], [200, '{"ok":true}']);
        }
      });
    }

    it('uses a new connection after an answer whose head was cut – H3', async () => {
      const cut =
        'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}';
      const upstream = await startRawUpstream(scripted(cut));
      const { url } = await front(carrier, [upstream]);
      const before = upstream.connections;
      for (let n = 0; n < 3; n += 1) assert.equal((await ask(carrier, `${url}/db/doc`)).status, 200);
      assert.equal(upstream.connections - before, 3);
    });

    it('uses a new connection after an answer of a type that its author chose – H3', async () => {
      const upstream = await startUpstream((req, res) => {
        req.resume();
        res.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>');
      });
      const { url } = await front(carrier, [upstream]);
      for (let n = 0; n < 3; n += 1) assert.equal((await ask(carrier, `${url}/db/doc`)).status, 200);
      assert.equal(upstream.connections, 3);
    });

    const TRUNCATED: readonly (readonly [name: string, text: string])[] = [
      ['fewer bytes than it said', `${JSON_HEAD}Content-Length: 100\r\n\r\n{"ok":`],
      ['no last chunk', `${JSON_HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n{"ok"\r\n`],
    ];
    for (const [name, text] of TRUNCATED) {
      it(`shows its client that an answer broke off – ${name} – M4`, async () => {
        const upstream = await startRawUpstream((socket) => {
          scripted(text)(socket);
          socket.on('data', () => setImmediate(() => socket.end()));
        });
        const { url } = await front(carrier, [upstream]);
        const [res] = (await once(send(carrier, `${url}/db/doc`), 'response')) as [IncomingMessage];
        await assert.rejects(buffer(res), { code: 'ECONNRESET' });
      });
    }

    it('is not sent on when its client leaves, and frees its slot – M3', async () => {
      let closed = 0;
      const upstream = await startUpstream((req) => {
        req.resume();
        req.socket.on('close', () => (closed += 1));
      });
      const { url, nodes } = await front(carrier, [upstream]);
      const req = send(carrier, `${url}/db/doc`);
      await until(() => upstream.open > 0 && nodes.report()[0]?.running === 1, 'it is under way');
      req.destroy();
      await until(() => closed === 1, 'the node sees the end');
      await until(() => nodes.report()[0]?.running === 0, 'the slot is free');
    });

    it('is 504 when its node says nothing for the idle timeout', async () => {
      const upstream = await startUpstream((req) => req.resume());
      const { url, nodes } = await front(carrier, [upstream], { nodes: { idleTimeoutMs: 200 } });
      const { status, body } = await ask(carrier, `${url}/db/doc`);
      assert.equal(status, 504, body.toString());
      assert.equal(nodes.report()[0]?.running, 0);
    });

    it('goes to another node when one takes no connection', async () => {
      const upstreams = [
        await startUpstream((req, res) => {
          req.resume();
          res.end('{"node":0}');
        }),
        await startUpstream((req, res) => {
          req.resume();
          res.end('{"node":1}');
        }),
      ];
      const { url } = await front(carrier, upstreams);
      await upstreams[0]?.kill();
      for (let n = 0; n < 4; n += 1) {
        const { status, body } = await ask(carrier, `${url}/db/doc`);
        assert.deepEqual([status, body.toString()], [200, '{"node":1}']);
      }
    });

    it('stops reading from the node while its client does not read', async () => {
      const chunk = Buffer.alloc(65_536, 'x');
      const total = 64 * 1024 * 1024;
      let written = 0;
      const upstream = await startUpstream((req, res: ServerResponse) => {
        req.resume();
        res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': String(total) });
        const more = (): void => {
          while (written < total) {
            written += chunk.length;
            if (!res.write(chunk)) {
              res.once('drain', more);
              return;
            }
          }
          res.end();
        };
        more();
      });
      const { url } = await front(carrier, [upstream]);
      const [res] = (await once(send(carrier, `${url}/db/doc`), 'response')) as [IncomingMessage];
      let before = -1;
      let steady = 0;
      // On a busy machine the node writes nothing between two looks although nothing holds it up.
      await until(() => {
        steady = written === before ? steady + 1 : 0;
        before = written;
        return steady === 30;
      }, 'the node waits');
      assert.ok(written < total / 2, `${written} bytes were taken from the node`);
      assert.equal((await buffer(res)).length, total);
    });

    it('drops trailers', async () => {
      const text = `${JSON_HEAD}Transfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n2\r\n{}\r\n0\r\nX-A: b\r\n\r\n`;
      const upstream = await startRawUpstream(scripted(text));
      const { url } = await front(carrier, [upstream]);
      const [res] = (await once(send(carrier, `${url}/db/doc`), 'response')) as [IncomingMessage];
      assert.equal((await buffer(res)).toString(), '{}');
      assert.deepEqual(res.trailers, {});
    });
  });
}
