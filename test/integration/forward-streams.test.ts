// What streams through: attachments of any size in both directions, feeds, at the pace of the slower side and without being kept.
import assert from 'node:assert/strict';
import { fork, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import net, { type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { type PoolKind } from '../../src/catalogue/endpoint.ts';
import { type NodeReport } from '../../src/forward/nodes.ts';
import { makeCertificate } from '../support/certificates.ts';
import { type ForwardingFront, type ForwardingSetup, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

const MIB = 2 ** 20;
/** 128 MiB, or what FORWARD_STREAM_MIB says. */
const SIZE = Number(process.env['FORWARD_STREAM_MIB'] ?? 128) * MIB;
const PIECE = Buffer.alloc(MIB, 'couchgate streams ');

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function upstreamThat(handler: http.RequestListener): Promise<ScriptedUpstream> {
  const upstream = await startUpstream(handler);
  open.push(upstream);
  return upstream;
}

async function frontFor(
  upstreams: readonly { readonly url: string }[],
  setup: Omit<ForwardingSetup, 'upstreams'> = {},
): Promise<ForwardingFront> {
  const front = await startForwarding({ upstreams, ...setup });
  open.push(front);
  return front;
}

/** Writes `size` bytes as fast as they are taken. */
function pour(to: NodeJS.WritableStream, size: number): void {
  let left = size;
  const more = (): void => {
    while (left > 0) {
      left -= PIECE.length;
      if (!to.write(PIECE) && left > 0) {
        to.once('drain', more);
        return;
      }
    }
    to.end();
  };
  more();
}

function digestOf(size: number): string {
  const hash = createHash('md5');
  for (let left = size; left > 0; left -= PIECE.length) hash.update(PIECE);
  return hash.digest('hex');
}

async function digestOfAll(from: IncomingMessage): Promise<string> {
  const hash = createHash('md5');
  for await (const chunk of from) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

interface Memory {
  readonly rss: number;
  /** The most that the process ever held. */
  readonly mostRss: number;
  readonly nodes: readonly NodeReport[];
}

/** A front in a process of its own. */
async function frontProcess(
  upstream: ScriptedUpstream,
  transport: PoolKind,
): Promise<{ readonly url: string; readonly memory: () => Promise<Memory> }> {
  const program = new URL('../support/forwarding-process.ts', import.meta.url);
  const child = fork(program, [upstream.url, transport], { execArgv: ['--import', 'tsx', '--expose-gc'] });
  open.push({
    close: async () => {
      child.kill();
      await once(child, 'exit');
    },
  });
  const [{ url }] = (await once(child, 'message')) as [{ url: string }];
  return {
    url,
    memory: async () => {
      child.send('memory');
      const [memory] = (await once(child, 'message')) as [Memory];
      return memory;
    },
  };
}

function call(
  url: string,
  options: http.RequestOptions,
  body?: (to: http.ClientRequest) => void,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, options, resolve);
    request.on('error', reject);
    if (body === undefined) request.end();
    else body(request);
  });
}

describe('an attachment of any size', () => {
  // Node 24 lets more buffers pile up before it collects them.
  const ALLOWED = (Number(process.versions.node.split('.')[0]) < 24 ? 64 : 96) * MIB;
  const size = `${String(SIZE / MIB)} MiB`;

  it(`comes down whole – ${size}, and memory stays`, async (t) => {
    const upstream = await upstreamThat((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': SIZE });
      pour(res, SIZE);
    });
    const front = await frontProcess(upstream, 'single-use');
    const before = await front.memory();
    const answer = await call(`${front.url}/db/doc/a`, {});
    assert.equal(await digestOfAll(answer), digestOf(SIZE));
    const more = (await front.memory()).mostRss - before.mostRss;
    t.diagnostic(`${String(Math.round(more / MIB))} MiB more at most`);
    assert.ok(more < ALLOWED, `${String(more / MIB)} MiB more`);
  });

  for (const framing of [{ 'Content-Length': SIZE }, { 'Transfer-Encoding': 'chunked' }]) {
    it(`goes up whole – ${size} with ${Object.keys(framing).join('')}, and memory stays`, async (t) => {
      let digest: string | undefined;
      const upstream = await upstreamThat((req, res) => {
        void digestOfAll(req).then((got) => {
          digest = got;
          res.writeHead(201, { 'Content-Type': 'application/json' }).end('{}');
        });
      });
      const front = await frontProcess(upstream, 'single-use');
      const before = await front.memory();
      const headers = { 'Content-Type': 'application/octet-stream', ...framing };
      const answer = await call(`${front.url}/db/doc/a`, { method: 'PUT', headers }, (to) => pour(to, SIZE));
      assert.equal(answer.statusCode, 201);
      answer.resume();
      assert.equal(digest, digestOf(SIZE));
      const more = (await front.memory()).mostRss - before.mostRss;
      t.diagnostic(`${String(Math.round(more / MIB))} MiB more at most`);
      assert.ok(more < ALLOWED, `${String(more / MIB)} MiB more`);
    });
  }
});

describe('many feeds', () => {
  const FEEDS = Number(process.env['FORWARD_FEEDS'] ?? 500);

  it(`cost little memory each, and leave nothing behind when their clients leave – ${String(FEEDS)} continuous`, async (t) => {
    const feeds = new Set<ServerResponse>();
    const upstream = await upstreamThat((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' });
      res.write('{"seq":1}\n');
      feeds.add(res);
      res.on('close', () => feeds.delete(res));
    });
    const front = await frontProcess(upstream, 'feed');
    const before = await front.memory();
    const clients: http.ClientRequest[] = [];
    for (let n = 0; n < FEEDS; n += 100)
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          const request = http.get(`${front.url}/db/_changes?feed=continuous`, { agent: false });
          clients.push(request);
          request.on('error', () => undefined);
          const [answer] = (await once(request, 'response')) as [IncomingMessage];
          answer.on('error', () => undefined);
          await once(answer, 'data');
        }),
      );
    const during = await front.memory();
    assert.equal(during.nodes[0]?.feeds, FEEDS);
    const each = (during.rss - before.rss) / FEEDS;
    t.diagnostic(`${String(Math.round(each / 1024))} KiB a feed`);
    assert.ok(each < 96 * 1024, `${String(each)} bytes a feed`);
    for (const client of clients) client.destroy();
    await until(() => feeds.size === 0, 'CouchDB has no feed any more');
    await until(async () => (await front.memory()).nodes[0]?.feeds === 0);
  });
});

describe('a slow side', () => {
  /** Writes whenever it may, up to 512 MiB. */
  function flood(to: NodeJS.WritableStream, written: (bytes: number) => void): void {
    let left = 512;
    const more = (): void => {
      for (; left > 0; left -= 1) {
        written(PIECE.length);
        if (to.write(PIECE)) continue;
        to.once('drain', more);
        return;
      }
    };
    more();
  }

  /** Resolves when a number that grows has stopped growing for a while. */
  async function standsStill(value: () => number): Promise<void> {
    let before = -1;
    await until(async () => {
      const still = before === value();
      before = value();
      await new Promise((resolve) => setTimeout(resolve, 150));
      return still && before === value();
    });
  }

  it('slows the other: a client that does not read stops CouchDB', async () => {
    let written = 0;
    let res: ServerResponse | undefined;
    const upstream = await upstreamThat((_req, answer) => {
      res = answer;
      answer.writeHead(200, { 'Content-Type': 'application/octet-stream' });
      flood(answer, (bytes) => (written += bytes));
    });
    const front = await frontFor([upstream]);
    const client = await connectRaw(front.port);
    client.socket.pause();
    client.send(head('GET /db/doc/a HTTP/1.1', 'Host: x'));
    await until(() => res !== undefined && res.writableNeedDrain);
    await standsStill(() => written);
    // What sockets of the operating system hold on the way, and nothing else.
    assert.ok(written < 32 * MIB, `${String(written / MIB)} MiB were taken`);
    client.socket.destroy();
  });

  it('slows the other: a CouchDB that does not read stops the client', async () => {
    const upstream = await upstreamThat(() => undefined);
    const front = await frontFor([upstream]);
    let written = 0;
    const request = http.request(`${front.url}/db/doc/a`, { method: 'PUT' });
    request.on('error', () => undefined);
    flood(request, (bytes) => (written += bytes));
    await standsStill(() => written);
    assert.ok(written < 32 * MIB, `${String(written / MIB)} MiB were taken`);
    request.destroy();
  });
});

describe('an answer in many small pieces', () => {
  const PIECES = Array.from({ length: 2000 }, (_, n) => `{"id":"doc-${String(n)}"},\n`);
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  const HEAD = head('HTTP/1.1 200 OK', 'Content-Type: application/json', 'Transfer-Encoding: chunked');

  it('comes whole, in a few larger ones', async () => {
    const upstream = await upstreamThat((req) => {
      req.socket.write(`${HEAD}${PIECES.map(chunk).join('')}0\r\n\r\n`);
    });
    const front = await frontFor([upstream]);
    const client = await connectRaw(front.port);
    client.send(head('GET /db/_all_docs HTTP/1.1', 'Host: x'));
    await client.sees('\r\n0\r\n\r\n');
    const [, ...lines] = client.received.slice(client.received.indexOf('\r\n\r\n') + 2).split('\r\n');
    const pieces = lines.filter((_, at) => at % 2 === 1);
    assert.equal(pieces.join(''), PIECES.join(''));
    assert.ok(pieces.length < 20, `${String(pieces.length)} pieces`);
    client.socket.destroy();
  });

  it('sends each piece to the client before CouchDB sends the next one', async () => {
    const answers: ServerResponse[] = [];
    const upstream = await upstreamThat((_req, res) => {
      answers.push(res);
      res.writeHead(200, { 'Content-Type': 'application/json' }).write('first');
    });
    const front = await frontFor([upstream]);
    const client = await connectRaw(front.port);
    client.send(head('GET /db/_all_docs HTTP/1.1', 'Host: x'));
    await client.sees('first');
    for (const piece of ['second', 'third']) {
      answers[0]?.write(piece);
      await client.sees(piece);
    }
    answers[0]?.end();
    await client.sees('\r\n0\r\n\r\n');
    client.socket.destroy();
  });
});

describe('a feed', () => {
  async function feeding(setup: Omit<ForwardingSetup, 'upstreams'> = {}): Promise<{
    readonly front: ForwardingFront;
    readonly feeds: ServerResponse[];
    readonly upstream: ScriptedUpstream;
  }> {
    const feeds: ServerResponse[] = [];
    const upstream = await upstreamThat((req, res) => {
      const type = req.url?.includes('eventsource') === true ? 'text/event-stream' : 'application/json';
      res.writeHead(200, { 'Content-Type': type });
      res.flushHeaders();
      feeds.push(res);
    });
    const front = await frontFor([upstream], { judge: () => ({ transport: 'feed' }), ...setup });
    return { front, feeds, upstream };
  }
  const ask = (feed: string): string =>
    head(`GET /db/_changes?feed=${feed}&heartbeat=10000 HTTP/1.1`, 'Host: x');

  for (const feed of ['continuous', 'eventsource', 'longpoll']) {
    it(`shows its head at once, and every line and heartbeat as it comes – ${feed}`, async () => {
      const { front, feeds } = await feeding();
      const client = await connectRaw(front.port);
      client.send(ask(feed));
      await client.sees('\r\n\r\n');
      for (const line of ['{"seq":"1-a"}\n', '\n', '{"seq":"2-b"}\n']) {
        feeds[0]?.write(line);
        await client.sees(`${line.length.toString(16)}\r\n${line}\r\n`);
      }
      assert.equal(front.nodes.report()[0]?.feeds, 1);
      feeds[0]?.end();
      await client.sees('0\r\n\r\n');
      assert.equal(front.watched.size, 0);
      client.socket.destroy();
    });
  }

  it('is registered for who asked it, and breaks off visibly when that is revoked', async () => {
    const { front, feeds } = await feeding();
    const client = await connectRaw(front.port);
    client.send(ask('continuous'));
    await client.sees('\r\n\r\n');
    feeds[0]?.write('{"seq":1}\n');
    await client.sees('seq');
    const [registered] = front.watched;
    assert.deepEqual(
      [registered?.principal.name, registered?.database, registered?.endpoint.id],
      ['testing', 'db', 'test'],
    );
    registered?.cut('revoked');
    await client.end();
    assert.equal(client.received.endsWith('0\r\n\r\n'), false);
    assert.equal(front.contexts[0]?.outcome.cutShort, 'revoked');
    await until(() => feeds[0]?.destroyed === true && front.nodes.report()[0]?.feeds === 0);
    assert.equal(front.watched.size, 0);
  });

  it('ends whole between two lines when Couchgate goes, and breaks off where its parts make one document', async () => {
    const { front, feeds } = await feeding();
    const clients = await Promise.all(
      ['continuous', 'eventsource', 'longpoll'].map(async (feed) => {
        const client = await connectRaw(front.port);
        client.send(ask(feed));
        await client.sees('\r\n\r\n');
        return client;
      }),
    );
    for (const res of feeds) res.write('one\ntw');
    for (const client of clients) await client.sees('tw');
    front.endFeeds();
    for (const res of feeds) res.write('o\nthree\n');
    const [continuous, eventsource, longpoll] = clients;
    await continuous?.sees('three\n\r\n0\r\n\r\n');
    await eventsource?.sees('three\n\r\n0\r\n\r\n');
    await longpoll?.end();
    assert.equal(longpoll?.received.endsWith('0\r\n\r\n'), false);
    for (const client of clients) client.socket.destroy();
    await until(() => front.nodes.report()[0]?.feeds === 0);
  });

  for (const [feed, connections] of [
    ['eventsource', 3],
    ['longpoll', 1],
  ] as const) {
    it(`leaves its connection ${feed === 'longpoll' ? 'for the next feed' : 'unused, for CouchDB ends it twice'} – ${feed}`, async () => {
      const { front, feeds, upstream } = await feeding();
      for (let n = 0; n < 3; n += 1) {
        const client = await connectRaw(front.port);
        client.send(ask(feed));
        await client.sees('\r\n\r\n');
        feeds[n]?.end('{}\n');
        await client.sees('0\r\n\r\n');
        client.socket.destroy();
      }
      assert.equal(upstream.connections, connections);
    });
  }
});

describe('connections to CouchDB', () => {
  it('are kept for JSON, and each made anew for what declares itself single-use', async () => {
    const upstream = await upstreamThat((req, res) => {
      req.resume();
      res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
    });
    const front = await frontFor([upstream], {
      judge: (req) => ({ transport: req.url?.includes('single-use') === true ? 'single-use' : 'pooled' }),
    });
    for (let n = 0; n < 5; n += 1) await (await fetch(`${front.url}/db/pooled`)).text();
    assert.equal(upstream.connections, 1);
    for (let n = 0; n < 3; n += 1) await (await fetch(`${front.url}/db/single-use`)).text();
    assert.equal(upstream.connections, 4);
    for (let n = 0; n < 3; n += 1) await (await fetch(`${front.url}/db/pooled`)).text();
    assert.equal(upstream.connections, 4);
  });

  it('are given up when they were not used for a while', async () => {
    const upstream = await upstreamThat((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
    });
    const front = await frontFor([upstream], { nodes: { keepAliveMs: 30 } });
    await (await fetch(`${front.url}/db`)).text();
    await until(() => upstream.open === 0);
  });

  it('are TLS with a CA of one’s own, and with no other', async () => {
    const ca = await makeCertificate('ca', { ca: true });
    const certificate = await makeCertificate('127.0.0.1', { signedBy: ca });
    const server = https.createServer(certificate, (req, res) => {
      req.resume();
      res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(req.headers.host));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push({
      close: () =>
        new Promise((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    });
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const trusting = await frontFor([{ url }], { nodes: { ca: ca.cert } });
    for (const body of [undefined, '{}']) {
      const init =
        body === undefined ? {} : { method: 'PUT', body, headers: { 'Content-Type': 'application/json' } };
      const answer = await fetch(`${trusting.url}/db`, init);
      assert.equal(await answer.json(), new URL(url).host);
    }
    const wary = await frontFor([{ url }]);
    assert.equal((await fetch(`${wary.url}/db`)).status, 503);
    // The name in the certificate is the node's, also where a function sees the client's host.
    const functions = await frontFor([{ url }], {
      nodes: { ca: ca.cert },
      judge: () => ({ endpoint: 'show' }),
      options: { publicUrl: 'https://db.example.org' },
    });
    const shown = await fetch(`${functions.url}/db`);
    assert.equal(await shown.json(), 'db.example.org');
  });

  it('wait no longer than allowed to be made; what was to be sent goes to another node whole', async () => {
    const certificate = await makeCertificate('127.0.0.1');
    const tls = https.createServer(certificate, (_req, res) => res.end('{}'));
    // Accepts connections all the time, but stops shaking hands.
    let silent = false;
    const taken: Socket[] = [];
    const gate = net.createServer((socket) => {
      taken.push(socket);
      if (!silent) tls.emit('connection', socket);
    });
    await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve));
    open.push({
      close: () =>
        new Promise((resolve) => {
          gate.close(() => resolve());
          for (const socket of taken) socket.destroy();
        }),
    });
    const url = `https://127.0.0.1:${(gate.address() as AddressInfo).port}`;
    const bodies: string[] = [];
    const upstream = await upstreamThat((req, res) => {
      let body = '';
      req.on('data', (chunk: Buffer) => (body += chunk.toString()));
      req.on('end', () => {
        bodies.push(body);
        res.writeHead(201, { 'Content-Type': 'application/json' }).end('{}');
      });
    });
    const front = await frontFor([upstream, { url }], {
      nodes: { ca: certificate.cert, connectTimeoutMs: 400 },
    });
    assert.deepEqual(
      front.nodes.report().map(({ state }) => state),
      ['up', 'up'],
    );
    silent = true;
    const body = JSON.stringify({ text: 'x'.repeat(200_000) });
    for (let n = 0; n < 2; n += 1) {
      const init = { method: 'PUT', body, headers: { 'Content-Type': 'application/json' } };
      assert.equal((await fetch(`${front.url}/db/doc`, init)).status, 201);
    }
    assert.deepEqual(bodies, [body, body]);
    assert.equal(front.nodes.report()[1]?.state, 'down');
  });
});

describe('http-proxy', () => {
  it('is loaded without the function that newer Nodes warn of', () => {
    const program = `
      import util from 'node:util';
      const deprecated = () => { throw new Error('util._extend was called'); };
      util._extend = deprecated;
      const { createCouchProxy } = await import('./src/forward/couch-proxy.ts');
      const proxy = createCouchProxy();
      if (util._extend !== deprecated) throw new Error('util was left changed');
      const route = { target: { protocol: 'http:', host: '127.0.0.1', hostname: '127.0.0.1', port: '1' }, agent: undefined };
      const request = { method: 'GET', url: '/', headers: {}, socket: {}, on() { return this; }, pipe(upstream) { upstream.destroy(); }, answered() {}, failed() {} };
      proxy.send(request, {}, route);
    `;
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--throw-deprecation', '--import', 'tsx', '--input-type=module', '-e', program],
      { cwd: new URL('../..', import.meta.url), encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    assert.equal(stderr, '');
  });
});
