// H20: a form for a function. 16 KiB of gzip, which are 16 MiB of separators, took 2.4 GiB of a node of CouchDB.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type ServerResponse } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { startPolicyFront, type PolicyFront } from '../support/policy-front.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

const MIB = 2 ** 20;
const FORM = 'application/x-www-form-urlencoded';
const fields = (count: number, separator: string): Buffer =>
  Buffer.from(Array<string>(count).fill('a').join(separator));

/** Status, title, body, and the type if it is another. */
const ROWS: readonly (readonly [number, string, Buffer, string?])[] = [
  [200, 'ten thousand fields', fields(10_000, '&')],
  [413, 'more fields', fields(10_001, '&')],
  [413, 'more fields behind semicolons', fields(10_001, ';')],
  [413, 'another spelling of the type', fields(10_001, '&'), `${FORM.toUpperCase()}; charset=utf-8`],
  [200, 'one field of 1 MiB', Buffer.alloc(MIB, 'a')],
  [413, 'a longer field', Buffer.alloc(MIB + 1, 'a')],
  [413, 'a bomb of separators', Buffer.alloc(16 * MIB, '&')],
  [200, 'another text', fields(100_000, '&'), 'text/plain'],
];
const LINES = [
  ['POST', '/db/_design/d/_show/s'],
  ['POST', '/db/_design/d/_update/u'],
  ['PUT', '/db/_design/d/_update/u/x'],
  ['POST', '/db/_partition/p/_design/d/_update/u'],
  ['POST', '/db/_partition/p/_design/d/_show/s'],
] as const;
const GZIP = { 'content-encoding': 'gzip' };

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

async function send(front: PolicyFront, { method, path, body, headers }: Sent): Promise<number | undefined> {
  const all = { 'x-test-caller': 'reader+writer', 'content-type': FORM, ...headers };
  const request = http.request(`${front.url}${path}`, { method, agent: false, headers: all });
  request.end(body);
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  answer.resume();
  await once(answer, 'end');
  return answer.statusCode;
}

describe('H20 a form for a function', () => {
  let front: PolicyFront;
  before(async () => (front = await startPolicyFront()));
  after(() => front.close());

  for (const [status, title, body, type = FORM] of ROWS)
    it(`is ${status === 200 ? 'forwarded' : 'refused'} – ${title} – ${status}`, async () => {
      for (const [method, path] of LINES)
        for (const [sent, framing] of [
          [body, { 'content-length': String(body.length) }],
          [body, { 'transfer-encoding': 'chunked' }],
          [gzipSync(body), GZIP],
        ] as const) {
          const headers = { 'content-type': type, ...framing };
          const found = await send(front, { method, path, body: sent, headers });
          assert.equal(found, status, `${method} ${path} ${JSON.stringify(framing)}`);
        }
    });
});

describe('H20 the bodies of functions that are with CouchDB', () => {
  const HELD = 8;
  const open: ServerResponse[] = [];
  let couchdb: ScriptedUpstream;
  let front: PolicyFront;
  before(async () => {
    couchdb = await startUpstream((_req, res) => {
      if (open.length < HELD) open.push(res);
      else res.end('{}');
    });
    front = await startPolicyFront({
      couchdb: { url: couchdb.url, jwtSecretBase64: 'c2VjcmV0', kid: 'couchgate' },
    });
  });
  after(async () => {
    await front.close();
    await couchdb.close();
  });

  it('count in gzip too, a form by its memory – POST /db/_design/d/_show/s – 503', async () => {
    const [method, path] = LINES[0];
    const ask = (body: Buffer, type: string): Promise<number | undefined> =>
      send(front, { method, path, body, headers: { ...GZIP, 'content-type': type } });
    const form = gzipSync(Buffer.alloc(MIB, 'a'));
    const text = gzipSync(Buffer.alloc(16 * MIB, 'a'));
    const held = [
      ...Array<Buffer>(HELD - 1)
        .fill(form)
        .map((body) => ask(body, FORM)),
      ask(text, 'text/plain'),
    ];
    await until(() => open.length === HELD, 'CouchDB has them all');
    assert.equal(await ask(form, FORM), 503);
    assert.equal(await ask(text, 'text/plain'), 503);
    for (const res of open) res.end('{}');
    for (const status of held) assert.equal(await status, 200);
  });
});
