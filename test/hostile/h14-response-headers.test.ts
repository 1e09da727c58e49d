// Hazard H14: headers of CouchDB's answers that would mislead a client, a browser or a cache.
import assert from 'node:assert/strict';
import { type OutgoingHttpHeaders } from 'node:http';
import { before, describe, it } from 'node:test';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { head } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { closedAfterSuite } from '../support/started.ts';

interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
}

function parse(text: string): Answer {
  const [top = '', body = ''] = text.split(/\r\n\r\n(.*)/s);
  const [first = '', ...lines] = top.split('\r\n');
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const [name = '', value = ''] = line.split(/: ?(.*)/s);
    headers.set(name.toLowerCase(), [...(headers.get(name.toLowerCase()) ?? []), value]);
  }
  return { status: Number(first.split(' ')[1]), headers, body };
}

describe('H14: the head of an answer', () => {
  let upstream: ScriptedUpstream;
  let relative: ForwardingFront;
  let published: ForwardingFront;
  let script: { readonly status: number; readonly headers: OutgoingHttpHeaders; readonly body?: string };
  const started = closedAfterSuite();
  before(async () => {
    upstream = await started(
      startUpstream((req, res) => {
        req.resume();
        res.writeHead(script.status, script.headers).end(script.body ?? '{"ok":true}\n');
      }),
    );
    const setup = {
      upstreams: [upstream],
      judge: () => ({ renewedCookie: 'AuthSession=new; Path=/; HttpOnly' }),
    };
    relative = await started(startForwarding(setup));
    published = await started(
      startForwarding({
        ...setup,
        judge: () => ({}),
        options: { publicUrl: 'https://couch.example', serverHeader: false },
        before: (context) => {
          context.setAnswerHeader('Vary', 'Origin');
          context.setAnswerHeader('Access-Control-Allow-Origin', 'https://app.example');
          context.setAnswerHeader('X-Couch-Request-ID', 'ours');
          context.setAnswerHeader('X-Content-Type-Options', 'nosniff');
        },
      }),
    );
  });

  const ask = async (
    front: ForwardingFront,
    answer: typeof script,
    ...lines: readonly string[]
  ): Promise<Answer> => {
    script = answer;
    return parse(
      await exchangeBytes(front.url, head('GET /db/x HTTP/1.1', 'Host: x', 'Connection: close', ...lines)),
    );
  };

  const JSON_TYPE = { 'Content-Type': 'application/json' };

  it('is passed where clients rely on it', async () => {
    const passed = {
      'Cache-Control': 'must-revalidate',
      'Content-Type': 'text/html',
      'Content-Disposition': 'attachment',
      'Content-Encoding': 'gzip',
      'Content-MD5': 'x',
      'Content-Range': 'bytes 0-1/2',
      'Content-Security-Policy': 'sandbox',
      'Accept-Ranges': 'bytes',
      ETag: '"1-a"',
      'Last-Modified': 'Sat, 21 Nov 2026 00:00:00 GMT',
      'Retry-After': '3',
      Allow: 'GET',
      'X-Couch-Id': 'x',
      'X-Couch-Update-NewRev': '1-a',
      'X-CouchDB-Body-Time': '0',
    };
    const answer = await ask(relative, { status: 200, headers: passed });
    for (const [name, value] of Object.entries(passed))
      assert.deepEqual(answer.headers.get(name.toLowerCase()), [value], name);
  });

  it('sets no cookie of CouchDB’s, opens no origin, asks for no password', async () => {
    const answer = await ask(relative, {
      status: 401,
      headers: {
        ...JSON_TYPE,
        'Set-Cookie': 'AuthSession=stolen',
        'WWW-Authenticate': 'Basic realm="server"',
        'Access-Control-Allow-Origin': '*',
        'Access-Control-Allow-Credentials': 'true',
        'X-Frame-Options': 'ALLOWALL',
        'X-Couch-Request-ID': 'theirs',
        'X-Couch-Stack-Hash': '1',
        'Keep-Alive': 'timeout=99',
        'Proxy-Authenticate': 'Basic',
        Upgrade: 'h2c',
        Trailer: 'X',
        Link: '<https://evil.example>; rel=preload',
        Refresh: '0; url=https://evil.example',
        'Clear-Site-Data': '"*"',
        'X-Anything': '1',
      },
    });
    assert.deepEqual([...answer.headers.keys()].sort(), [
      'connection',
      'content-length',
      'content-type',
      'date',
      'set-cookie',
      'vary',
    ]);
    assert.deepEqual(answer.headers.get('set-cookie'), ['AuthSession=new; Path=/; HttpOnly']);
  });

  it('names CouchDB and its version, unless server_header is off', async () => {
    const headers = { ...JSON_TYPE, Server: 'CouchDB/3.5.0 (Erlang OTP/25)' };
    assert.deepEqual((await ask(relative, { status: 200, headers })).headers.get('server'), [headers.Server]);
    assert.equal((await ask(published, { status: 200, headers })).headers.get('server'), undefined);
  });

  it('keeps what earlier steps have set, and says that the answer varies with credentials', async () => {
    const answer = await ask(published, { status: 200, headers: { ...JSON_TYPE, Vary: 'Accept' } });
    assert.deepEqual(answer.headers.get('vary'), ['Origin, Authorization, Cookie, Accept']);
    assert.deepEqual(answer.headers.get('access-control-allow-origin'), ['https://app.example']);
    assert.deepEqual(answer.headers.get('x-couch-request-id'), ['ours']);
    assert.deepEqual(answer.headers.get('x-content-type-options'), ['nosniff']);
    assert.equal(answer.headers.has('set-cookie'), false);
  });

  it('says that the answer varies with credentials without being asked', async () => {
    const answer = await ask(relative, { status: 200, headers: JSON_TYPE });
    assert.deepEqual(answer.headers.get('vary'), ['Authorization, Cookie']);
  });

  const sandboxes: readonly (readonly [
    what: string,
    headers: OutgoingHttpHeaders,
    policy: string | undefined,
  ])[] = [
    ['a page', { 'Content-Type': 'text/html' }, 'sandbox'],
    ['a picture that can hold scripts', { 'Content-Type': 'image/svg+xml' }, 'sandbox'],
    ['what has no type', {}, 'sandbox'],
    [
      "a page with CouchDB's sandbox",
      { 'Content-Type': 'text/html', 'Content-Security-Policy': 'sandbox' },
      'sandbox',
    ],
    [
      "a page whose author was before CouchDB's sandbox (H8)",
      {
        'Content-Type': 'text/html',
        'Content-Security-Policy': ["default-src * 'unsafe-inline'", 'sandbox'],
      },
      "sandbox, default-src * 'unsafe-inline'",
    ],
    ['JSON', JSON_TYPE, undefined],
    ["CouchDB's plain text", { 'Content-Type': 'text/plain; charset=utf-8' }, undefined],
  ];
  for (const [what, headers, policy] of sandboxes) {
    it(`keeps scripts from acting as who opens it – ${what} – ${policy ?? 'nothing added'}`, async () => {
      const answer = await ask(relative, { status: 200, headers });
      assert.deepEqual(
        answer.headers.get('content-security-policy'),
        policy === undefined ? undefined : [policy],
      );
    });
  }

  const locations: readonly (readonly [number, string, string | undefined, string | undefined])[] = [
    [201, 'http://NODE/db/x', '/db/x', 'https://couch.example/db/x'],
    [202, 'https://NODE/db/x%2Fy?a=//b', '/db/x%2Fy?a=//b', 'https://couch.example/db/x%2Fy?a=//b'],
    [301, 'http://NODE/_utils/', '/_utils/', 'https://couch.example/_utils/'],
    [302, 'https://other.example/x', 'https://other.example/x', 'https://other.example/x'],
    [302, 'http://NODE.evil.example/x', 'http://NODE.evil.example/x', 'http://NODE.evil.example/x'],
    [200, 'http://NODE/db/x', '/db/x', 'https://couch.example/db/x'],
    [404, 'http://NODE/db/x', undefined, undefined],
  ];
  for (const [status, location, path, url] of locations) {
    it(`makes Location public – ${status} ${location}`, async () => {
      const named = (text: string | undefined): string[] | undefined =>
        text === undefined ? undefined : [text.replace('NODE', upstream.host)];
      const answer = { status, headers: { ...JSON_TYPE, Location: named(location)?.[0] } };
      assert.deepEqual((await ask(relative, answer)).headers.get('location'), named(path));
      assert.deepEqual((await ask(published, answer)).headers.get('location'), named(url));
    });
  }

  it('turns the redirect to CouchDB’s login page back into the 401 it stands for', async () => {
    const location = `http://${upstream.host}/_utils/session.html?return=%2Fdb%2Fx&reason=You%20are%20not%20authorized%20to%20access%20this%20db.`;
    const answer = await ask(
      relative,
      { status: 302, headers: { ...JSON_TYPE, Location: location } },
      'Accept: text/html',
    );
    assert.equal(answer.status, 401);
    assert.deepEqual(JSON.parse(answer.body), {
      error: 'unauthorized',
      reason: 'You are not authorized to access this db.',
    });
    assert.equal(answer.headers.has('location'), false);
  });
});
