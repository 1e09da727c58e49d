// Fault M2 of http-proxy 1.18.1: a request with Expect skips the event in which headers are commonly stripped and injected.
import assert from 'node:assert/strict';
import { type IncomingHttpHeaders } from 'node:http';
import { before, describe, it } from 'node:test';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head } from '../support/raw-client.ts';
import { claimsOf } from '../support/recorder.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { closedAfterSuite } from '../support/started.ts';

describe('M2: Expect: 100-continue', () => {
  let upstream: ScriptedUpstream;
  let front: ForwardingFront;
  const seen: { readonly headers: IncomingHttpHeaders; body: string }[] = [];
  const started = closedAfterSuite();
  before(async () => {
    upstream = await started(
      startUpstream((req, res) => {
        const request = { headers: req.headers, body: '' };
        seen.push(request);
        req.on('data', (chunk: Buffer) => (request.body += chunk.toString()));
        req.on('end', () => res.writeHead(201, { 'Content-Type': 'application/json' }).end('{"ok":true}\n'));
      }),
    );
    front = await started(startForwarding({ upstreams: [upstream] }));
  });

  it('is answered here, and takes no forged header past us – PUT /db/doc', async () => {
    const client = await connectRaw(front.port);
    client.send(
      head(
        'PUT /db/doc HTTP/1.1',
        'Host: x',
        'Expect: 100-continue',
        'X-Auth-CouchDB-UserName: admin',
        'X-Auth-CouchDB-Roles: _admin',
        'Authorization: Basic YWRtaW46YWRtaW4=',
        'Cookie: AuthSession=x',
        'Content-Type: application/json',
        'Content-Length: 2',
      ),
    );
    await client.sees('HTTP/1.1 100 Continue');
    client.send('{}');
    await client.sees('HTTP/1.1 201 Created');
    client.socket.destroy();
    const [got] = seen;
    assert.equal(got?.body, '{}');
    for (const name of ['expect', 'x-auth-couchdb-username', 'x-auth-couchdb-roles', 'cookie'])
      assert.equal(got.headers[name], undefined, name);
    assert.equal(claimsOf(got.headers.authorization)?.sub, 'testing');
  });
});
