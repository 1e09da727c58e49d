// A node is not blamed for the time in which this process itself was blocked: its timers fire before it has
// read what the node has sent.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createCouch } from '../../src/couch/client.ts';
import { createTransfer } from '../../src/couch/transfer.ts';
import { createAgent, type ConnectionLimits } from '../../src/forward/agents.ts';
import { KeptConnections } from '../../src/forward/kept-connections.ts';
import { Nodes } from '../../src/forward/nodes.ts';

/** Shorter than the block, and longer than a node on this machine takes. */
const TIMEOUT_MS = 300;
const BLOCK_MS = 700;

/** Answers at once, or after a short while for `/later`, from a thread of its own. Its feeds send heartbeats. */
const NODE = `
  const { parentPort } = require('node:worker_threads');
  const server = require('node:http').createServer((req, res) => {
    if (req.url.includes('feed=continuous')) {
      const heartbeats = setInterval(() => res.write('\\n'), 50);
      res.on('close', () => clearInterval(heartbeats));
      return;
    }
    setTimeout(() => {
      res.setHeader('content-type', 'application/json');
      res.end(req.url.includes('/_changes') ? '{"results":[],"last_seq":"1-a"}' : '{"status":"ok"}');
    }, req.url === '/later' ? 100 : 0);
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`;

const limits: ConnectionLimits = {
  ...{
    connectTimeoutMs: TIMEOUT_MS,
    idleTimeoutMs: TIMEOUT_MS,
    keepAliveMs: 10_000,
    maxIdle: 4,
    ca: undefined,
  },
};

function block(milliseconds = BLOCK_MS): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/**
 * The event loop goes on for a moment, so that a request is sent. Timers are what comes first after an
 * immediate.
 */
function blockSoon(): void {
  setTimeout(() => setImmediate(block), 50);
}

describe('a node whose answers came while this process was blocked', () => {
  let worker: Worker;
  let url = '';
  before(async () => {
    worker = new Worker(NODE, { eval: true });
    const port = await new Promise((resolve) => worker.once('message', resolve));
    url = `http://127.0.0.1:${String(port)}`;
  });
  after(() => worker.terminate());

  it('is up: its probe was not even sent – GET /_up', async () => {
    const states: string[] = [];
    const nodes = new Nodes({
      urls: [url.replace('127.0.0.1', 'localhost')],
      ...{ intervalMs: 60_000, check: () => Promise.resolve(), probeTimeoutMs: TIMEOUT_MS },
      limits: { ...limits, connections: 1, queue: 1, feeds: 1, share: 1 },
      onState: (_, state, reason) => void states.push(`${state}: ${reason}`),
    });
    const started = nodes.start();
    block();
    await started;
    nodes.stop();
    assert.deepEqual(states, ['up: GET /_up answers 200']);
  });

  it('gives its answer to a request of Couchgate', async () => {
    const failed: string[] = [];
    const couch = createCouch({
      pickNode: (tried) => (tried.has(url) ? undefined : { url }),
      authorization: () => 'Bearer x',
      nodeFailed: (_, reason) => void failed.push(reason),
      ...{ connectTimeoutMs: TIMEOUT_MS, requestTimeoutMs: TIMEOUT_MS },
    });
    blockSoon();
    const { status } = await couch.ask({ method: 'POST', path: '/later', body: {} });
    await couch.close();
    assert.deepEqual([status, failed], [200, []]);
  });

  it('gives its answer to a transfer, whose connection was not even made', async () => {
    const failed: string[] = [];
    const couch = createTransfer({
      pickNode: (tried) => (tried.has(url) ? undefined : { url }),
      authorization: () => undefined,
      nodeFailed: (_, reason) => void failed.push(reason),
      ...{ connectTimeoutMs: TIMEOUT_MS, patienceMs: 0 },
    });
    const asked = couch.ask({ method: 'GET', path: '/' }).then(({ status }) => status, String);
    // The connection is begun in the ticks of this turn, and is made when the event loop goes on.
    process.nextTick(() => process.nextTick(block));
    const status = await asked;
    await couch.close();
    assert.deepEqual([status, failed], [200, []]);
  });

  it('gives its answer to a client, on a kept connection', async () => {
    const kept = new KeptConnections(url, limits);
    const { client } = kept.take();
    blockSoon();
    const { statusCode, body } = await client.request({ path: '/later', method: 'GET' });
    assert.deepEqual([statusCode, await body.json()], [200, { status: 'ok' }]);
    kept.destroy();
  });

  it('gives its answer to a client, on another connection', async () => {
    const agent = createAgent('http:', false, limits);
    blockSoon();
    const status = await new Promise((resolve, reject) => {
      http
        .get(`${url}/later`, { agent }, (answer) => resolve(answer.resume().statusCode))
        .once('error', reject);
    });
    assert.equal(status, 200);
    agent.destroy();
  });

  // A change that the node sent during a block of over two seconds can be a revocation: no request may be
  // decided without it (H17). The data in the socket is read in the first turn after the block.
  for (const [blockMs, whileBlocked] of [
    [BLOCK_MS, []],
    [2200, ['down', 'up']],
  ] as const) {
    it(`keeps its feed: ${String(blockMs)} ms`, async () => {
      const seen: string[] = [];
      const couch = createCouch({
        pickNode: () => ({ url }),
        authorization: () => 'Bearer x',
        nodeFailed: (_, reason) => void seen.push(`failed: ${reason}`),
        feedFailed: (_, reason) => void seen.push(`feed failed: ${reason}`),
        ...{ connectTimeoutMs: 5000, requestTimeoutMs: 5000, feedSilenceMs: TIMEOUT_MS },
      });
      try {
        await new Promise<void>((isUp) => {
          couch.follow('store', {
            change: () => undefined,
            state(up) {
              seen.push(up ? 'up' : 'down');
              if (up) isUp();
            },
          });
        });
        await afterTurns(1);
        block(blockMs);
        // The timers, what was in the sockets, and what was waiting for it.
        await afterTurns(3);
        assert.deepEqual(seen, ['up', ...whileBlocked]);
      } finally {
        await couch.close();
      }
    });
  }
});

/** Turns of the event loop, seen from the end of one. */
async function afterTurns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
