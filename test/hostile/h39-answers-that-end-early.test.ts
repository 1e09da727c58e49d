// H39: CouchDB, or a proxy in front of it, closes the connection while Couchgate reads the answer slowly. In
// undici that is an assertion that nothing can catch; it ends the process.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createCouch } from '../../src/couch/client.ts';
import { createTransfer, InvalidAnswer, type CouchTransfer } from '../../src/couch/transfer.ts';
import { HttpError } from '../../src/http-errors.ts';
import { until } from '../support/until.ts';

/** A little more than undici buffers: it waits with the last part when the connection ends. */
const SIZE = 100_000;
const BODY = Buffer.alloc(SIZE, 'x');
const chunk = Buffer.concat([Buffer.from(`${SIZE.toString(16)}\r\n`), BODY, Buffer.from('\r\n')]);

async function turns(): Promise<void> {
  for (let count = 0; count < 20; count += 1) await turn();
}

type Answer = (socket: Socket) => void;

const head = (...lines: string[]): string => ['HTTP/1.1 200 OK', ...lines, '', ''].join('\r\n');

/** Writes the head and the body, and ends the connection at once. */
const ends =
  (text: string, ...parts: Buffer[]): Answer =>
  (socket) => {
    socket.write(text);
    for (const part of parts) socket.write(part);
    socket.end();
  };

const CLOSE = 'Connection: close';
const LENGTH = `Content-Length: ${SIZE}`;
const half = BODY.subarray(0, SIZE / 2);

type Expected = 'whole' | 'failure' | 'invalid';

const CASES: readonly (readonly [name: string, answer: Answer, expected: Expected])[] = [
  ['a length', ends(head(CLOSE, LENGTH), BODY), 'whole'],
  ['chunks', ends(head(CLOSE, 'Transfer-Encoding: chunked'), chunk, Buffer.from('0\r\n\r\n')), 'whole'],
  ['neither length nor chunks', ends(head(CLOSE), BODY), 'whole'],
  ['HTTP/1.0', ends(`HTTP/1.0 200 OK\r\n${LENGTH}\r\n\r\n`, BODY), 'whole'],
  ['keep-alive, and then closed', ends(head('Connection: keep-alive', LENGTH), BODY), 'whole'],
  ['an informational answer first', ends(`HTTP/1.1 103 Hints\r\n\r\n${head(CLOSE, LENGTH)}`, BODY), 'whole'],
  ['a body that ends early', ends(head(CLOSE, LENGTH), half), 'failure'],
  [
    'a chunk that ends early',
    ends(head(CLOSE, 'Transfer-Encoding: chunked'), chunk.subarray(0, 99)),
    'failure',
  ],
  [
    'a body that is reset',
    (socket) =>
      socket.write(Buffer.concat([Buffer.from(head(CLOSE, LENGTH)), half]), () => socket.resetAndDestroy()),
    'failure',
  ],
  ['no answer', (socket) => socket.end(), 'failure'],
  ['a reset', (socket) => socket.resetAndDestroy(), 'failure'],
  [
    'an upgrade',
    ends('HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n', BODY),
    'failure',
  ],
  ['no HTTP', ends('It is late.\r\n\r\n', BODY), 'invalid'],
  ['two lengths', ends(head(CLOSE, LENGTH, 'Content-Length: 1'), BODY), 'invalid'],
  ['a head without end', ends(head(CLOSE, `Content-Type: ${'x'.repeat(3 * SIZE)}`)), 'invalid'],
  ['a chunk without length', ends(head(CLOSE, 'Transfer-Encoding: chunked'), BODY), 'failure'],
];

describe('H39 answers that end while they are read', () => {
  const closers: (() => void)[] = [];
  after(() => closers.forEach((close) => close()));

  async function startNode(answer: Answer): Promise<{ readonly url: string; connections: number }> {
    const node = { url: '', connections: 0 };
    const server = createServer((socket) => {
      node.connections += 1;
      socket.on('error', () => undefined);
      socket.once('data', () => answer(socket));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => server.close());
    node.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return node;
  }

  function transferTo(url: string, patienceMs = 0): CouchTransfer {
    const couch = createTransfer({
      pickNode: (tried) => (tried.has(url) ? undefined : { url }),
      authorization: () => undefined,
      connectTimeoutMs: 1000,
      patienceMs,
    });
    closers.push(() => void couch.close());
    return couch;
  }

  /** Waits before it reads, and after each part, while the other side has long ended. */
  async function readSlowly(couch: CouchTransfer): Promise<number> {
    const { body } = await couch.read({ method: 'GET', path: '/db/doc/a' });
    let size = 0;
    await turns();
    for await (const part of body as AsyncIterable<Buffer>) {
      size += part.length;
      await turns();
    }
    return size;
  }

  for (const [name, answer, expected] of CASES)
    it(`reads or refuses ${name}`, async () => {
      const { url } = await startNode(answer);
      // A kept connection that was closed meanwhile costs an attempt.
      const couch = transferTo(url, expected === 'whole' ? 1000 : 0);
      const asked = async (): Promise<number> =>
        (await couch.ask({ method: 'GET', path: '/db' })).bytes.length;
      const isExpected = (error: Error): boolean =>
        expected === 'invalid'
          ? error instanceof InvalidAnswer
          : error instanceof HttpError || 'code' in error;
      for (const work of [() => readSlowly(couch), asked, asked])
        if (expected === 'whole') assert.equal(await work(), SIZE);
        else await assert.rejects(work, isExpected);
    });

  it('tries an answer that is not HTTP twice, however long its patience is', async () => {
    const node = await startNode(ends('It is late.\r\n\r\n'));
    const work = transferTo(node.url).read({ method: 'GET', path: '/db/doc/a', patienceMs: 3_600_000 });
    await assert.rejects(work, (error) => error instanceof InvalidAnswer);
    assert.equal(node.connections, 2);
  });

  it('follows a feed that is closed again and again', async () => {
    const rows =
      `${JSON.stringify({ seq: 1, id: 'a', changes: [], doc: { x: 'x'.repeat(200_000) } })}\n`.repeat(5);
    const node = await startNode((socket) => ends(head(CLOSE), Buffer.from(rows))(socket));
    const couch = createCouch({
      pickNode: () => ({ url: node.url }),
      authorization: () => '',
      nodeFailed: () => undefined,
      connectTimeoutMs: 1000,
    });
    closers.push(() => void couch.close());
    const feed = couch.follow('db', { change: () => undefined, state: () => undefined });
    await until(() => node.connections >= 3);
    feed.close();
  });
});
