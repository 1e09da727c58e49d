// H15: CouchDB holds the answer to a `_bulk_get` in memory; 4 KB that name one document 400 times took 400 MB of a node.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import {
  CALLER_HEADER,
  EXCHANGE_HEADER,
  type PolicyFront,
  startPolicyFront,
} from '../support/policy-front.ts';

const HASH = 'f'.repeat(31);
const repeated = (times: number, entry: string): string => Array<string>(times).fill(entry).join(',');
const each = (times: number, entry: (n: number) => string): string =>
  Array.from({ length: times }, (_, n) => entry(n)).join(',');

/** Status, why, and the JSON of the entries. */
const BODIES: readonly (readonly [number, string, string])[] = [
  [200, 'what the replicator sends', each(500, (n) => `{"id":"d${n}","rev":"1-a","atts_since":["1-b"]}`)],
  [200, 'ids alone', each(10_000, (n) => `{"id":"d${n}"}`)],
  [200, 'conflicts of one document', each(500, (n) => `{"id":"d","rev":"${(n % 100) + 1}-${n}"}`)],
  [200, 'a change that a follower saw again', repeated(3, '{"id":"d"}')],
  [200, 'entries that CouchDB answers with an error', `${repeated(9, '{}')},1,null,{"id":1},{"rev":"1-a"}`],
  [413, 'more entries', each(10_001, (n) => `{"id":"d${n}"}`)],
  [413, 'more entries without ids', repeated(10_001, '{}')],
  [413, 'ancestors of one leaf', each(101, (n) => `{"id":"d","rev":"${n + 1}-a"}`)],
  [400, 'an id', repeated(4, '{"id":"d"}')],
  [400, 'an id after revisions of none', each(4, (n) => `{"rev":"1-${n}"},{"id":"d"}`)],
  [400, 'a revision', repeated(4, '{"id":"d","rev":"1-a"}')],
  [400, 'a revision with other attachments', each(4, (n) => `{"id":"d","atts_since":["${n}-a"]}`)],
  [400, 'an id in several spellings', '{"id":"d"},{"id":"\\u0064"},{"\\u0069d":"d"},{"id":"x","id":"d"}'],
  [400, 'a revision in several spellings', each(4, (n) => `{"id":"d","rev":"+${'0'.repeat(n)}1-a"}`)],
  [
    400,
    'hexadecimal digits',
    `${each(4, (n) => `{"id":"d","rev":"1-${'Aa+0'.charAt(n)}${HASH}"}`)},${repeated(3, `{"id":"d","rev":"1-a${HASH}"}`)}`,
  ],
];

let front: PolicyFront;
before(async () => {
  front = await startPolicyFront();
});
after(() => front.close());

let exchanges = 0;
async function send(
  body: Buffer,
  headers: Record<string, string>,
): Promise<readonly [status: number | undefined, forwarded: number]> {
  const id = `exchange-${(exchanges += 1)}`;
  const request = http.request(`${front.url}/db/_bulk_get`, {
    method: 'POST',
    agent: false,
    headers: {
      [CALLER_HEADER]: 'reader',
      [EXCHANGE_HEADER]: id,
      'content-type': 'application/json',
      ...headers,
    },
  });
  request.end(body);
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  answer.resume();
  await once(answer, 'end');
  return [answer.statusCode, front.reached(id).length];
}

describe('H15 a _bulk_get that names', () => {
  for (const [status, name, entries] of BODIES)
    it(`${name} is ${status === 200 ? 'forwarded' : 'refused'} – ${status}`, async () => {
      const body = Buffer.from(`{"docs":[{"id":"d"},{"id":"d"}],"a":[],"\\u0064ocs":[${entries}]}`);
      const expected = [status, status === 200 ? 1 : 0];
      assert.deepEqual(await send(body, {}), expected);
      assert.deepEqual(await send(gzipSync(body), { 'content-encoding': 'gzip' }), expected);
    });

  it('a document repeatedly is refused in a chunked body too – 400', async () => {
    const body = Buffer.from(`{"docs":[${repeated(400, '{"id":"d"}')}]}`);
    assert.deepEqual(await send(body, { 'transfer-encoding': 'chunked' }), [400, 0]);
  });
});
