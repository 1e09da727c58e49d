// H15: chunks of one byte. Node makes a Buffer of several hundred bytes for each; the byte is all that a budget counts.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerOptions } from 'node:http';
import { type AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import express from 'express';
import { JsonMeter } from '../../src/body/json-meter.ts';
import { receive } from '../../src/body/read.ts';
import { JoinedPieces } from '../../src/limits/joined-pieces.ts';
import { messageClasses } from '../../src/listen/messages.ts';
import { attachContext } from '../support/bodies.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { until } from '../support/until.ts';

const CHUNKS = 20_000;
const HEAD = head('POST / HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked');

const open: (() => unknown)[] = [];
afterEach(() => open.splice(0).forEach((close) => close()));

/** Begins a chunked request to a server with these options. */
async function begin(options: ServerOptions): Promise<{ client: RawClient; req: IncomingMessage }> {
  const server = createServer(options).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = await connectRaw((server.address() as AddressInfo).port);
  open.push(() => client.socket.destroy().once('close', () => server.close()));
  client.send(HEAD);
  const [req] = (await once(server, 'request')) as [IncomingMessage];
  return { client, req };
}

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

describe('H15 a body in small chunks', () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;

  it('is kept in few objects while it is read into memory', async () => {
    const { client, req } = await begin({});
    attachContext(req);
    const chunks: WeakRef<Buffer>[] = [];
    req.on('data', (piece: Buffer) => chunks.push(new WeakRef(piece)));
    const body = receive(req, 1e6);
    client.send(chunk('x').repeat(CHUNKS));
    await until(() => chunks.length === CHUNKS);
    collectGarbage();
    const kept = chunks.filter((each) => each.deref() !== undefined);
    assert.ok(kept.length <= 10, `${kept.length} objects of ${CHUNKS} chunks`);
    client.send(chunk(''));
    assert.equal((await body).toString(), 'x'.repeat(CHUNKS));
  });

  it('is kept in few objects while a text of it is measured – the bookmark of a _find', () => {
    const held = (): number => {
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const most = { values: 10, perDocument: 0, members: 10, stringBytes: 65_536 };
    const meter = new JsonMeter({ ...most, mayHoldTerms: true });
    meter.add(Buffer.from('{"bookmark":"'));
    const before = held();
    for (let at = 0; at < CHUNKS; at += 1) assert.equal(meter.add(Buffer.from('g')), undefined);
    const each = (held() - before) / CHUNKS;
    assert.ok(each < 20, `${each} bytes of memory for each`);
    assert.equal(meter.add(Buffer.from('"}')), undefined);
  });

  for (const size of [1, 1000, 4095, 5000])
    it(`arrives as few pieces, whoever reads it – chunks of ${size} bytes and of 1 by turns`, async () => {
      const { client, req } = await begin(messageClasses(express()));
      const text = Array.from({ length: CHUNKS / 10 }, (_, at) => String.fromCharCode(97 + (at % 26)));
      const texts = text.flatMap((letter) => [letter.repeat(size), letter]);
      client.send(texts.map(chunk).join('') + chunk(''));
      const pieces: string[] = [];
      // Some of it waits in the stream, and the reader pauses, as CouchDB does.
      await until(() => req.readableLength > 0);
      req.on('data', (piece: Buffer) => {
        pieces.push(piece.toString());
        req.pause();
        setImmediate(() => req.resume());
      });
      await once(req, 'end');
      assert.equal(pieces.join(''), texts.join(''));
      const few = size < 4096 ? texts.length / 10 : Infinity;
      assert.ok(pieces.length <= few, `${pieces.length} pieces of ${texts.length} chunks`);
    });
});

describe('joined pieces', () => {
  it('have the bytes of all pieces, in their order', () => {
    for (const sizes of [[], [3], [1, 1], [9000, 1, 9000, 1, 1], [1, 4095, 4096, 4095, 4095, 70_000, 2]]) {
      const pieces = sizes.map((size, at) => Buffer.alloc(size, 65 + at));
      const joined = new JoinedPieces();
      for (const piece of pieces) joined.add(piece);
      assert.equal(joined.size, Buffer.concat(pieces).length);
      assert.equal(joined.join().toString(), Buffer.concat(pieces).toString());
    }
  });
});
