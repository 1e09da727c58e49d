// The listeners over real sockets: limits, what is no request, TLS and its reload, the security headers.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http, { type IncomingHttpHeaders } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import express, { type Express, type Response } from 'express';
import { endpoint } from '../../src/catalogue/catalogue.ts';
import { Context, contextOf } from '../../src/context.ts';
import { sparingLog } from '../../src/listen/refusals.ts';
import { createListeners, type Listeners } from '../../src/listen/server.ts';
import { type Settings } from '../../src/config/settings.ts';
import { makeCertificate, type Certificate } from '../support/certificates.ts';
import { rememberingLog } from '../support/log.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { testSettings } from '../support/settings.ts';
import { until } from '../support/until.ts';

const open: Listeners[] = [];
const folder = mkdtempSync(join(tmpdir(), 'couchgate-listen-'));
after(() => {
  for (const { servers } of open)
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  rmSync(folder, { recursive: true, force: true });
});

async function listen(
  over: Partial<Settings>,
  app: Express = express().use((_req, res) => void res.end('ok')),
): Promise<{ urls: readonly string[]; listeners: Listeners; log: ReturnType<typeof rememberingLog> }> {
  const log = rememberingLog();
  const listeners = createListeners({ app, settings: testSettings(over), log });
  open.push(listeners);
  return { urls: await listeners.open(), listeners, log };
}

function get(
  url: string,
  options: https.RequestOptions = {},
): Promise<{ status: number | undefined; headers: IncomingHttpHeaders; body: string }> {
  return new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? https.get : http.get;
    const req = send(url, { agent: false, ...options }, (res) => {
      let body = '';
      res.setEncoding('utf8');
      res.on('data', (chunk) => (body += String(chunk)));
      res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, body }));
    });
    req.on('error', reject);
  });
}

function tlsFiles(name: string, { cert, key }: Certificate): Pick<Settings, 'tlsCertificate' | 'tlsKey'> {
  const files = { tlsCertificate: join(folder, `${name}.pem`), tlsKey: join(folder, `${name}.key`) };
  writeFileSync(files.tlsCertificate, cert);
  writeFileSync(files.tlsKey, key);
  return files;
}

describe('the HTTP listener', () => {
  it('gives every request its context, and never changes the prototype of a request or a response', async () => {
    const app = express();
    const seen: unknown[] = [];
    app.use((req, res) => {
      seen.push(Object.getPrototypeOf(req) === app.request, Object.getPrototypeOf(res) === app.response);
      seen.push((req as unknown as { context: unknown }).context instanceof Context);
      res.end();
    });
    const { urls } = await listen({}, app);
    const original = Object.setPrototypeOf;
    let changed = 0;
    Object.setPrototypeOf = <T>(target: T, prototype: object | null): T => {
      if (Object.getPrototypeOf(target) !== prototype) changed += 1;
      return original(target, prototype) as T;
    };
    try {
      await get(`${urls[0] ?? ''}/db`);
    } finally {
      Object.setPrototypeOf = original;
    }
    assert.deepEqual(seen, [true, true, true]);
    assert.equal(changed, 0);
  });

  const refusals: readonly [title: string, bytes: string, status: string][] = [
    ['a head that is no HTTP', 'hello\r\n\r\n', '400 Bad Request'],
    ['a bare line feed in a head', 'GET / HTTP/1.1\nHost: a\n\n', '400 Bad Request'],
    [
      'a length beside chunks',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      '400 Bad Request',
    ],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc',
      '400 Bad Request',
    ],
    [
      'a head of more than max_header_bytes',
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(9000)}\r\n\r\n`,
      '431 ',
    ],
    ['CONNECT', 'CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n', '405 '],
  ];
  for (const [title, bytes, status] of refusals)
    it(`refuses ${title} – ${status.trim()}, in CouchDB's shape`, async () => {
      const { urls } = await listen({ maxHeaderBytes: 8192 });
      const answer = await exchangeBytes(urls[0] ?? '', bytes);
      assert.ok(answer.startsWith(`HTTP/1.1 ${status}`), answer);
      assert.match(answer, /\r\n\r\n\{"error":"[a-z_]+","reason":"[^"]+"\}\n$/);
      assert.match(answer, /Connection: close/i);
    });

  it('answers a head that does not arrive in time with 400, never 408', async () => {
    const { urls, log } = await listen({ headerTimeoutMs: 50 });
    const answer = await exchangeBytes(urls[0] ?? '', 'GET / HTTP/1.1\r\nHo');
    assert.match(answer, /^HTTP\/1\.1 400 .*did not arrive in time/s);
    assert.equal(log.lines.length, 1);
  });

  it('cuts the connection when garbage follows a request that is still being answered', async () => {
    const app = express().use(() => undefined);
    const { urls } = await listen({}, app);
    assert.equal(await exchangeBytes(urls[0] ?? '', 'GET / HTTP/1.1\r\nHost: a\r\n\r\ngarbage\r\n\r\n'), '');
  });

  it('takes an Upgrade for an ordinary request, and ends the connection with its answer', async () => {
    const seen: string[] = [];
    const app = express().use((req, res) => {
      seen.push(req.url);
      req.on('data', (chunk) => seen.push(String(chunk)));
      req.on('end', () => void res.end('x'));
    });
    const { urls } = await listen({}, app);
    const answer = await exchangeBytes(
      urls[0] ?? '',
      'POST /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc' +
        'GET /b HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    assert.deepEqual(seen, ['/a', 'abc']);
    assert.match(answer, /^HTTP\/1\.1 200 OK[^]*Connection: close[^]*\r\n\r\nx$/);
  });

  it('reads every header, however many there are', async () => {
    let count = 0;
    const app = express().use((req, res) => {
      count = Object.keys(req.headers).length;
      res.end();
    });
    const { urls } = await listen({}, app);
    const many = Array.from({ length: 2500 }, (_, index) => `h${index}: 1\r\n`).join('');
    await exchangeBytes(urls[0] ?? '', `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${many}\r\n`);
    assert.equal(count, 2502);
  });

  it('cuts a client that stops sending its body, and leaves alone one that waits for CouchDB', async () => {
    const closed: string[] = [];
    let waiting: Response | undefined;
    const app = express().use((req, res) => {
      res.on('close', () => closed.push(req.url));
      if (req.url === '/waits') waiting = res;
      else {
        req.resume();
        // The other has been silent for longer.
        res.on('close', () => waiting?.end('late'));
      }
    });
    const { urls } = await listen({ clientIdleTimeoutMs: 50 }, app);
    const late = exchangeBytes(urls[0] ?? '', 'GET /waits HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await until(() => waiting !== undefined, 'the request that waits has come');
    const cut = exchangeBytes(
      urls[0] ?? '',
      'POST /stops HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc',
    );
    assert.equal(await cut, '');
    assert.match(await late, /late$/);
    assert.deepEqual(closed, ['/stops', '/waits']);
  });

  it('cuts a client that does not take its answer', async () => {
    let ended: string | undefined;
    const app = express().use((req, res) => {
      res.on('close', () => (ended = contextOf(req).outcome.cutShort));
      res.end(Buffer.alloc(50_000_000));
    });
    const { urls } = await listen({ clientIdleTimeoutMs: 50 }, app);
    const socket = net.connect(Number(new URL(urls[0] ?? '').port), '127.0.0.1');
    socket.on('error', () => undefined).write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await until(() => ended !== undefined);
    assert.equal(ended, 'client was silent');
    socket.destroy();
  });

  it('writes few lines about much garbage, and says how many it left out', () => {
    let now = 0;
    const log = rememberingLog();
    const refusals = sparingLog(log, () => now);
    for (let i = 0; i < 25; i += 1) refusals({ code: 'x' }, 'garbage');
    now = 1000;
    refusals({ code: 'x' }, 'garbage');
    assert.equal(log.lines.length, 11);
    assert.deepEqual(log.lines[10]?.fields, { code: 'x', leftOut: 15 });
  });

  it('gives data nosniff alone, and pages the whole set', async () => {
    const app = express().use((req, res) => {
      contextOf(req).operation = {
        endpoint: endpoint(req.path === '/_utils/' ? 'utils' : 'doc-get'),
        alternatives: [],
        decidedByBody: undefined,
        database: undefined,
        documentId: undefined,
      };
      res.end('ok');
    });
    const { urls } = await listen({}, app);
    const data = await get(`${urls[0] ?? ''}/db/doc`);
    assert.equal(data.headers['x-content-type-options'], 'nosniff');
    assert.equal(data.headers['content-security-policy'], undefined);
    assert.equal(data.headers['strict-transport-security'], undefined);
    const page = await get(`${urls[0] ?? ''}/_utils/`);
    assert.match(String(page.headers['content-security-policy']), /frame-ancestors 'none'/);
    assert.equal(page.headers['x-frame-options'], 'DENY');
    assert.equal(page.headers['strict-transport-security'], undefined);
  });

  it('says which address is taken instead of opening half of the listeners', async () => {
    const { urls } = await listen({});
    const taken = new URL(urls[0] ?? '').host;
    await assert.rejects(listen({ listen: taken }), /is already in use/);
  });
});

describe('the HTTPS listener', () => {
  let ca: Certificate, first: Certificate, second: Certificate, client: Certificate;
  before(async () => {
    [ca, first, second] = await Promise.all([
      makeCertificate('test CA', { ca: true }),
      makeCertificate('first'),
      makeCertificate('second'),
    ]);
    client = await makeCertificate('client', { signedBy: ca });
  });

  it('stands beside HTTP, speaks TLS 1.2 and 1.3 and nothing older, and sends HSTS', async () => {
    const { urls } = await listen({
      tlsListen: '127.0.0.1:0',
      hstsSeconds: 60,
      ...tlsFiles('first', first),
    });
    assert.deepEqual(
      urls.map((url) => url.split(':')[0]),
      ['http', 'https'],
    );
    const [plain, secure] = urls as [string, string];
    assert.equal((await get(plain)).headers['strict-transport-security'], undefined);
    const answer = await get(secure, { ca: first.cert });
    assert.equal(answer.headers['strict-transport-security'], 'max-age=60; includeSubDomains');
    await get(secure, { ca: first.cert, maxVersion: 'TLSv1.2' });
    const old = {
      ca: first.cert,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    } as const;
    await assert.rejects(get(secure, old), /protocol version|EPROTO|ECONNRESET|no protocols/);
  });

  it('takes a renewed certificate without a restart; open connections stay, and a bad pair changes nothing', async () => {
    const files = tlsFiles('renewed', first);
    const { urls, listeners } = await listen({ tlsListen: '127.0.0.1:0', ...files });
    const url = urls[1] ?? '';
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: first.cert });
    await get(url, { agent });
    tlsFiles('renewed', { cert: second.cert, key: first.key });
    assert.throws(
      () => listeners.reloadCertificate({ ...files, tlsClientCa: '' }),
      /are not a matching certificate and key/,
    );
    await get(url, { ca: first.cert });
    tlsFiles('renewed', second);
    listeners.reloadCertificate({ ...files, tlsClientCa: '' });
    await get(url, { ca: second.cert });
    await assert.rejects(get(url, { ca: first.cert }), /certificate/);
    assert.equal((await get(url, { agent })).status, 200);
    agent.destroy();
  });

  it('refuses to start when a file is missing, and names it', () => {
    const settings = testSettings({
      tlsListen: '127.0.0.1:0',
      tlsCertificate: '/nonexistent.pem',
      tlsKey: '/x',
    });
    assert.throws(
      () => createListeners({ app: express(), settings, log: rememberingLog() }),
      /tls_certificate: \/nonexistent\.pem cannot be read \(ENOENT\)/,
    );
  });

  it('demands a client certificate of its CA where one is configured', async () => {
    writeFileSync(join(folder, 'ca.pem'), ca.cert);
    const { urls } = await listen({
      listen: 'off',
      tlsListen: '127.0.0.1:0',
      tlsClientCa: join(folder, 'ca.pem'),
      ...tlsFiles('mtls', first),
    });
    const url = urls[0] ?? '';
    await assert.rejects(get(url, { ca: first.cert }));
    await assert.rejects(get(url, { ca: first.cert, cert: second.cert, key: second.key }));
    assert.equal((await get(url, { ca: first.cert, cert: client.cert, key: client.key })).status, 200);
  });

  it('redirects plain HTTP – GET /db?x=1 – 308, and never to a host that is none', async () => {
    const { urls, log } = await listen({
      tlsListen: '127.0.0.1:0',
      tlsRedirect: true,
      ...tlsFiles('redirect', first),
    });
    const [plain, secure] = urls as [string, string];
    const answer = await get(`${plain}/db?x=1`);
    assert.equal(answer.status, 308);
    assert.equal(answer.headers.location, `${secure}/db?x=1`);
    assert.equal((await get(plain, { headers: { host: 'evil.example/@x' } })).status, 400);
    assert.equal((await get(`${plain}//evil.example`)).headers.location, `${secure}/`);
    const told = log.lines.filter(({ message }) => message === 'redirected a plain HTTP request to HTTPS');
    assert.deepEqual(
      told.map(({ fields }) => fields),
      Array(3).fill({ client: '127.0.0.1' }),
    );
  });

  it('redirects everything but the probe of a load balancer, which must see the truth – GET /_up', async () => {
    const { urls } = await listen({
      tlsListen: '127.0.0.1:0',
      tlsRedirect: true,
      ...tlsFiles('probe', first),
    });
    const [plain = ''] = urls;
    const ask = async (path: string, method = 'GET', headers = {}): Promise<number> =>
      (await fetch(plain + path, { method, headers, redirect: 'manual' })).status;
    assert.equal(await ask('/_up'), 200);
    assert.equal(await ask('/_up', 'HEAD'), 200);
    for (const [path, method] of [
      ['/_up/', 'GET'],
      ['/_up?a=1', 'GET'],
      ['/%5Fup', 'GET'],
      ['/_up', 'POST'],
      ['/_up', 'DELETE'],
      ['/_session', 'GET'],
    ] as const)
      assert.equal(await ask(path, method), 308, `${method} ${path}`);
    for (const headers of [{ Authorization: 'Basic YTpi' }, { Cookie: 'AuthSession=x' }])
      assert.equal(await ask('/_up', 'GET', headers), 308, JSON.stringify(headers));
  });

  it('answers a TLS handshake that is plain HTTP by closing, and goes on', async () => {
    const { urls } = await listen({ listen: 'off', tlsListen: '127.0.0.1:0', ...tlsFiles('plain', first) });
    const url = urls[0] ?? '';
    await exchangeBytes(url.replace('https:', 'http:'), 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const socket = tls.connect({ host: '127.0.0.1', port: Number(new URL(url).port), ca: first.cert });
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    assert.equal(socket.alpnProtocol, false);
    socket.destroy();
  });
});
