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

  async function ask(method: string, version = '1.1'): Promise<string> {
    const client = await connectRaw(front.port);
    const ended = once(client.socket, 'close');
    client.send(head(`${method} /db/rows HTTP/${version}`, 'Host: x', 'Connection: close'));
    await ended;
    return client.received;
  }

  it('is sent with its length if it ends before the delay', async () => {
    // The delay never ends.
    mock.timers.enable({ apis: ['setTimeout'] });
    const answer = await ask('GET');
    const body = ROWS.join('');
    assert.equal(answer.slice(answer.indexOf('\r\n\r\n') + 4), body);
    assert.deepEqual(framingOf(answer), [`Content-Length: ${body.length}`]);
  });

  it('has no length for HEAD, which has no body', async () => {
    assert.deepEqual(framingOf(await ask('HEAD')), []);
  });

  it('ends with the connection for HTTP/1.0', async () => {
    const answer = await ask('GET', '1.0');
    assert.deepEqual(framingOf(answer), []);
    assert.equal(answer.endsWith(`\r\n\r\n${ROWS.join('')}`), true);
  });

  it('is sent as it is after the delay, before it ends', async () => {
    const client = await connectRaw(front.port);
    client.send(head('GET /db/rows?open HTTP/1.1', 'Host: x', 'Connection: close'));
    await client.sees(']}');
    assert.equal(chunksOf(client.received).join(''), ROWS.join(''));
    const ended = once(client.socket, 'close');
    goOn();
    await ended;
    assert.deepEqual(framingOf(client.received), ['Transfer-Encoding: chunked']);
    assert.deepEqual(otherFieldsOf(client.received), otherFieldsOf(await ask('GET')));
  });
});

/** The chunks of a chunked answer (RFC 9112 section 7.1), without the last one. */
function chunksOf(answer: string): readonly string[] {
  const lines = answer.slice(answer.indexOf('\r\n\r\n') + 4).split('\r\n');
  return lines.filter((line, at) => at % 2 === 1 && line !== '');
}

const fieldsOf = (answer: string): readonly string[] =>
  answer.slice(0, answer.indexOf('\r\n\r\n')).split('\r\n').slice(1);
const FRAMING = /^(content-length|transfer-encoding):/i;

function framingOf(answer: string): readonly string[] {
  return fieldsOf(answer).filter((field) => FRAMING.test(field));
}

/** Without what differs between any two answers. */
function otherFieldsOf(answer: string): readonly string[] {
  return fieldsOf(answer).filter(
    (field) => !FRAMING.test(field) && !/^(date|x-couch-request-id):/i.test(field),
  );
}
