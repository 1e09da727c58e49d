// What the readers of body/read.ts accept and refuse, over real sockets.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { parseForm } from '../../src/body/parse.ts';
import { attachContext, testBodies } from '../support/bodies.ts';
import { type HttpError } from '../../src/http-errors.ts';
import { asHttpError, sendError, sendJson } from '../../src/respond.ts';

const LIMIT = 64;
const bodies = testBodies();
const readers: Record<string, (req: IncomingMessage, res: ServerResponse) => Promise<unknown>> = {
  '/json': (req, res) => bodies.jsonObject(req, res, { limitBytes: LIMIT }),
  '/any': (req, res) => bodies.jsonObject(req, res, { limitBytes: LIMIT, contentType: 'any' }),
  '/optional': async (req, res) =>
    (await bodies.optionalJsonObject(req, res, { limitBytes: LIMIT })) ?? 'no body',
  '/form': async (req, res) => [...(await bodies.form(req, res, { limitBytes: LIMIT }))],
};

interface Row {
  readonly title: string;
  readonly path: string;
  readonly type?: string;
  readonly encoding?: string;
  readonly body?: string | Buffer;
  readonly status: number;
  readonly answer: unknown;
}

const json = 'application/json';
const form = 'application/x-www-form-urlencoded';
const bad = { error: 'bad_request', reason: 'invalid UTF-8 JSON' };
const tooLarge = { error: 'too_large', reason: 'the request entity is too large' };
const badForm = { error: 'bad_request', reason: 'Request body is not a valid UTF-8 form' };
const notJsonType = { error: 'bad_content_type', reason: 'Content-Type must be application/json' };

const ROWS: readonly Row[] = [
  { title: 'reads a JSON object', path: '/json', type: json, body: '{"a":1}', status: 200, answer: { a: 1 } },
  {
    title: 'reads a media type in capitals with a charset',
    path: '/json',
    type: 'Application/JSON; charset=utf-8',
    body: '{}',
    status: 200,
    answer: {},
  },
  {
    title: 'gunzips',
    path: '/json',
    type: json,
    encoding: 'gzip',
    body: gzipSync('{"a":2}'),
    status: 200,
    answer: { a: 2 },
  },
  {
    title: 'refuses a body that is not gzip',
    path: '/json',
    type: json,
    encoding: 'gzip',
    body: '{"a":2}',
    status: 400,
    answer: { error: 'bad_request', reason: 'Request body is not properly gzipped.' },
  },
  {
    title: 'refuses a truncated gzip stream',
    path: '/json',
    type: json,
    encoding: 'gzip',
    body: gzipSync('{"a":2}').subarray(0, 15),
    status: 400,
    answer: { error: 'bad_request', reason: 'Request body is not properly gzipped.' },
  },
  {
    title: 'refuses a gzip bomb',
    path: '/json',
    type: json,
    encoding: 'gzip',
    body: gzipSync(Buffer.alloc(5000, 32)),
    status: 413,
    answer: tooLarge,
  },
  {
    title: 'refuses an encoding it does not know',
    path: '/json',
    type: json,
    encoding: 'br',
    body: '{}',
    status: 415,
    answer: { error: 'bad_content_type', reason: 'Content-Encoding must be gzip or identity' },
  },
  {
    title: 'refuses another content type',
    path: '/json',
    type: 'text/plain',
    body: '{}',
    status: 415,
    answer: notJsonType,
  },
  {
    title: 'refuses a body without content type',
    path: '/json',
    body: '{}',
    status: 415,
    answer: notJsonType,
  },
  {
    title: 'reads JSON of any content type where the handler says so',
    path: '/any',
    type: form,
    body: '{}',
    status: 200,
    answer: {},
  },
  {
    title: 'refuses a missing body',
    path: '/json',
    type: json,
    status: 400,
    answer: { error: 'bad_request', reason: 'Missing request body' },
  },
  {
    title: 'lets an optional body be missing',
    path: '/optional',
    type: 'text/plain',
    status: 200,
    answer: 'no body',
  },
  {
    title: 'does not let an optional body be of another type',
    path: '/optional',
    type: 'text/plain',
    body: '{}',
    status: 415,
    answer: notJsonType,
  },
  {
    title: 'refuses a body past the limit',
    path: '/json',
    type: json,
    body: `{"a":"${'x'.repeat(LIMIT)}"}`,
    status: 413,
    answer: tooLarge,
  },
  {
    title: 'refuses an array',
    path: '/json',
    type: json,
    body: '[]',
    status: 400,
    answer: { error: 'bad_request', reason: 'Request body must be a JSON object' },
  },
  {
    title: 'refuses null',
    path: '/json',
    type: json,
    body: 'null',
    status: 400,
    answer: { error: 'bad_request', reason: 'Request body must be a JSON object' },
  },
  ...[
    ['broken JSON', '{"a":'],
    ['trailing data', '{} {}'],
    ['a byte order mark', '\ufeff{}'],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ['a lone surrogate in a value', '{"a":"\\ud800"}'],
    ['a lone surrogate in a key', '{"\\uDFFF":1}'],
  ].map(([title, body]) => ({
    title: `refuses ${String(title)}`,
    path: '/json',
    type: json,
    body: body ?? '',
    status: 400,
    answer: bad,
  })),
  {
    title: 'reads a surrogate pair',
    path: '/json',
    type: json,
    body: '{"a":"\\ud83d\\ude00"}',
    status: 200,
    answer: { a: '😀' },
  },
  {
    title: 'reads a form with repeated fields',
    path: '/form',
    type: form,
    body: 'a=1&a=%C3%BC+x&b&=c',
    status: 200,
    answer: [
      ['a', '1'],
      ['a', 'ü x'],
      ['b', ''],
      ['', 'c'],
    ],
  },
  {
    title: 'refuses a form of another type',
    path: '/form',
    type: json,
    body: '{}',
    status: 415,
    answer: { error: 'bad_content_type', reason: 'Content-Type must be application/x-www-form-urlencoded' },
  },
  {
    title: 'refuses a bad escape in a form',
    path: '/form',
    type: form,
    body: 'a=%zz',
    status: 400,
    answer: badForm,
  },
  {
    title: 'refuses a form that is not UTF-8',
    path: '/form',
    type: form,
    body: 'a=%ff',
    status: 400,
    answer: badForm,
  },
];

describe('request bodies that Couchgate reads itself', () => {
  let server: Server;
  let port: number;
  let lastFailure: HttpError | undefined;

  before(async () => {
    server = createServer((req, res) => {
      const read = readers[req.url ?? ''];
      assert.ok(read, 'read is missing');
      attachContext(req);
      read(req, res).then(
        (value) => sendJson(res, 200, value),
        (error: unknown) => sendError(req, res, (lastFailure = asHttpError(error))),
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  after(() => {
    server.close();
    server.closeAllConnections();
  });

  for (const row of ROWS) {
    it(`${row.title} – POST ${row.path} – ${row.status}`, async () => {
      const headers = new Headers();
      if (row.type !== undefined) headers.set('content-type', row.type);
      if (row.encoding !== undefined) headers.set('content-encoding', row.encoding);
      const body = row.body === undefined ? null : Buffer.from(row.body);
      const answer = await fetch(`http://127.0.0.1:${port}${row.path}`, { method: 'POST', headers, body });
      assert.deepEqual([answer.status, await answer.json()], [row.status, row.answer]);
    });
  }

  it('refuses a chunked body past the limit without waiting for its end – POST /json – 413 and Connection: close', async () => {
    const socket = connect(port, '127.0.0.1');
    socket.write(
      `POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: ${json}\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n${'x'.repeat(128)}\r\n`,
    );
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
    await once(socket, 'close');
    assert.match(answer, /^HTTP\/1\.1 413 [\s\S]*Connection: close/);
  });

  it('fails a body whose sender hangs up', async () => {
    lastFailure = undefined;
    const socket = connect(port, '127.0.0.1');
    socket.write(`POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: ${json}\r\nContent-Length: 50\r\n\r\n{`);
    await once(server, 'request');
    socket.destroy();
    while ((lastFailure as HttpError | undefined) === undefined) await new Promise(setImmediate);
    assert.equal((lastFailure as unknown as HttpError).reason, 'Request body is incomplete');
  });

  it('reads every form that URLSearchParams writes', () => {
    const field = fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }));
    fc.assert(
      fc.property(fc.array(field), (fields) => {
        assert.deepEqual([...parseForm(Buffer.from(new URLSearchParams(fields).toString()))], fields);
      }),
    );
  });
});
