// H6: headers of a client that CouchDB would obey never reach it, whatever way they take; headers with two readings are refused.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { assertRefused, describeHostile, refuseAll } from '../support/hostile.ts';

/** What CouchDB, or something in front of it, would obey. */
const FORGED: readonly string[] = [
  'X-Auth-CouchDB-UserName: admin',
  'X-Auth-CouchDB-Roles: _admin',
  'X-Auth-CouchDB-Token: 0123456789abcdef',
  'x_auth_couchdb_roles: _admin',
  'X-CouchDB-WWW-Authenticate: Basic realm="evil"',
  'X-CouchDB-Vhost-Path: /_all_dbs',
  'X-CouchDB-Requested-Path: /_all_dbs',
  'X-Forwarded-Host: evil.example',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Ssl: on',
  'X-Forwarded-For: 10.0.0.1',
  'X-Forwarded-For: 10.0.0.2',
  'X-Forwarded: for=10.0.0.1',
  'Forwarded: for=10.0.0.1;host=evil.example',
  'X-Real-IP: 10.0.0.1',
  'Cookie: AuthSession=YWRtaW46NjU=',
  'Cookie: x',
  'Authorization: Basic YWRtaW46YWRtaW4=',
  'Proxy-Authorization: Basic YWRtaW46YWRtaW4=',
  'Origin: https://evil.example',
  'Access-Control-Request-Method: DELETE',
  'Upgrade: h2c',
  'HTTP2-Settings: AAMAAABkAAQAAP__',
  'TE: trailers',
  'Trailer: X-Auth-CouchDB-Roles',
  'Keep-Alive: timeout=1',
  'Proxy-Connection: keep-alive',
  'Via: 1.1 evil',
  'Destination: _design/x',
  'X-Forged: 1',
];
const nameOf = (header: string): string => header.slice(0, header.indexOf(':')).toLowerCase();
/** Ours of the same name may be there, with another value. */
const valueOf = (header: string): string => header.slice(header.indexOf(':') + 2);

describeHostile('H6: request headers', { databases: ['h06', 'h06-b'] }, (gate) => {
  for (const header of FORGED) {
    for (const [line, body] of [
      ['GET /h06/doc', ''],
      ['POST /h06/_find', '{"selector":{}}'],
    ] as const) {
      it(`drops ${header} – ${line}`, async () => {
        // Sec-Fetch-Site: without it, a write with a foreign Origin is refused (H22).
        const headers = ['Content-Type: application/json', 'Sec-Fetch-Site: none', header];
        const { reached } = await gate.send({ line, as: 'reader', headers, body });
        assert.equal(reached.length, 1);
        const [request] = reached;
        assert.deepEqual([`${request?.method} ${request?.url}`], [line]);
        const sent = request?.rawHeaders ?? [];
        for (let i = 0; i < sent.length; i += 2) {
          assert.ok(
            sent[i]?.toLowerCase() !== nameOf(header) || sent[i + 1] !== valueOf(header),
            `${sent[i]}: ${sent[i + 1]}`,
          );
        }
        assert.equal(request?.claims?.roles.includes('_admin'), false);
      });
    }
  }

  it('drops them all with Expect: 100-continue too, which skips http-proxy’s own event – POST /h06/_find', async () => {
    const expect = 'Expect: 100-continue';
    const headers = [
      'Content-Type: application/json',
      'Sec-Fetch-Site: none',
      expect,
      ...FORGED.filter((h) => !h.startsWith('Cookie: x')),
    ];
    const unique = headers.filter(
      (header, at) => headers.findIndex((h) => nameOf(h) === nameOf(header)) === at,
    );
    const answer = await gate.send({
      line: 'POST /h06/_find',
      as: 'reader',
      headers: unique,
      body: '{"selector":{}}',
    });
    assert.equal(answer.reached.length, 1);
    const names = (answer.reached[0]?.rawHeaders ?? [])
      .filter((_, at) => at % 2 === 0)
      .map((name) => name.toLowerCase());
    const ours = ['authorization', 'x-forwarded-for'];
    assert.deepEqual(
      names
        .filter((name) => unique.some((header) => nameOf(header) === name && name !== 'content-type'))
        .sort(),
      ours,
    );
    assert.equal(names.includes('expect'), false);
  });

  it('sends the one client address, its own Host and its own credentials – GET /h06/doc', async () => {
    const headers = ['X-Forwarded-For: 10.9.9.9', 'Host: evil.example', 'Authorization: Basic YTpi'];
    const { reached } = await gate.send({ line: 'GET /h06/doc', as: 'reader', headers });
    const sent = reached[0]?.headers;
    assert.equal(sent?.['x-forwarded-for'], '127.0.0.1');
    assert.notEqual(sent.host, 'evil.example');
    assert.match(sent.authorization ?? '', /^Bearer /);
  });

  it('does not let Accept: text/html turn a refusal into a page – GET /h06-b/doc – 403', async () => {
    const answer = await gate.send({ line: 'GET /h06-b/doc', as: 'user', headers: ['Accept: text/html'] });
    assertRefused(answer, 403, 'GET /h06-b/doc');
  });

  const twice = (name: string, one: string, other = one): readonly string[] => [
    `${name}: ${one}`,
    `${name}: ${other}`,
  ];
  refuseAll(gate, 400, [
    ...['Host', 'host', 'HOST'].map((name) => ({
      line: 'GET /h06/doc',
      as: 'reader',
      headers: ['Host: a.example', `${name}: b.example`],
    })),
    { line: 'GET /h06/doc', as: 'reader', headers: twice('Authorization', 'Basic YTpi') },
    {
      line: 'GET /h06/doc',
      as: 'reader',
      headers: ['Authorization: Basic YTpi', 'authorization: Basic Yzpk'],
    },
    { line: 'COPY /h06/doc', as: 'reader+writer', headers: twice('Destination', 'copy', '_design/x') },
    {
      line: 'POST /h06',
      as: 'writer',
      headers: twice('Content-Type', 'application/json', 'text/plain'),
      body: '{}',
    },
    { line: 'POST /h06', as: 'writer', headers: twice('Content-Encoding', 'identity', 'gzip'), body: '{}' },
    {
      line: 'PUT /h06/doc',
      as: 'writer',
      headers: ['Connection: close, content-type', 'Content-Type: application/json'],
      body: '{}',
    },
    {
      line: 'PUT /h06/doc',
      as: 'writer',
      headers: ['Transfer-Encoding: gzip, chunked'],
      body: '2\r\n{}\r\n0\r\n\r\n',
    },
    { line: 'PUT /h06/doc', as: 'writer', headers: ['Transfer-Encoding: identity'], body: '{}' },
  ]);

  // Node's own parser is the first to refuse these; what counts is that nothing of them goes on.
  for (const [what, headers, body] of [
    ['two lengths', ['Content-Length: 2', 'Content-Length: 3'], '{} '],
    ['two equal lengths', ['Content-Length: 2', 'Content-Length: 2'], '{}'],
    ['a length with a sign', ['Content-Length: +2'], '{}'],
    ['a length and chunks', ['Content-Length: 2', 'Transfer-Encoding: chunked'], '2\r\n{}\r\n0\r\n\r\n'],
    ['chunks and a length', ['Transfer-Encoding: chunked', 'Content-Length: 2'], '2\r\n{}\r\n0\r\n\r\n'],
    ['chunks that are not the last coding', ['Transfer-Encoding: chunked, gzip'], '2\r\n{}\r\n0\r\n\r\n'],
    ['a bare carriage return', ['X-A: b\rX-Auth-CouchDB-Roles: _admin'], '{}'],
    ['a space before the colon', ['X-Auth-CouchDB-Roles : _admin'], '{}'],
    ['a folded line', ['X-A: b', ' X-Auth-CouchDB-Roles: _admin'], '{}'],
  ] as const) {
    it(`refuses ${what} – PUT /h06/doc – 400, CouchDB is not called`, async () => {
      gate.front.takeAll();
      const answer = await gate.send({ line: 'PUT /h06/doc', as: 'writer', headers: [...headers], body });
      assert.equal(answer.status, 400);
      assert.deepEqual(gate.front.takeAll(), []);
    });
  }

  it('refuses CONNECT and other protocols', async () => {
    gate.front.takeAll();
    const connect = await gate.send({ line: 'CONNECT h06.example:443', as: 'owner' });
    assert.ok(
      connect.status === 400 || connect.status === 405 || connect.status === 0,
      String(connect.status),
    );
    const upgrade = await gate.send({
      line: 'GET /h06',
      as: 'reader',
      headers: ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: x'],
    });
    assert.notEqual(upgrade.status, 101);
    assert.equal(
      gate.front.takeAll().every(({ headers }) => headers.upgrade === undefined),
      true,
    );
  });

  it('refuses an announced body past the limit before a byte of it – PUT /h06/doc – 413', async () => {
    const answer = await gate.send({
      line: 'PUT /h06/doc',
      as: 'writer',
      headers: ['Content-Length: 5000000000'],
    });
    assertRefused(answer, 413, 'PUT /h06/doc');
  });
});
