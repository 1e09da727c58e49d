// H6: one table says what becomes of every header that CouchDB obeys. Each of them is sent, and compared with
// what CouchDB gets.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { REQUEST_HEADERS, type HeaderTreatment } from '../../src/catalogue/request-headers.ts';
import { describeHostile } from '../support/hostile.ts';

/**
 * Every name that CouchDB 3.5 asks a request for, found by a search for `header_value` in the sources of
 * chttpd, couch, fabric and mochiweb, with a value that would be seen.
 */
const OBEYED: Readonly<Record<string, string>> = {
  'X-Couch-Full-Commit': 'true', // chttpd_db.erl
  'Content-Type': 'application/json',
  'Content-Encoding': 'identity',
  'Content-MD5': 'x',
  'last-event-id': '5',
  'If-Match': '"1-a"',
  'X-Couch-Persist': 'false', // chttpd_node.erl
  Prefer: 'return=minimal', // chttpd_prefer_header.erl
  'Access-Control-Request-Method': 'PUT', // chttpd_cors.erl
  'Access-Control-Request-Headers': 'x',
  Origin: 'https://couchgate.example',
  'x-couchdb-vhost-path': '/evil', // chttpd.erl
  'x-couchdb-requested-path': '/evil',
  'X-HTTP-Method-Override': 'DELETE',
  'X-Couch-Request-ID': 'chosen-by-the-client',
  Host: 'couchgate.example',
  Authorization: 'Basic YWRtaW46YWRtaW4=',
  'X-Forwarded-Host': 'evil.example',
  'X-Forwarded-Ssl': 'on',
  'X-Forwarded-Proto': 'https',
  'If-None-Match': '"1-a"',
  'X-CouchDB-WWW-Authenticate': 'evil',
  Accept: 'application/json',
  Referer: 'http://couchgate.example/', // couch_httpd.erl
  'WWW-Authenticate': 'X-Couch-Test-Auth', // couch_httpd_auth.erl
  'X-Auth-CouchDB-UserName': 'admin',
  'X-Auth-CouchDB-Roles': '_admin',
  'X-Auth-CouchDB-Token': '00',
  Cookie: 'AuthSession=x',
  Destination: 'x', // couch_httpd_db.erl
  'sec-websocket-key': 'x', // mochiweb_websocket.erl
  'Sec-WebSocket-Key1': 'x',
  'Sec-WebSocket-Key2': 'x',
  'x-forwarded-for': '10.0.0.1', // mochiweb_request.erl
  Range: 'bytes=0-1',
  'transfer-encoding': 'chunked',
  'content-length': '0',
  expect: '100-continue',
  connection: 'close',
  'if-modified-since': 'Sat, 01 Jan 2022 00:00:00 GMT',
  'Accept-Encoding': 'identity',
  // Of HTTP, with a meaning for whoever reads them: RFC 9110 sections 7.6, 13 and 14.
  'If-Unmodified-Since': 'Sat, 01 Jan 2022 00:00:00 GMT',
  'If-Range': '"1-a"',
  'Content-Range': 'bytes 0-1/4',
  'User-Agent': 'tester/1',
  'Accept-Language': 'de',
  Forwarded: 'for=10.0.0.1',
  TE: 'trailers',
  Trailer: 'x-auth-couchdb-roles',
  'Keep-Alive': 'timeout=1',
  'Proxy-Connection': 'keep-alive',
  'Proxy-Authorization': 'Basic YTpi',
  Upgrade: 'h2c',
};

/** The method with which a header has its effect, if that is not GET. */
const METHODS: Readonly<Record<string, string>> = {
  destination: 'COPY',
  'x-http-method-override': 'POST',
  'content-range': 'PUT',
};

describeHostile('H6: the table of request headers', { databases: ['h06'] }, (gate) => {
  it('has every header that CouchDB obeys, and no other', () => {
    const names = Object.keys(OBEYED).map((name) => name.toLowerCase());
    assert.deepEqual([...REQUEST_HEADERS.keys()].sort(), names.sort());
  });

  for (const [name, value] of Object.entries(OBEYED)) {
    const lower = name.toLowerCase();
    const treatment = REQUEST_HEADERS.get(lower);
    it(`is true of ${lower}: ${treatment ?? 'not there'}`, async () => {
      const body = lower === 'transfer-encoding' ? '0\r\n\r\n' : '';
      const method = METHODS[lower] ?? 'GET';
      const answer = await gate.send({
        line: `${method} /h06/doc`,
        as: 'reader+writer',
        headers: [`${name}: ${value}`],
        body,
      });
      const got = answer.reached[0]?.headers[lower];
      const isTrue: Readonly<Record<HeaderTreatment, () => boolean>> = {
        passed: () => got === value,
        // The exchange is found by its request id, which this one replaces.
        rebuilt: () => answer.reached.length === 1 || lower === 'x-couch-request-id',
        replaced: () => answer.reached.length === 1 && (got !== value || lower === 'connection'),
        dropped: () => answer.reached.length === 1 && got === undefined,
        refused: () => answer.status === 400 && answer.reached.length === 0 && answer.body.includes(name),
      };
      assert.ok(
        treatment !== undefined && isTrue[treatment](),
        `${String(got)} ${answer.head}${answer.body}`,
      );
    });
  }

  for (const [line, override] of [
    ['POST /h06', 'GET'],
    ['POST /h06', 'DELETE'],
    ['POST /h06/doc', 'COPY'],
    ['POST /h06', 'PUT; x'],
    ['POST /h06', 'get'],
    ['POST /h06', ''],
    ['PUT /h06/doc', 'DELETE'],
    ['GET /h06/doc', 'DELETE'],
  ] as const) {
    it(`refuses a method in a header – ${line} – X-HTTP-Method-Override: ${override} – 400`, async () => {
      const headers = [`X-HTTP-Method-Override: ${override}`, 'Content-Type: application/json'];
      const answer = await gate.send({ line, as: 'owner', headers });
      assert.deepEqual([answer.status, answer.reached], [400, []]);
      assert.match(answer.body, /X-HTTP-Method-Override/);
    });
  }

  it('lets the header repeat the method – GET /h06/doc – X-HTTP-Method-Override: GET', async () => {
    const headers = ['X-HTTP-Method-Override: GET'];
    const { reached } = await gate.send({ line: 'GET /h06/doc', as: 'reader', headers });
    assert.equal(reached.length, 1);
    assert.equal('x-http-method-override' in (reached[0]?.headers ?? {}), false);
  });
});
