// H15: four keys that read slowly, but not too slowly, held all places for answers that CouchDB keeps in memory.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { type Socket } from 'node:net';
import { afterEach, describe, it, mock } from 'node:test';
import { AnswerBody, type AnsweredExchange, type BodyServices } from '../../src/forward/answer-body.ts';
import { type NodeAnswer } from '../../src/forward/carrier.ts';
import { CouchNode } from '../../src/forward/node.ts';
import { ReadingWatch } from '../../src/forward/reading-watch.ts';
import { type Acquired, type Waiter } from '../../src/limits/concurrency-limiter.ts';
import { until } from '../support/until.ts';

const CALLERS = ['a', 'b', 'c', 'd'];
const SHARE = 4;
const UNREAD_MS = 50;
const limits = { connectTimeoutMs: 1, idleTimeoutMs: 1, keepAliveMs: 1, maxIdle: 1, ca: undefined, share: 1 };

const nodes: CouchNode[] = [];
afterEach(() => {
  for (const node of nodes.splice(0)) node.destroy();
});

/** A node whose places the callers hold, each with one request that waits behind them; then `others` wait. */
function crowdedNode(others: readonly string[]): { node: CouchNode; granted: string[] } {
  const node = new CouchNode('http://127.0.0.1:1', { ...limits, connections: 64, queue: 64, feeds: 64 });
  nodes.push(node);
  const granted: string[] = [];
  const acquire = (caller: string): Acquired => {
    const waiter: Waiter = { caller, granted: () => granted.push(caller), displaced: () => undefined };
    return node.limiter('whole').acquire(waiter);
  };
  for (const caller of CALLERS) for (let n = 0; n < SHARE; n += 1) assert.equal(acquire(caller), 'granted');
  for (const caller of [...CALLERS, ...others]) assert.equal(acquire(caller), 'queued');
  return { node, granted };
}

/** Sends an answer of `a` whose client reads `bytes` at a time, until the test ends. Returns why it ended. */
function answer(node: CouchNode, bytes: number): readonly string[] {
  const ended: string[] = [];
  const socket = Object.assign(new EventEmitter(), { timeout: 0, setTimeout: () => socket });
  const res = Object.assign(new EventEmitter(), {
    headersSent: true,
    req: { httpVersionMinor: 1 },
    socket,
    write: () => {
      setTimeout(() => res.emit('drain'), 5);
      return false;
    },
  });
  const exchange = {
    node,
    queue: 'whole',
    res,
    caller: 'a',
    isOver: false,
    end: (reason: string) => {
      ended.push(reason);
      exchange.isOver = true;
      node.limiter('whole').release('a');
    },
  };
  const next = (): void => {
    if (nodes.includes(node)) body.chunk(Buffer.alloc(bytes));
  };
  const body = new AnswerBody(
    { unreadMs: UNREAD_MS } as BodyServices,
    { pause: () => undefined, resume: next } as unknown as NodeAnswer,
    exchange as unknown as AnsweredExchange,
    NaN,
  );
  next();
  return ended;
}

describe('H15 an answer that CouchDB holds in memory, with a client that reads slowly', () => {
  it('ends when another caller waits, who gets the place before those that hold some', async () => {
    const crowded = crowdedNode(['other']);
    const alone = crowdedNode([]);
    const slowAlone = answer(alone.node, 10);
    const fast = answer(crowded.node, 1_000_000);
    const slow = answer(crowded.node, 10);
    await until(() => crowded.granted.length > 0);
    assert.deepEqual([slow, fast, slowAlone], [['client was slow'], [], []]);
    assert.equal(crowded.granted[0], 'other');
  });

  it('is measured once – two writes before the client reads, as of a short chunk and a long one', () => {
    const socket = Object.assign(new EventEmitter(), {
      timeout: 60_000,
      setTimeout: (timeout: number) => Object.assign(socket, { timeout }),
    });
    const write = mock.fn(() => false);
    const res = Object.assign(new EventEmitter(), {
      headersSent: true,
      req: { httpVersionMinor: 1 },
      socket,
      write,
    });
    const body = new AnswerBody(
      { unreadMs: UNREAD_MS } as BodyServices,
      { pause: () => undefined, resume: () => undefined } as unknown as NodeAnswer,
      { queue: 'whole', res } as unknown as AnsweredExchange,
      NaN,
    );
    for (let turn = 0; turn < 2; turn += 1) {
      for (const bytes of [8192, 57_344]) body.chunk(Buffer.alloc(bytes));
      assert.deepEqual([socket.listenerCount('timeout'), socket.timeout], [1, UNREAD_MS]);
      res.emit('drain');
      assert.deepEqual([socket.listenerCount('timeout'), socket.timeout], [0, 60_000]);
    }
    assert.equal(write.mock.callCount(), 4);
  });

  it('is measured no more when its client has left, and can be forgotten', () => {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      let measured = 0;
      const isWanted = (): boolean => (measured += 1) < 0;
      // The clock of the rate is real: it has to pass this time between two ticks. With 0, a tick has no end.
      const watch = new ReadingWatch({ unreadMs: 0.01, isWanted, end: () => undefined });
      const socket = Object.assign(new EventEmitter(), { timeout: 0, setTimeout: () => socket });
      watch.wait(socket as unknown as Socket);
      mock.timers.tick(10);
      const before = measured;
      socket.emit('close');
      mock.timers.tick(10);
      assert.ok(before > 0, 'it was measured while the client was there');
      assert.equal(measured, before);
    } finally {
      mock.timers.reset();
    }
  });
});
