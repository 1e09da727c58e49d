// Fault M3 of http-proxy 1.18.1: a client that hangs up in the middle of an answer leaves the request to CouchDB open for good.
import assert from 'node:assert/strict';
import { type ServerResponse } from 'node:http';
import { before, describe, it } from 'node:test';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';

describe('M3: a client that leaves', () => {
  let upstream: ScriptedUpstream;
  let front: ForwardingFront;
  const answering = new Set<ServerResponse>();
  const started = closedAfterSuite();
  before(async () => {
    upstream = await started(
      startUpstream((req, res) => {
        answering.add(res);
        res.on('close', () => answering.delete(res));
        if (req.url?.startsWith('/db/_changes') === true) {
          res.writeHead(200, { 'Content-Type': 'application/json' });
          res.write('{"seq":1}\n');
        } else if (req.url === '/db/large') {
          res.writeHead(200, { 'Content-Type': 'application/octet-stream' });
          const more = (): void => {
            while (!res.destroyed && res.write(Buffer.alloc(65_536)));
            if (!res.destroyed) res.once('drain', more);
          };
          more();
        } else req.resume();
      }),
    );
    front = await started(
      startForwarding({
        upstreams: [upstream],
        judge: (req) => (req.url?.includes('_changes') === true ? { transport: 'feed' } : {}),
      }),
    );
  });

  const idle = (): boolean =>
    answering.size === 0 && front.nodes.report().every(({ running, feeds }) => running + feeds === 0);

  const cases: readonly (readonly [string, string, string | undefined])[] = [
    [
      'in the middle of a continuous feed',
      head('GET /db/_changes?feed=continuous HTTP/1.1', 'Host: x'),
      '"seq":1',
    ],
    ['in the middle of a large answer', head('GET /db/large HTTP/1.1', 'Host: x'), 'HTTP/1.1 200'],
    ['before the answer', head('GET /db/slow HTTP/1.1', 'Host: x'), undefined],
    [
      'in the middle of its own body',
      `${head('PUT /db/doc HTTP/1.1', 'Host: x', 'Content-Type: application/json', 'Content-Length: 100')}{`,
      undefined,
    ],
  ];
  for (const [when, bytes, sees] of cases) {
    it(`ends the request to CouchDB at once – ${when}`, async () => {
      const client = await connectRaw(front.port);
      client.send(bytes);
      if (sees === undefined) await until(() => answering.size === 1);
      else await client.sees(sees);
      assert.equal(answering.size, 1);
      client.socket.destroy();
      await until(idle, 'CouchDB sees the client leave, and its slot is free');
      assert.equal(front.contexts.at(-1)?.outcome.cutShort, 'client left');
      assert.equal(front.watched.size, 0);
    });
  }
});
