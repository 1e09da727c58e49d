// `Expect: 100-continue`: the final status at once when the head decides, 100 when the body is wanted (RFC
// 9110 section 10.1.1). And refusals of bodies that are under way: the client can read them (RFC 9112 section
// 9.6).
import assert from 'node:assert/strict';
import { type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { CALLER_HEADER, startPolicyFront, type PolicyFront } from '../support/policy-front.ts';
import { connectRaw, head } from '../support/raw-client.ts';
import { until } from '../support/until.ts';

const EXPECT = 'Expect: 100-continue';
const JSON_TYPE = 'Content-Type: application/json';
const LENGTH = 'Content-Length: 2';
const as = (caller: string): string => `${CALLER_HEADER}: ${caller}`;

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve);
    socket.once('close', () => resolve());
  });
}

/** Sends the head alone and resolves with the first status line. */
async function statusOf(front: PolicyFront, ...lines: readonly string[]): Promise<string> {
  const client = await connectRaw(front.port);
  client.send(head(...lines, 'Host: couchgate.example'));
  await client.sees('\r\n\r\n');
  const [line = ''] = client.received.split('\r\n', 1);
  client.socket.destroy();
  return line.split(' ')[1] ?? '';
}

describe('Expect: 100-continue', () => {
  let front: PolicyFront;
  before(async () => {
    front = await startPolicyFront({ maxBodyBytes: 1000, inspectLimitBytes: 500 });
  });
  after(() => front.close());

  for (const [what, status, lines] of [
    ['a target with two readings', '400', ['PUT /db#/doc HTTP/1.1', as('writer'), JSON_TYPE, LENGTH]],
    ['a target that is too long', '414', [`PUT /db/${'x'.repeat(20_000)} HTTP/1.1`, as('writer'), LENGTH]],
    ['no credentials', '401', ['PUT /db/doc HTTP/1.1', JSON_TYPE, LENGTH]],
    ['no permission', '403', ['PUT /db/doc HTTP/1.1', as('reader'), JSON_TYPE, LENGTH]],
    ['a mistake in the path', '400', ['PUT /db/_nope HTTP/1.1', as('writer'), JSON_TYPE, LENGTH]],
    ['a foreign page', '403', ['PUT /db/doc HTTP/1.1', as('writer'), 'Sec-Fetch-Site: cross-site', LENGTH]],
    ['a method that is not served', '405', ['PATCH /db/doc HTTP/1.1', as('writer'), JSON_TYPE, LENGTH]],
    ['a body that is too large', '413', ['PUT /db/b HTTP/1.1', as('writer'), 'Content-Length: 1001']],
    [
      'a body that is too large to be inspected',
      '413',
      ['POST /db HTTP/1.1', as('writer'), JSON_TYPE, 'Content-Length: 501'],
    ],
    [
      'a type that is not inspected',
      '415',
      ['POST /db HTTP/1.1', as('writer'), 'Content-Type: text/plain', LENGTH],
    ],
    [
      'an encoding that CouchDB does not know',
      '415',
      ['POST /db HTTP/1.1', as('writer'), JSON_TYPE, 'Content-Encoding: br', LENGTH],
    ],
    ['two lengths', '400', ['PUT /db/doc HTTP/1.1', as('writer'), LENGTH, 'Transfer-Encoding: chunked']],
    ['a log-in that is too long', '413', ['POST /_session HTTP/1.1', JSON_TYPE, 'Content-Length: 900000']],
  ] as const) {
    it(`is answered at once, without 100 – ${what} – ${status}`, async () => {
      assert.equal(await statusOf(front, ...lines, EXPECT), status);
    });
  }

  for (const [what, lines] of [
    ['PUT /db/doc, a stream', ['PUT /db/doc HTTP/1.1', as('writer'), JSON_TYPE]],
    ['POST /db, read to decide', ['POST /db HTTP/1.1', as('writer'), JSON_TYPE]],
    ['POST /db/_bulk_docs, scanned', ['POST /db/_bulk_docs HTTP/1.1', as('writer'), JSON_TYPE]],
    ['PUT /db/doc/att, an attachment', ['PUT /db/doc/att HTTP/1.1', as('writer')]],
  ] as const) {
    it(`gets 100 and then the answer – ${what}`, async () => {
      const client = await connectRaw(front.port);
      client.send(head(...lines, 'Host: couchgate.example', EXPECT, LENGTH));
      await client.sees('HTTP/1.1 100 Continue\r\n\r\n');
      assert.equal(client.received, 'HTTP/1.1 100 Continue\r\n\r\n');
      client.send('{}');
      await client.sees('HTTP/1.1 200 OK');
      // The connection goes on as any other.
      client.send(head('GET /db/doc HTTP/1.1', as('reader'), 'Host: couchgate.example', 'Connection: close'));
      await client.end();
      assert.deepEqual(client.received.match(/HTTP\/1\.1 \d+/g), [
        'HTTP/1.1 100',
        'HTTP/1.1 200',
        'HTTP/1.1 200',
      ]);
    });
  }

  it('gets 100 for chunks, and for a client that does not wait', async () => {
    const client = await connectRaw(front.port);
    const lines = ['PUT /db/doc HTTP/1.1', as('writer'), JSON_TYPE, 'Host: x', 'Transfer-Encoding: chunked'];
    client.send(`${head(...lines, EXPECT, 'Connection: close')}2\r\n{}\r\n0\r\n\r\n`);
    await client.end();
    assert.deepEqual(client.received.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 100', 'HTTP/1.1 200']);
  });

  it('is answered in its turn behind another request of the connection', async () => {
    const client = await connectRaw(front.port);
    const get = head('GET /db/doc HTTP/1.1', as('reader'), 'Host: x');
    client.send(get + head('PUT /db/doc HTTP/1.1', as('writer'), JSON_TYPE, 'Host: x', EXPECT, LENGTH));
    await client.sees('HTTP/1.1 100 Continue');
    client.send('{}');
    await client.sees('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK');
    client.socket.destroy();
    assert.deepEqual(client.received.match(/HTTP\/1\.1 \d+/g), [
      'HTTP/1.1 200',
      'HTTP/1.1 100',
      'HTTP/1.1 200',
    ]);
  });

  it('takes no forged header past us, with and without a body that was asked for', async () => {
    front.takeAll();
    const forged = [
      'X-Auth-CouchDB-UserName: admin',
      'X-Auth-CouchDB-Roles: _admin',
      'Cookie: AuthSession=x',
    ];
    const client = await connectRaw(front.port);
    client.send(head('PUT /db/doc HTTP/1.1', as('writer'), JSON_TYPE, 'Host: x', ...forged, EXPECT, LENGTH));
    await client.sees('100 Continue');
    client.send('{}');
    await client.sees('200 OK');
    client.socket.destroy();
    const [got] = front.takeAll();
    assert.ok(got !== undefined, 'got is missing');
    for (const name of ['expect', 'cookie', 'x-auth-couchdb-username', 'x-auth-couchdb-roles'])
      assert.equal(got.headers[name], undefined, name);
  });

  it('is no way past another expectation – 417', async () => {
    assert.equal(
      await statusOf(front, 'PUT /db/doc HTTP/1.1', as('writer'), 'Expect: 200-ok', LENGTH),
      '417',
    );
  });
});

describe('Expect: 100-continue from an address that is not allowed', () => {
  let front: PolicyFront;
  before(async () => {
    front = await startPolicyFront({ settings: { allow: ['192.0.2.1/32'] } });
  });
  after(() => front.close());

  it('is answered at once – 403', async () => {
    assert.equal(await statusOf(front, 'PUT /db/doc HTTP/1.1', as('writer'), EXPECT, LENGTH), '403');
  });
});

describe('A refusal while the body is under way', () => {
  const PIECE = 'x'.repeat(65_536);
  let front: PolicyFront;
  before(async () => {
    front = await startPolicyFront({ maxBodyBytes: 2 ** 30 });
  });
  after(() => front.close());

  /**
   * Sends the head and `mebibytes` of a body, reads nothing before all is sent, and resolves with what came.
   */
  async function upload(mebibytes: number, ...lines: readonly string[]): Promise<string> {
    const client = await connectRaw(front.port);
    client.socket.pause();
    const failures: Error[] = [];
    client.socket.on('error', (error) => failures.push(error));
    client.send(head(...lines, 'Host: x', `Content-Length: ${mebibytes * 2 ** 20}`));
    for (let piece = 0; piece < mebibytes * 16 && !client.socket.destroyed; piece += 1) {
      if (!client.socket.write(PIECE)) await drained(client.socket);
    }
    client.socket.resume();
    await client.end();
    assert.deepEqual(failures, []);
    return client.received;
  }

  for (const [what, status, lines] of [
    ['no permission', 403, ['PUT /db/doc/att HTTP/1.1', as('reader')]],
    ['no credentials', 401, ['PUT /db/doc/att HTTP/1.1']],
    ['a target with two readings', 400, ['PUT /db/doc/att#x HTTP/1.1', as('writer')]],
    ['a type that is not inspected', 415, ['POST /db HTTP/1.1', as('writer'), 'Content-Type: text/plain']],
  ] as const) {
    it(`can be read by a client that reads only after it has sent all – ${what} – ${status}`, async () => {
      const received = await upload(16, ...lines);
      assert.match(received, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(received, /Connection: close\r\n/i);
      assert.ok(received.endsWith('"}\n'), received);
      assert.equal(received.match(/HTTP\/1\.1 /g)?.length, 1);
    });
  }

  it('ends the connection behind it: what follows the body is no request', async () => {
    front.takeAll();
    const client = await connectRaw(front.port);
    client.send(head('PUT /db/b HTTP/1.1', as('reader'), 'Host: x', 'Content-Length: 100000'));
    await client.sees('"forbidden"');
    client.send('x'.repeat(100_000) + head('GET /db/doc HTTP/1.1', as('reader'), 'Host: x').repeat(100));
    await client.end();
    assert.equal(client.received.match(/HTTP\/1\.1 /g)?.length, 1);
    assert.deepEqual(front.takeAll(), []);
  });

  it('ends the connection of a client that sends nothing more', async () => {
    const client = await connectRaw(front.port);
    client.socket.allowHalfOpen = true;
    client.send(head('PUT /db/b HTTP/1.1', as('reader'), 'Host: x', 'Content-Length: 100000'));
    await client.sees('"forbidden"');
    await until(async () => (await front.connections()) === 0, 'the server closes the connection');
    client.socket.destroy();
  });
});
