// H20: a text of 64 MiB is one JSON value, and white space is none. 192 such bodies without their last byte took 12 GiB of a node.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { createValueBudget } from '../../src/body/value-budget.ts';
import { type BodyKind } from '../../src/catalogue/endpoint.ts';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

/** Room for two bodies, one of them of one caller. */
const VALUES = 30_000;
const BYTES = 3 * 2 ** 20;
const FORM = 'multipart/form-data; boundary=x';
const PART = '--x\r\nContent-Disposition: form-data; name="_attachments"; filename="a"\r\n\r\n';

interface Row {
  readonly title: string;
  readonly kind: BodyKind;
  /** What the body begins with; it is continued with its last character. */
  readonly start: string;
  readonly line?: string;
  readonly type?: string;
}

const KEPT: readonly Row[] = [
  { title: 'a document of one text', kind: 'document', start: '{"a":"a' },
  { title: 'a document of white space', kind: 'document', start: ' ' },
  { title: 'a bulk of one text', kind: 'bulk', start: '{"docs":[{"a":"a' },
  { title: 'a query of white space', kind: 'query', start: ' ' },
  { title: 'the body of a function', kind: 'text', start: 'a' },
  {
    title: 'a form with an attachment',
    kind: 'document',
    line: 'POST /db/x',
    type: FORM,
    start: `${PART}a`,
  },
];
const STORED: readonly Row[] = [
  { title: 'an attachment', kind: 'attachment', start: 'a' },
  {
    title: 'a document with an attachment',
    kind: 'document',
    type: 'multipart/related; boundary=x',
    start: '--x\r\n\r\n{}\r\n--x\r\n\r\na',
  },
];

describe('H20 the bytes of a body that CouchDB keeps in memory', () => {
  let upstream: ScriptedUpstream;
  let front: ForwardingFront;
  let received = 0;
  const clients: RawClient[] = [];
  before(async () => {
    upstream = await startUpstream((req, res) => {
      req.on('data', ({ length }: Buffer) => (received += length));
      req.on('end', () => res.writeHead(201).end());
    });
    front = await startForwarding({
      upstreams: [upstream],
      judge: ({ headers }) => ({
        bodyKind: String(headers['x-kind']) as BodyKind,
        principal: { kind: 'key', name: String(headers['x-who']) },
      }),
      options: { valueBudget: createValueBudget(VALUES) },
    });
  });
  after(async () => {
    await front.close();
    await upstream.close();
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.socket.destroy();
  });

  /** Sends a body without its last byte. */
  async function begin({ kind, start, line = 'PUT /db/x', type }: Row, who: string): Promise<RawClient> {
    const client = await connectRaw(front.port);
    clients.push(client);
    const lines = [`X-Who: ${who}`, `X-Kind: ${kind}`, `Content-Length: ${BYTES}`];
    client.send(head(`${line} HTTP/1.1`, 'Host: x', ...lines, `Content-Type: ${type ?? 'application/json'}`));
    client.send(start.padEnd(BYTES - 1, start.at(-1)));
    return client;
  }

  async function statusOf(client: RawClient): Promise<number> {
    client.send('a');
    await client.sees('\r\n');
    return Number(client.received.split(' ')[1]);
  }

  for (const row of KEPT)
    it(`counts, of one caller and of all – ${row.title} – 503`, async () => {
      received = 0;
      const held = [await begin(row, 'a'), await begin(row, 'b')];
      await until(() => received >= 2 * (BYTES - 1), 'both are with CouchDB');
      assert.equal(await statusOf(await begin(row, 'a')), 503);
      assert.equal(await statusOf(await begin(row, 'c')), 503);
      for (const client of held) assert.equal(await statusOf(client), 201);
      assert.equal(await statusOf(await begin(row, 'c')), 201);
    });

  for (const row of STORED)
    it(`does not count where CouchDB stores it as it comes – ${row.title} – 201`, async () => {
      const held = await Promise.all(['a', 'a', 'b', 'c'].map((who) => begin(row, who)));
      for (const client of held) assert.equal(await statusOf(client), 201);
    });

  it('is free where it is small, also if there is no room', async () => {
    const [row] = KEPT;
    assert.ok(row !== undefined, 'there is a row');
    received = 0;
    const held = [await begin(row, 'a'), await begin(row, 'b')];
    await until(() => received >= 2 * (BYTES - 1), 'both are with CouchDB');
    const answer = await fetch(`${front.url}/db/y`, {
      method: 'PUT',
      headers: { 'x-who': 'a', 'x-kind': 'document', 'content-type': 'application/json' },
      body: JSON.stringify({ a: 'a'.repeat(2 ** 20) }),
    });
    assert.equal(answer.status, 201);
    for (const client of held) assert.equal(await statusOf(client), 201);
  });
});
