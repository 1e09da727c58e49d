// Fault M4 of http-proxy 1.18.1: when CouchDB dies in the middle of an answer, the client waits for the rest for ever, without an error.
import assert from 'node:assert/strict';
import http from 'node:http';
import { before, describe, it } from 'node:test';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';

// Without its guard the client would wait for ever.
describe('M4: CouchDB dies in the middle of an answer', () => {
  let upstream: ScriptedUpstream;
  let front: ForwardingFront;
  const started = closedAfterSuite();
  before(async () => {
    upstream = await started(
      startUpstream((req, res) => {
        const length = req.url?.includes('length') === true ? { 'Content-Length': '1000' } : {};
        res.writeHead(200, { 'Content-Type': 'application/json', ...length });
        res.write('{"rows":[', () => {
          if (req.url?.includes('reset') === true) req.socket.resetAndDestroy();
          else req.socket.end();
        });
      }),
    );
    front = await started(
      startForwarding({
        upstreams: [upstream],
        judge: (req) => (req.url?.includes('feed') === true ? { transport: 'feed' } : {}),
      }),
    );
  });

  for (const path of [
    '/db/chunked',
    '/db/length',
    '/db/chunked-reset',
    '/db/length-reset',
    '/db/_changes?feed=continuous',
  ]) {
    it(`breaks the client’s answer, so that it cannot be taken for whole – GET ${path}`, async () => {
      const failure = await new Promise<string>((resolve) => {
        const request = http.get(front.url + path, (answer) => {
          answer.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
          answer.on('end', () => resolve('a whole answer'));
          answer.resume();
        });
        request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      });
      assert.equal(failure, 'ECONNRESET');
      assert.equal(front.contexts.at(-1)?.outcome.cutShort, 'upstream truncated');
      await until(() => front.nodes.report()[0]?.running === 0);
    });
  }

  it('breaks it visibly also where its end would be the end of the connection – HTTP/1.0', async () => {
    const client = await connectRaw(front.port);
    let reset = false;
    client.socket.on('error', (error: NodeJS.ErrnoException) => (reset = error.code === 'ECONNRESET'));
    client.send(head('GET /db/chunked HTTP/1.0', 'Host: x'));
    await client.end();
    assert.ok(reset, 'a plain end would pass for the end of the answer');
  });
});
