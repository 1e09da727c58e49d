// Hazard H6: headers by which a client could tell CouchDB who it is, what it asks, or where it comes from.
import assert from 'node:assert/strict';
import { type IncomingMessage } from 'node:http';
import { before, beforeEach, describe, it } from 'node:test';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { head } from '../support/raw-client.ts';
import { claimsOf } from '../support/recorder.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { closedAfterSuite } from '../support/started.ts';

describe('H6: what a client sends in headers', () => {
  let upstream: ScriptedUpstream;
  let front: ForwardingFront;
  let seen: IncomingMessage[] = [];
  const started = closedAfterSuite();
  before(async () => {
    upstream = await started(
      startUpstream((req, res) => {
        seen.push(req);
        req.resume();
        res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}\n');
      }),
    );
    front = await started(
      startForwarding({
        upstreams: [upstream],
        judge: (req) => (req.method === 'COPY' ? { destination: { id: 'b', header: 'b?rev=1-x' } } : {}),
      }),
    );
  });
  beforeEach(() => (seen = []));

  const ask = async (...lines: readonly string[]): Promise<IncomingMessage | undefined> => {
    await exchangeBytes(front.url, head(...lines, 'Connection: close'));
    return seen[0];
  };

  const DROPPED: readonly string[] = [
    'X-HTTP-Method-Override: DELETE',
    'X-Auth-CouchDB-UserName: admin',
    'X-Auth-CouchDB-Roles: _admin',
    'X-Auth-CouchDB-Token: 00',
    'x_auth_couchdb_roles: _admin',
    'Cookie: AuthSession=YWRtaW4',
    'Proxy-Authorization: Basic YTpi',
    'X-CouchDB-WWW-Authenticate: Basic',
    'X-CouchDB-Vhost-Path: /x',
    'X-CouchDB-Requested-Path: /x',
    'X-Forwarded-Host: evil.example',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Ssl: on',
    'Forwarded: for=10.0.0.1',
    'Origin: https://evil.example',
    'Expect: 100-continue',
    'Upgrade: websocket',
    'TE: trailers',
    'Trailer: X-Auth-CouchDB-Roles',
    'Keep-Alive: timeout=1',
    'Proxy-Connection: keep-alive',
    'Destination: _design/x',
    'X-Couch-Whatever: 1',
    'X-Anything: 1',
  ];
  for (const line of DROPPED) {
    const name = (line.split(':')[0] ?? '').toLowerCase();
    it(`drops ${name}`, async () => {
      const got = await ask('GET /db/doc HTTP/1.1', 'Host: public.example', line);
      assert.ok(got !== undefined, 'got is missing');
      assert.ok(!(name in got.headers), `${name}: ${String(got.headers[name])}`);
      assert.equal(got.method, 'GET');
    });
  }

  const PASSED: readonly string[] = [
    'Accept: application/json',
    'Accept-Encoding: gzip',
    'Accept-Language: de',
    'If-Match: "1-a"',
    'If-None-Match: "1-a", "2-b"',
    'Last-Event-ID: 5-x',
    'Prefer: return=minimal',
    'Range: bytes=0-5',
    'Referer: https://app.example/',
    'User-Agent: tester/1',
    'X-Couch-Full-Commit: true',
    'X-Couch-Persist: true',
  ];
  it('passes what CouchDB reads for its own purposes', async () => {
    const got = await ask('GET /db/doc HTTP/1.1', 'Host: public.example', ...PASSED);
    for (const line of PASSED) {
      const [name = '', value] = line.split(/: (.*)/s);
      assert.equal(got?.headers[name.toLowerCase()], value);
    }
  });

  it('sends nothing else than that list, its own address, and its own words on who asks', async () => {
    const got = await ask(
      'GET /db/doc HTTP/1.1',
      'Host: public.example',
      'Authorization: Basic YWRtaW46YWRtaW4=',
      'X-Forwarded-For: 127.0.0.1, 10.0.0.1',
      'X-Couch-Request-ID: chosen-by-the-client',
      ...PASSED,
      ...DROPPED.filter((line) => !line.startsWith('Expect')),
    );
    const names = Object.keys(got?.headers ?? {}).sort();
    const passed = PASSED.map((line) => (line.split(':')[0] ?? '').toLowerCase());
    const ours = ['authorization', 'connection', 'host', 'x-couch-request-id', 'x-forwarded-for'];
    assert.deepEqual(names, [...passed, ...ours].sort());
    assert.equal(got?.headers.host, upstream.host);
    assert.equal(got.headers['x-forwarded-for'], '192.0.2.7');
    assert.equal(got.headers['x-couch-request-id'], 'request-1');
    assert.equal(claimsOf(got.headers.authorization)?.sub, 'testing');
    const authorizations = got.rawHeaders.filter((name) => name.toLowerCase() === 'authorization');
    assert.equal(authorizations.length, 1);
  });

  it('writes Destination as it was judged – COPY /db/a', async () => {
    const got = await ask('COPY /db/a HTTP/1.1', 'Host: public.example', 'Destination: %62?rev=1-x');
    assert.equal(got?.headers['destination'], 'b?rev=1-x');
  });

  for (const name of [
    'Content-Type',
    'Content-Encoding',
    'If-Match',
    'Content-Length',
    'Transfer-Encoding',
  ]) {
    it(`refuses a Connection that names ${name}, which would change what was judged – 400`, async () => {
      const answer = await exchangeBytes(
        front.url,
        `${head('POST /db HTTP/1.1', 'Host: x', `Connection: close, ${name}`, 'Content-Type: application/json', 'Content-Length: 2')}{}`,
      );
      assert.match(answer, /^HTTP\/1\.1 400 /);
      assert.equal(seen.length, 0);
    });
  }

  it('compares Referer with the client’s own Host for a form upload, and lets CouchDB refuse what differs', async () => {
    const form = 'multipart/form-data; boundary=b';
    const send = async (referer: string): Promise<string | undefined> => {
      seen = [];
      const lines = ['POST /db/doc HTTP/1.1', 'Host: public.example', `Content-Type: ${form}`, referer];
      return (await ask(...lines, 'Content-Length: 0'))?.headers.referer;
    };
    assert.equal(await send('Referer: http://public.example/app'), `http://${upstream.host}/`);
    assert.equal(await send('Referer: http://evil.example/'), undefined);
    assert.equal(await send('Referer: http://public.example.evil.example/'), undefined);
    assert.equal(await send(`Referer: http://${upstream.host}/`), undefined);
    assert.equal(await send('Referer: nonsense'), undefined);
  });
});
