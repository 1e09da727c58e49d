// Hazard H2: CouchDB stops reading a multipart body at its closing boundary and runs the bytes behind it as the next request on the connection.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { type Socket } from 'node:net';
import { startBackend, type Backend } from '../support/backend.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { type ForwardingFront, startForwarding } from '../support/forwarding.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { head } from '../support/raw-client.ts';
import { type ScriptedUpstream, startRawUpstream } from '../support/scripted-upstream.ts';
import { closedAfterSuite } from '../support/started.ts';

/** CouchDB reads the body in pieces of this size, and drops what is left of the piece that holds the closing boundary. */
const PIECE = 4096;

/** A multipart/related PUT with one attachment, and behind its closing boundary the beginning of another request. */
function smuggling(path: string, hidden: string, type = 'multipart/related; boundary="b"'): string {
  const doc = JSON.stringify({
    _attachments: { a: { follows: true, length: 1, content_type: 'text/plain' } },
  });
  const parts = `--b\r\nContent-Type: application/json\r\n\r\n${doc}\r\n--b\r\n\r\nx\r\n--b--`;
  const body = parts.padEnd(PIECE, ' ') + hidden;
  return (
    head(`PUT ${path} HTTP/1.1`, 'Host: x', `Content-Type: ${type}`, `Content-Length: ${body.length}`) + body
  );
}

const HIDDEN = 'DELETE /victim HTTP/1.1\r\nX-Swallow: ';

/** Reads requests as CouchDB does, and does so with every type: a body ends at its boundary, whatever its length says. */
function readLikeCouchdb(ran: string[]) {
  return (socket: Socket): void => {
    let rest = '';
    socket.on('data', (chunk: Buffer) => {
      rest += chunk.toString('latin1');
      for (;;) {
        const end = rest.indexOf('\r\n\r\n');
        if (end < 0) return;
        const lines = rest.slice(0, end);
        const boundary = rest.indexOf('--b--', end);
        const hasBody = /content-length: [1-9]/i.test(lines);
        if (hasBody && boundary < 0) return;
        const stop = hasBody ? Math.min(end + 4 + PIECE, rest.length) : end + 4;
        rest = rest.slice(stop);
        const line = lines.split('\r\n')[0] ?? '';
        if (!line.includes('/_up')) ran.push(line);
        const close = /connection: close/i.test(lines);
        socket.write(head('HTTP/1.1 200 OK', 'Content-Type: application/json', 'Content-Length: 0'));
        if (close) {
          socket.end();
          return;
        }
      }
    });
  };
}

describe('H2: a request hidden behind a multipart body', () => {
  let upstream: ScriptedUpstream;
  let front: ForwardingFront;
  const ran: string[] = [];
  const started = closedAfterSuite();
  before(async () => {
    upstream = await started(startRawUpstream(readLikeCouchdb(ran)));
    front = await started(startForwarding({ upstreams: [upstream], nodes: { connections: 1 }, health: {} }));
  });

  const TYPES: readonly string[] = [
    'multipart/related; boundary="b"',
    'Multipart/Related;boundary=b',
    'multipart/form-data; boundary=b',
    'application/x-www-form-urlencoded',
    'application/jsonx',
    'text/plain',
  ];
  it('is read by this upstream as by CouchDB, when the connection is used again', async () => {
    const bytes = smuggling('/db/doc', `${HIDDEN}\r\n\r\n`).replace(
      '\r\n\r\n',
      '\r\nConnection: keep-alive\r\n\r\n',
    );
    await exchangeBytes(upstream.url, bytes, {
      until: 'Content-Length: 0\r\n\r\nHTTP',
    });
    assert.deepEqual(ran.splice(0), ['PUT /db/doc HTTP/1.1', 'DELETE /victim HTTP/1.1']);
  });
  for (const type of TYPES) {
    it(`is never run, neither by itself nor by the next request – PUT /db/doc as ${type}`, async () => {
      await exchangeBytes(front.url, smuggling('/db/doc', HIDDEN, type), { until: '200 OK' });
      const last = head('GET /db/after HTTP/1.1', 'Host: x', 'Connection: close');
      await exchangeBytes(front.url, last);
      assert.deepEqual(ran.splice(0), ['PUT /db/doc HTTP/1.1', 'GET /db/after HTTP/1.1']);
    });
  }
});

describe('H2 on a real CouchDB', { skip: withoutCouchdb }, () => {
  let backend: Backend;
  let front: ForwardingFront;
  const started = closedAfterSuite();
  before(async () => {
    backend = await started(startBackend());
    front = await started(
      startForwarding({
        upstreams: backend.urls.map((url) => ({ url })),
        key: backend,
        nodes: { connections: 1 },
        judge: (req) => ({
          privilege: 'server_admin',
          ...(req.url?.includes('doc') === true ? { transport: 'pooled' } : {}),
        }),
      }),
    );
    for (const database of ['attacked', 'victim']) await fetch(`${front.url}/${database}`, { method: 'PUT' });
  });

  it('leaves the victim alone, however often the next request is the owner’s', async () => {
    for (let round = 0; round < 5; round += 1) {
      const bytes = smuggling(`/attacked/doc${round}`, HIDDEN);
      const answer = await exchangeBytes(front.url, bytes, { until: '\r\n\r\n{' });
      assert.match(answer, /^HTTP\/1\.1 201 /);
      const next = await fetch(`${front.url}/_all_dbs`);
      assert.equal(((await next.json()) as string[]).includes('victim'), true);
    }
    assert.equal((await fetch(`${front.url}/victim`)).status, 200);
  });
});
