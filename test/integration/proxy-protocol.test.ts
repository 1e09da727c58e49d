// The PROXY protocol of load balancers is refused, and the answer says so.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPolicyFront, type PolicyFront } from '../support/policy-front.ts';
import { exchangeBytes } from '../support/raw-http.ts';

const REQUEST = 'GET /_up HTTP/1.1\r\nHost: x\r\n\r\n';
const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n';

describe('The PROXY protocol', () => {
  let front: PolicyFront;
  before(async () => {
    front = await startPolicyFront();
  });
  after(() => front.close());

  for (const [version, start] of [
    ['1', 'PROXY TCP4 192.0.2.1 192.0.2.2 50000 5984\r\n'],
    ['1 of an unknown connection', 'PROXY UNKNOWN\r\n'],
    ['2', `${SIGNATURE}\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xc3\x50\x17\x60`],
  ] as const) {
    it(`is refused by its name – version ${version} – 400`, async () => {
      const answer = await exchangeBytes(front.url, start + REQUEST);
      assert.match(answer, /^HTTP\/1\.1 400 /);
      assert.match(answer, /"The PROXY protocol is not supported;/);
      assert.equal(answer.match(/HTTP\/1\.1 /g)?.length, 1);
      assert.deepEqual(front.takeAll(), []);
    });
  }

  it('is not what another malformed request is called – PROXIED / – 400', async () => {
    const answer = await exchangeBytes(front.url, 'PROXIED / HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.doesNotMatch(answer, /PROXY protocol/);
  });
});
