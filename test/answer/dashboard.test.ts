// The files of the dashboard as a browser gets them: policy, compression, caching, redirects.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPolicyFront, type PolicyFront } from '../support/policy-front.ts';

const POLICY =
  "default-src 'none';script-src 'self';style-src 'self';connect-src 'self';img-src 'self' data:;" +
  "frame-ancestors 'none';base-uri 'none';form-action 'self';require-trusted-types-for 'script';trusted-types 'none'";

describe('the files of the dashboard', () => {
  let front: PolicyFront;
  before(async () => {
    front = await startPolicyFront();
  });
  after(() => front.close());
  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(front.url + path, { headers, redirect: 'manual' });

  it('have the policy and the full set of helmet – GET /_dashboard/ – 200', async () => {
    for (const path of ['/_dashboard/', '/%5fdashboard/', '/_dashboard/index.html', '/_dashboard/none']) {
      const { headers } = await get(path);
      assert.equal(headers.get('content-security-policy'), POLICY, path);
      assert.equal(headers.get('x-frame-options'), 'DENY');
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.equal(headers.get('cross-origin-opener-policy'), 'same-origin');
      assert.equal(headers.get('referrer-policy'), 'no-referrer');
    }
  });

  it('are compressed for clients that accept gzip', async () => {
    for (const [accepted, coding] of [
      ['br, gzip', 'gzip'],
      ['gzip;q=0', null],
      ['identity', null],
    ] as const) {
      const answer = await get('/_dashboard/', { 'accept-encoding': accepted });
      assert.equal(answer.headers.get('content-encoding'), coding, accepted);
      assert.match(await answer.text(), /<title>Couchgate/);
    }
  });

  it('may be kept for ever if their name has a digest; the page is asked for again', async () => {
    const page = await get('/_dashboard/');
    assert.equal(page.headers.get('cache-control'), 'no-cache');
    const script = await get('/_dashboard/assets/app-1.js');
    assert.equal(script.headers.get('cache-control'), 'public, max-age=31536000, immutable');
    const again = await get('/_dashboard/', { 'if-none-match': page.headers.get('etag') ?? '' });
    assert.equal(again.status, 304);
  });

  it('are found from the address without a slash, and from that of Cloudant – 302', async () => {
    for (const path of ['/_dashboard', '/dashboard.html']) {
      const answer = await get(path);
      assert.deepEqual([answer.status, answer.headers.get('location')], [302, '_dashboard/']);
    }
  });

  it('are no folder of the machine – GET /_dashboard/{path} – 400 or 404', async () => {
    for (const path of [
      '/_dashboard/..%2f..%2fpackage.json',
      '/_dashboard/assets',
      '/_dashboard//etc/passwd',
    ])
      assert.ok([400, 404].includes((await get(path)).status), path);
  });
});
