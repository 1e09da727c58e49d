// Fault M1 of http-proxy 1.18.1: a chunked DELETE or OPTIONS is announced as empty while its chunks are sent, and pass for a second request.
import assert from 'node:assert/strict';
import { before, beforeEach, describe, it } from 'node:test';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { head } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { closedAfterSuite } from '../support/started.ts';

const HIDDEN = head('DELETE /victim HTTP/1.1', 'Host: x', 'X-Hidden: 1');

describe('M1: a request hidden in the chunks of another', () => {
  let upstream: ScriptedUpstream;
  let front: ForwardingFront;
  let ran: { readonly line: string; readonly body: string }[] = [];
  const started = closedAfterSuite();
  before(async () => {
    upstream = await started(
      startUpstream((req, res) => {
        let body = '';
        req.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
        req.on('end', () => {
          ran.push({ line: `${req.method ?? ''} ${req.url ?? ''}`, body });
          res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}\n');
        });
      }),
    );
    front = await started(startForwarding({ upstreams: [upstream] }));
  });
  beforeEach(() => (ran = []));

  const chunked = (method: string, ...lines: readonly string[]): string =>
    head(`${method} /db/doc HTTP/1.1`, 'Host: x', 'Transfer-Encoding: chunked', ...lines) +
    `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`;

  for (const method of ['DELETE', 'OPTIONS', 'GET', 'POST', 'PUT', 'COPY']) {
    for (const connection of ['close', 'keep-alive, upgrade']) {
      it(`stays a body – ${method}, Connection: ${connection}`, async () => {
        const bytes = chunked(method, 'Content-Type: application/json', `Connection: ${connection}`);
        const after = head('GET /after HTTP/1.1', 'Host: x', 'Connection: close');
        await exchangeBytes(front.url, connection === 'close' ? bytes : bytes + after);
        assert.deepEqual(
          ran.filter(({ line }) => line.includes('victim')),
          [],
        );
        assert.deepEqual(ran[0], { line: `${method} /db/doc`, body: HIDDEN });
      });
    }
  }
});
