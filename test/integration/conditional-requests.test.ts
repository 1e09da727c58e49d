// Conditional and range requests (RFC 9110 sections 13 and 14) reach CouchDB, and its answers reach the
// client.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Admin } from '../../src/setup/admin.ts';
import { describeHostile } from '../support/hostile.ts';

const CONDITIONS = [
  'If-Match: "1-a", "2-b"',
  'If-None-Match: W/"1-a", *',
  'If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT',
  'If-Unmodified-Since: Sat, 01 Jan 2022 00:00:00 GMT',
  'If-Range: "abc"',
  'Range: bytes=0-3, 5-',
];

const headerIn = (head: string, name: string): string | undefined =>
  new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1];

describeHostile('Conditional and range requests', { databases: ['conditions'], prepare }, (gate) => {
  for (const line of CONDITIONS) {
    const [name = '', value] = line.split(/: (.*)/s);
    it(`reach CouchDB – ${line}`, async () => {
      const { reached } = await gate.send({
        line: 'GET /conditions/doc/a.txt',
        as: 'reader',
        headers: [line],
      });
      assert.equal(reached[0]?.headers[name.toLowerCase()], value);
    });
  }

  it('save a second download of the dashboard – GET /_utils/index.html – If-Modified-Since – 304', async (test) => {
    if (gate.couchdb === undefined) {
      test.skip('needs a CouchDB');
      return;
    }
    const page = (...headers: readonly string[]) => gate.send({ line: 'GET /_utils/index.html', headers });
    const first = await page();
    const modified = headerIn(first.head, 'Last-Modified');
    assert.ok(first.status === 200 && modified !== undefined, first.head);
    const again = await page(`If-Modified-Since: ${modified}`);
    assert.deepEqual([again.status, again.body], [304, '']);
    assert.equal((await page('If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT')).status, 200);
  });

  it('keep the headers that a client needs for the next one – ETag, Accept-Ranges, Content-Range', async (test) => {
    if (gate.couchdb === undefined) {
      test.skip('needs a CouchDB');
      return;
    }
    const file = (...headers: readonly string[]) =>
      gate.send({ line: 'GET /conditions/doc/a.bin', as: 'reader', headers });
    const whole = await file();
    const tag = headerIn(whole.head, 'ETag') ?? '';
    assert.deepEqual([whole.status, whole.body], [200, '0123456789']);
    assert.notEqual(tag, '');
    assert.equal(headerIn(whole.head, 'Accept-Ranges'), 'bytes');
    const same = await file(`If-None-Match: ${tag}`);
    assert.deepEqual([same.status, same.body, headerIn(same.head, 'ETag')], [304, '', tag]);
    const part = await file('Range: bytes=2-4', `If-Range: ${tag}`);
    assert.deepEqual([part.status, part.body], [206, '234']);
    assert.equal(headerIn(part.head, 'Content-Range'), 'bytes 2-4/10');
  });
});

async function prepare(couchdb: Admin): Promise<void> {
  const data = Buffer.from('0123456789').toString('base64');
  await couchdb.ask('PUT', '/conditions/doc', {
    _attachments: { 'a.bin': { content_type: 'application/octet-stream', data } },
  });
}
