import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerBody, type AnsweredExchange, type BodyServices } from '../../src/forward/answer-body.ts';
import { type NodeAnswer } from '../../src/forward/carrier.ts';

const ENDS: readonly (readonly [string, (body: AnswerBody) => void])[] = [
  ['the delay ends', (body) => body.flushBatch()],
  ['more comes', (body) => body.chunk(Buffer.alloc(100_000))],
  ['the answer ends', (body) => body.ended()],
  ['the answer breaks off', (body) => body.brokeOff()],
];

/** The body of an answer to a client, and what is sent of it. */
function start(headersSent: boolean) {
  const sent: string[] = [];
  const res = {
    headersSent,
    socket: null,
    req: { httpVersionMinor: 1 },
    writeHead: () => void sent.push('head'),
    write: () => sent.push('chunk'),
    end: () => void sent.push('end'),
  };
  const exchange = { queue: 'short', res, isOver: false, truncated: () => undefined };
  const body = new AnswerBody(
    {} as BodyServices,
    {} as NodeAnswer,
    exchange as unknown as AnsweredExchange,
    NaN,
  );
  return { body, exchange, sent };
}

for (const [name, happens] of ENDS) {
  test(`nothing of an answer is sent after its exchange was ended, by a revocation – ${name}`, () => {
    const { body, exchange, sent } = start(false);
    body.chunk(Buffer.from('{"rows":['));
    exchange.isOver = true;
    happens(body);
    body.discardBatch();
    assert.deepEqual(sent, []);
  });
}

test('an answer in chunks of one byte keeps 256 of them at most (H15)', () => {
  const { body, sent } = start(true);
  for (let count = 0; count < 1000; count += 1) body.chunk(Buffer.from('x'));
  body.discardBatch();
  assert.equal(sent.length, 3);
});
