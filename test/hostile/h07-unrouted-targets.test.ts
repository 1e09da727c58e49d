// H7: targets that Express cannot parse. It calls no handler for them, but they pass the same steps as all others.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startPolicyFront } from '../support/policy-front.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { head } from '../support/raw-client.ts';

const TARGETS = ['http://[', 'http://[/db/doc', 'http://[::1/db', 'http://name:secret@[/db', 'x://['];

describe('a target that Express cannot parse (H7)', () => {
  for (const target of TARGETS) {
    it(`is refused in CouchDB's form, and recorded – GET ${target} – 400`, async () => {
      const front = await startPolicyFront();
      try {
        const answer = await exchangeBytes(
          front.url,
          head(`GET ${target} HTTP/1.1`, 'Host: x', 'Connection: close'),
        );
        assert.match(answer, /^HTTP\/1\.1 400 /);
        assert.match(answer, /\r\n\r\n\{"error":"bad_request"/);
        const lines = front.takeLines();
        assert.deepEqual(
          lines.map((line) => line['statusCode']),
          [400],
        );
        assert.doesNotMatch(JSON.stringify(lines), /secret/);
        assert.deepEqual(front.takeAll(), []);
      } finally {
        await front.close();
      }
    });
  }

  it('is refused outside of the whitelist – GET http://[ – 403', async () => {
    const front = await startPolicyFront({ settings: { allow: ['192.0.2.0/24'] } });
    try {
      const answer = await exchangeBytes(
        front.url,
        head('GET http://[ HTTP/1.1', 'Host: x', 'Connection: close'),
      );
      assert.match(answer, /^HTTP\/1\.1 403 /);
    } finally {
      await front.close();
    }
  });
});
