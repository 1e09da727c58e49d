// H14.2: pages of CouchDB's dashboard may not be framed, in whatever spelling their URL is written.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPolicyFront, type PolicyFront } from '../support/policy-front.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { startUpstream, type ScriptedUpstream } from '../support/scripted-upstream.ts';

/** CouchDB's own policy (`[csp] utils_header_value`). */
const OF_COUCHDB = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'";
const PAGES = [
  ...[
    '/_utils',
    '/_utils/',
    '//_utils/',
    '/%5Futils/',
    '/%5futils',
    '/_util%73/',
    '///_utils//',
    '/_utils/index.html',
  ],
  ...['/_utils//index.html', '/%5futils/dashboard.assets/js/bundle.js', '/_utils/?x', '//_utils/a%2Fb'],
];

describe('H14.2 a page of the dashboard', () => {
  let couchdb: ScriptedUpstream;
  let front: PolicyFront;
  before(async () => {
    couchdb = await startUpstream((req, res) => {
      req.resume();
      res
        .writeHead(200, { 'Content-Type': 'text/html', 'Content-Security-Policy': OF_COUCHDB })
        .end('<html>');
    });
    front = await startPolicyFront({
      couchdb: { url: `http://${couchdb.host}`, jwtSecretBase64: 'eA==', kid: 'x' },
    });
  });
  after(async () => {
    await front.close();
    await couchdb.close();
  });

  async function headersOf(target: string): Promise<readonly string[]> {
    const answer = await exchangeBytes(
      front.url,
      `GET ${target} HTTP/1.1\r\nHost: a\r\nx-test-caller: reader\r\nConnection: close\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 200 /, target);
    return answer.slice(0, answer.indexOf('\r\n\r\n')).split('\r\n');
  }
  const valuesOf = (headers: readonly string[], name: string): readonly string[] =>
    headers
      .filter((line) => line.toLowerCase().startsWith(`${name}: `))
      .map((line) => line.slice(name.length + 2));

  for (const target of PAGES)
    it(`cannot be framed – GET ${target}`, async () => {
      const headers = await headersOf(target);
      assert.deepEqual(valuesOf(headers, 'x-frame-options'), ['DENY']);
      const policies = valuesOf(headers, 'content-security-policy');
      assert.equal(policies.length, 1);
      assert.match(policies[0] ?? '', /frame-ancestors 'none'/);
      assert.deepEqual(valuesOf(headers, 'x-content-type-options'), ['nosniff']);
    });

  it('that a database has under the same name is a sandbox – GET /db%2F_utils/doc', async () => {
    const headers = await headersOf('/db%2F_utils/doc');
    assert.match(valuesOf(headers, 'content-security-policy')[0] ?? '', /^sandbox/);
  });
});
