// The chunks of an answer are joined, so that an answer of many small chunks is a few writes.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, before, describe, it, mock } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head } from '../support/raw-client.ts';
import { startUpstream } from '../support/scripted-upstream.ts';
import { closedAfterSuite } from '../support/started.ts';

const ROWS = ['{"rows":[', '1,', '2,', '3', ']}'];

describe('an answer of many chunks', () => {
  const started = closedAfterSuite();
  let front: ForwardingFront;
  let goOn: () => void = () => undefined;
  before(async () => {
    const upstream = await started(
      startUpstream((req, res) => {
        res.writeHead(200, { 'Content-Type': 'application/json' });
        void (async () => {
          for (const row of ROWS) {
            await new Promise((written) => res.write(row, written));
            await nextTurn();
          }
          if (req.url?.includes('open') === true) await new Promise<void>((resolve) => (goOn = resolve));
          res.end();
        })();
      }),
    );
    front = await started(startForwarding({ upstreams: [upstream], judge: () => ({}) }));
  });
  afterEach(() => mock.timers.reset());

  it('is sent as one chunk when it ends', async () => {
    const client = await connectRaw(front.port);
    const ended = once(client.socket, 'close');
    // The delay never ends.
    mock.timers.enable({ apis: ['setTimeout'] });
    client.send(head('GET /db/rows HTTP/1.1', 'Host: x', 'Connection: close'));
    await ended;
    assert.deepEqual(chunksOf(client.received), [ROWS.join('')]);
  });

  it('is sent as it is after the delay, before it ends', async () => {
    const client = await connectRaw(front.port);
    client.send(head('GET /db/rows?open HTTP/1.1', 'Host: x', 'Connection: close'));
    await client.sees(']}');
    assert.equal(chunksOf(client.received).join(''), ROWS.join(''));
    goOn();
    await client.end();
  });
});

/** The chunks of a chunked answer (RFC 9112 section 7.1), without the last one. */
function chunksOf(answer: string): readonly string[] {
  const lines = answer.slice(answer.indexOf('\r\n\r\n') + 4).split('\r\n');
  return lines.filter((line, at) => at % 2 === 1 && line !== '');
}
