// Fault M7: undici fails an assertion, which ends the process, if the node closes a connection while the reader of its last answer waits.
import assert from 'node:assert/strict';
import { type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { type AttemptEvents, type NodeAnswer } from '../../src/forward/carrier.ts';
import { KeptAttempt } from '../../src/forward/kept-attempt.ts';
import { KeptConnections } from '../../src/forward/kept-connections.ts';
import { type CouchNode } from '../../src/forward/node.ts';
import { type OutgoingRequest } from '../../src/forward/outgoing-request.ts';
import { type ScriptedUpstream, startRawUpstream } from '../support/scripted-upstream.ts';

const LIMITS = {
  connectTimeoutMs: 5000,
  idleTimeoutMs: 60_000,
  keepAliveMs: 60_000,
  maxIdle: 4,
  ca: undefined,
};
/** Sizes around those of the chunks in which a socket is read. */
const SIZES = [1, 65_536, 400_000] as const;

type Framing = 'length' | 'chunks' | 'close';
type End = 'closes' | 'resets' | 'closes early' | 'sends more and closes';

const HEADS: readonly (readonly [name: string, framing: Framing, line: string, lines: string])[] = [
  ['a length', 'length', 'HTTP/1.1 200 OK', ''],
  ['a length and Connection: close', 'length', 'HTTP/1.1 200 OK', 'Connection: close\r\n'],
  ['a length and Proxy-Connection: close', 'length', 'HTTP/1.1 200 OK', 'Proxy-Connection: close\r\n'],
  [
    'a length and two Connection lines',
    'length',
    'HTTP/1.1 200 OK',
    'Connection: keep-alive\r\nConnection: close\r\n',
  ],
  ['a length in HTTP/1.0', 'length', 'HTTP/1.0 200 OK', ''],
  ['a length and an upgrade', 'length', 'HTTP/1.1 200 OK', 'Connection: upgrade, close\r\nUpgrade: h2c\r\n'],
  ['chunks and Connection: close', 'chunks', 'HTTP/1.1 200 OK', 'Connection: close\r\n'],
  [
    'chunks, trailers and Connection: close',
    'chunks',
    'HTTP/1.1 200 OK',
    'Connection: close\r\nTrailer: X-A\r\n',
  ],
  ['no length', 'close', 'HTTP/1.1 200 OK', ''],
  ['a coding other than chunks', 'close', 'HTTP/1.1 200 OK', 'Transfer-Encoding: identity\r\n'],
  [
    'an answer before it',
    'length',
    'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK',
    'Connection: close\r\n',
  ],
];
const ENDS: readonly End[] = ['closes', 'resets', 'closes early', 'sends more and closes'];

function answerOf(framing: Framing, line: string, lines: string, size: number): Buffer {
  const body = Buffer.alloc(size, 'x');
  const length = framing === 'length' ? `Content-Length: ${size}\r\n` : '';
  const coding = framing === 'chunks' ? 'Transfer-Encoding: chunked\r\n' : '';
  const head = Buffer.from(`${line}\r\nContent-Type: application/json\r\n${lines}${length}${coding}\r\n`);
  if (framing !== 'chunks') return Buffer.concat([head, body]);
  const trailers = lines.includes('Trailer') ? 'X-A: b\r\n' : '';
  return Buffer.concat([
    head,
    Buffer.from(`${size.toString(16)}\r\n`),
    body,
    Buffer.from(`\r\n0\r\n${trailers}\r\n`),
  ]);
}

function send(socket: Socket, answer: Buffer, end: End): void {
  if (end === 'closes early') socket.end(answer.subarray(0, -1));
  else if (end === 'sends more and closes')
    socket.end(Buffer.concat([answer, Buffer.from('HTTP/1.1 200 OK\r\n\r\n')]));
  else if (end === 'closes') socket.end(answer);
  else socket.write(answer);
}

interface Result {
  readonly bytes: number;
  readonly end: 'complete' | 'broken off' | 'failed';
}

const REQUEST = {
  method: 'GET',
  url: '/db/doc',
  body: { kind: 'none' },
  caller: 'key',
  headersFor: () => ({}),
  hostFor: () => 'node',
} as unknown as OutgoingRequest;

/** The result of one request whose reader pauses at each chunk; `paused` is called then. */
function read(node: CouchNode, paused: (answer: NodeAnswer) => void): Promise<Result> {
  return new Promise((resolve) => {
    let bytes = 0;
    const events: AttemptEvents = {
      answered(answer) {
        // The node closes it, so the next request would be lost on it.
        answer.closeAfter();
        answer.receive({
          chunk(chunk) {
            bytes += chunk.length;
            answer.pause();
            paused(answer);
          },
          ended: () => resolve({ bytes, end: 'complete' }),
          brokeOff: () => resolve({ bytes, end: 'broken off' }),
        });
      },
      attemptFailed: () => resolve({ bytes, end: 'failed' }),
    };
    new KeptAttempt(REQUEST, node, 'short', events).send();
  });
}

/** Calls `then` after so many turns of the event loop. */
function later(turns: number, then: () => void): void {
  if (turns === 0) then();
  else setImmediate(later, turns - 1, then);
}

describe('M7: a node that closes its connection while an answer waits for its reader', () => {
  let upstream: ScriptedUpstream;
  let kept: KeptConnections;
  let serve: (socket: Socket) => void = () => undefined;
  let node: CouchNode;
  before(async () => {
    upstream = await startRawUpstream((socket) => socket.once('data', () => serve(socket)));
    kept = new KeptConnections(upstream.url, LIMITS);
    node = { kept, limiter: () => ({ release: () => undefined }) } as unknown as CouchNode;
  });
  after(async () => {
    kept.destroy();
    await upstream.close();
  });

  for (const [name, framing, line, lines] of HEADS) {
    for (const end of ENDS) {
      it(`ends the answer, and not the process – ${name} – the node ${end}`, async () => {
        for (const size of SIZES) {
          let connection: Socket | undefined;
          serve = (socket) => {
            connection = socket;
            send(socket, answerOf(framing, line, lines, size), end);
          };
          for (const turns of [1, 20]) {
            const { bytes, end: seen } = await read(node, (answer) =>
              later(turns, () => {
                if (end === 'resets') connection?.resetAndDestroy();
                later(turns, () => answer.resume());
              }),
            );
            if (end === 'closes') assert.deepEqual([bytes, seen], [size, 'complete']);
            if (end === 'resets' && size === 1) assert.equal(seen, 'broken off');
            if (end === 'closes early' && framing !== 'close') assert.notEqual(seen, 'complete');
          }
        }
      });
    }
  }
});
