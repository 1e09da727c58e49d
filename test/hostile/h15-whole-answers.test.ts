// H15: CouchDB takes attachments into JSON, and all leaves of a document into memory, for many queries and bodies. Each has the few places.
import assert from 'node:assert/strict';
import http, { type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import {
  CALLER_HEADER,
  EXCHANGE_HEADER,
  type PolicyFront,
  startPolicyFront,
} from '../support/policy-front.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { until } from '../support/until.ts';

/** Answers in memory at once that one caller may have. */
const SHARE = 4;
const NAMED = '{"include_docs":true,"attachments":true}';
const IN_QUERIES = '{"queries":[{"include_docs":true,"attachments":"true"}]}';
const ROWS = ['_all_docs', '_design_docs', '_local_docs', '_design/d/_view/v', '_partition/p/_all_docs'];
const LISTS = ['_design/d/_list/l/v', '_design/d/_list/l/e/v', '_partition/p/_design/d/_list/l/v'];

type Asked = readonly [line: string, body?: string];
/** chttpd_db.erl: db_doc_req, parse_doc_query, parse_changes_query; couch_mrview_http.erl: parse_param. */
const FEW: readonly Asked[] = [
  ['GET /db/doc?open_revs=all'],
  ['GET /db/doc?rev=1-a;attachments=true'],
  ['GET /db/doc?atts_since=[]'],
  ['GET /db/doc?atts_since=%5B%221-x%22%5D'],
  ['GET /db/doc?%61tts_since=[]'],
  ['GET /db/doc?attachments=false&attachments=true'],
  ['GET /db/doc?attachments=true', '{}'],
  ['HEAD /db/_design/d?attachments=true'],
  ['POST /db/_bulk_get', '{"docs":[]}'],
  ...[...ROWS, ...LISTS].flatMap((path): readonly Asked[] => [
    [`GET /db/${path}?include_docs=true&attachments=true`],
    [`POST /db/${path}`, NAMED],
  ]),
  ...ROWS.map((path): Asked => [`POST /db/${path}/queries`, IN_QUERIES]),
  ['POST /db/_all_docs', '{"include_docs":true,"\\u0061ttachment\\u0073":true}'],
  ['POST /db/_all_docs?attachments=true', '{"keys":["a"]}'],
  ['GET /db/_changes?include_docs=true&attachments=true'],
  ['GET /db/_changes?include_docs=true&Attachments=true'],
  ['POST /db/_changes?include_docs=true&attachments=true&filter=_doc_ids', '{"doc_ids":["a"]}'],
  ...['normal', 'longpoll', 'continuous', 'eventsource'].map((feed): Asked => [
    `GET /db/_changes?feed=${feed}&include_docs=true&attachments=true`,
  ]),
  ['POST /db/_changes?feed=longpoll&attachments=true', '{"doc_ids":["a"]}'],
];
const MANY: readonly Asked[] = [
  ['GET /db/doc?attachments=false&att_encoding_info=true'],
  ['GET /db/_changes?feed=longpoll&include_docs=true&attachments=false'],
  ['POST /db/_all_docs', '{"include_docs":true,"keys":["\\u00fc"]}'],
  ['PUT /db/doc?attachments=true', '{}'],
];

/** CouchDB would collect the answer. chttpd.erl compares name and value as they are, after their escapes. */
const BUFFERED = [
  'GET /db/_all_docs?buffer_response=true',
  'GET /db/_all_docs?limit=1&buffer_response=true&skip=1',
  'GET /db/_all_docs?limit=1;buffer_response=true',
  'GET /db/_changes?%62uffer_response=%74rue',
  'GET /db/_changes?feed=continuous&buffer_response=true',
  'GET /db/doc?buffer_response=true',
  'POST /db/_find?buffer_response=true',
];
const NOT_BUFFERED = [
  'GET /db/_all_docs?buffer_response=false',
  'GET /db/_all_docs?Buffer_response=true',
  'GET /db/_all_docs?startkey="buffer_response=true"',
];

let front: PolicyFront;
const clients: RawClient[] = [];
/** The requests of a test, which are answered after it: until then they keep their places (H15.13). */
const held: ServerResponse[] = [];
/** Answers the probes at once. */
const silent = http.createServer(({ url }, res) => {
  if (url === '/_up') res.end('{"status":"ok"}');
  else held.push(res);
});
before(async () => {
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  front = await startPolicyFront({ couchdb: { url, jwtSecretBase64: 'c2VjcmV0', kid: 'couchgate' } });
});
after(async () => {
  silent.closeAllConnections();
  silent.close();
  await front.close();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  await until(async () => (await front.connections()) === 0);
  for (const res of held.splice(0)) res.end('{}');
});

async function send([line, body = '']: Asked, exchange: string, isChunked: boolean): Promise<void> {
  const client = await connectRaw(front.port);
  clients.push(client);
  const framing = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`;
  const sent = isChunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
  const lines = [`${CALLER_HEADER}: reader+writer`, `${EXCHANGE_HEADER}: ${exchange}`, framing];
  client.send(head(`${line} HTTP/1.1`, 'Host: x', 'Content-Type: application/json', ...lines) + sent);
}

/** The number of requests that reach CouchDB of one more than may. The last one is as slow, but waits for nothing. */
async function countReached(asked: Asked, name: string, isChunked: boolean): Promise<number> {
  for (let n = 0; n <= SHARE; n += 1) await send(asked, name, isChunked);
  await until(() => front.reached(name).length >= SHARE);
  await send(['POST /db/_all_docs', '{}'], `after-${name}`, isChunked);
  await until(() => front.reached(`after-${name}`).length === 1);
  const reached = front.reached(name).length;
  await until(() => held.length === reached + 1);
  return reached;
}

describe('H15 an answer that CouchDB holds in memory', () => {
  for (const isChunked of [false, true])
    for (const [at, asked] of FEW.entries()) {
      if (isChunked && asked[1] === undefined) continue;
      it(`is one of few – ${asked.join(' ')}${isChunked ? ' in chunks' : ''}`, async () => {
        assert.equal(await countReached(asked, `few-${at}-${isChunked}`, isChunked), SHARE);
      });
    }

  for (const line of BUFFERED)
    it(`is refused if a parameter asks for it – ${line}`, async () => {
      await send([line, line.startsWith('POST') ? '{"selector":{}}' : ''], 'refused', false);
      await clients[0]?.sees('HTTP/1.1 400');
    });

  for (const [at, line] of NOT_BUFFERED.entries())
    it(`is not refused for ${line}`, async () => {
      await send([line], `sent-${at}`, false);
      await until(() => front.reached(`sent-${at}`).length === 1);
    });

  for (const [at, asked] of MANY.entries())
    it(`is not ${asked.join(' ')}`, async () => {
      assert.equal(await countReached(asked, `many-${at}`, asked[0].startsWith('PUT')), SHARE + 1);
    });
});
