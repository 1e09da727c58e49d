// H15: CouchDB holds the answer to a `_bulk_get` in memory; 4 KB that name one document 400 times took 400 MB of a node.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { withoutCouchdb } from '../support/cluster.ts';
import { basic, type Couchgate, startCouchgate } from '../support/couchgate.ts';
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

/** Two spellings of a revision: bytes and their hexadecimal digits, a number with and without a sign. */
const BYTES = ['0123456789abcdef', '30313233343536373839616263646566'];
const NUMBERS = [`-${'0'.repeat(30)}1`, 'f'.repeat(32)];

/** Status, why, and the JSON of the entries. */
const BODIES: readonly (readonly [number, string, string])[] = [
  [200, 'what the replicator sends', each(500, (n) => `{"id":"d${n}","rev":"1-a","atts_since":["1-b"]}`)],
  [200, 'ids alone', each(10_000, (n) => `{"id":"d${n}"}`)],
  [200, 'conflicts of one document', each(500, (n) => `{"id":"d","rev":"${(n % 100) + 1}-${n}"}`)],
  [200, 'a change that a follower saw again', repeated(3, '{"id":"d"}')],
  [200, 'entries that CouchDB answers with an error', `${repeated(9, '{}')},1,null,{"id":1},{"rev":"1-a"}`],
  [413, 'more entries', each(10_001, (n) => `{"id":"d${n}"}`)],
  [413, 'more entries without ids', repeated(10_001, '{}')],
  [413, 'ancestors of one leaf', each(1001, (n) => `{"id":"d","rev":"${n + 1}-a"}`)],
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
  [400, 'bytes and their digits', each(4, (n) => `{"id":"d","rev":"1-${BYTES[n % 2]}"}`)],
  [400, 'a number below zero', each(4, (n) => `{"id":"d","rev":"1-${NUMBERS[n % 2]}"}`)],
];

/** Of entries with `latest=true`: an ancestor gives every conflict. */
const LATEST: readonly (readonly [number, string, string])[] = [
  [200, 'what the replicator sends', each(500, (n) => `{"id":"d${n}","rev":"1-a","atts_since":["1-b"]}`)],
  [200, 'sixty conflicts', each(60, (n) => `{"id":"d","rev":"${(n % 30) + 1}-${n}"}`)],
  [413, 'leaves in too many generations', each(1001, (n) => `{"id":"d","rev":"${n + 1}-a"}`)],
  [400, 'an ancestor twice', repeated(2, '{"id":"d","rev":"1-a"}')],
  [400, 'a document twice', repeated(2, '{"id":"d"}')],
];
const LATEST_QUERIES = ['latest=true', 'revs=true;l%61test=%74rue', 'latest=false&latest=true'];

let front: PolicyFront;
before(async () => {
  front = await startPolicyFront();
});
after(() => front.close());

let exchanges = 0;
const lastExchange = (): string => `exchange-${exchanges}`;
async function send(
  body: Buffer,
  headers: Record<string, string>,
  query = '',
): Promise<readonly [status: number | undefined, forwarded: number]> {
  const id = `exchange-${(exchanges += 1)}`;
  const request = http.request(`${front.url}/db/_bulk_get${query}`, {
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

  for (const query of LATEST_QUERIES)
    for (const [status, name, entries] of LATEST)
      it(`${name} is ${status === 200 ? 'forwarded' : 'refused'} – ?${query} – ${status}`, async () => {
        const body = Buffer.from(`{"docs":[${entries}]}`);
        assert.deepEqual(await send(body, {}, `?${query}`), [status, status === 200 ? 1 : 0]);
      });

  // An ancestor gives every conflict that comes from it.
  for (const [query, sent] of [
    ['?latest=true', ''],
    ['?revs=true&latest=true', '?revs=true'],
    ['?l%61test=%74rue;latest=true&revs=true&latest', '?revs=true'],
    ['?Latest=true&latest=false&a=latest', '?Latest=true&latest=false&a=latest'],
  ] as const)
    it(`more than 30 generations of a document gets no latest=true – ${query} – 200`, async () => {
      const names = (count: number): Buffer =>
        Buffer.from(`{"docs":[{"id":"x"},${each(count, (n) => `{"id":"d","rev":"${n + 1}-a"}`)}]}`);
      await send(names(30), {}, query);
      assert.equal(front.reached(lastExchange())[0]?.url, `/db/_bulk_get${query}`);
      assert.deepEqual(await send(names(31), {}, query), [200, 1]);
      assert.equal(front.reached(lastExchange())[0]?.url, `/db/_bulk_get${sent}`);
    });

  it('a document repeatedly is refused in a chunked body too – 400', async () => {
    const body = Buffer.from(`{"docs":[${repeated(400, '{"id":"d"}')}]}`);
    assert.deepEqual(await send(body, { 'transfer-encoding': 'chunked' }), [400, 0]);
  });
});

describe('H15 a document with more conflicts than a _bulk_get may name', { skip: withoutCouchdb }, () => {
  const CONFLICTS = 40;
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate();
  });
  after(() => gate.close());

  it('is replicated by CouchDB', async () => {
    const as = gate.owner;
    await gate.database('repeated');
    const docs = Array.from({ length: CONFLICTS }, (_, n) => ({ _id: 'd', _rev: `${n + 1}-a` }));
    await gate.ask('POST', '/repeated/_bulk_docs', { as, body: { docs, new_edits: false } });
    const [node = ''] = gate.backend.urls;
    const headers = { authorization: basic(gate.backend.owner), 'content-type': 'application/json' };
    const end = (origin: string, name: string): object => ({
      url: `${origin}/${name}`,
      headers: { authorization: headers.authorization },
    });
    const source = {
      url: `${gate.url}/repeated`,
      auth: { basic: { username: as.name, password: as.password } },
    };
    const job = { source, target: end(node, 'repeated-copy'), create_target: true };
    const answer = await fetch(`${node}/_replicate`, { method: 'POST', headers, body: JSON.stringify(job) });
    assert.equal(answer.status, 200, await answer.text());
    const copy = await fetch(`${node}/repeated-copy/d?conflicts=true`, { headers });
    const { _conflicts } = (await copy.json()) as { _conflicts: readonly string[] };
    assert.equal(_conflicts.length, CONFLICTS - 1);
    const asked = gate.recorder.take().map(({ url }) => url);
    const reads = asked.filter((url) => url.includes('_bulk_get'));
    assert.ok(reads.length > 0 && reads.every((url) => !url.includes('latest')), reads.join());
    assert.equal(asked.filter((url) => url.includes('open_revs')).length, 0);
  });
});
