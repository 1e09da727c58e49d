// A short body is kept in memory until it is complete. Then it travels on a kept connection.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { until } from '../support/until.ts';

const PADDING = 'x'.repeat(70_000);

describe('a short body', () => {
  let gate: Couchgate;
  let key: Credentials;

  before(async () => {
    // One slot for each caller.
    gate = await startCouchgate({ settings: { couchdbConnections: 1, couchdbQueue: 1 } });
    key = await gate.key();
    await gate.database('short', { [key.name]: ['_reader', '_writer'] });
  });
  after(() => gate.close());

  /** Sends a PUT without its last byte. */
  async function begin(id: string, body: string): Promise<RawClient> {
    const { revocationWatch } = gate.running.services;
    const before = revocationWatch.count;
    const client = await connectRaw(Number(new URL(gate.url).port));
    const fields = ['Host: x', `Authorization: ${basic(key)}`, 'Content-Type: application/json'];
    const length = `Content-Length: ${body.length}`;
    client.send(head(`PUT /short/${id} HTTP/1.1`, ...fields, length) + body.slice(0, -1));
    await until(() => revocationWatch.count > before, 'the request is watched');
    return client;
  }

  async function finish(client: RawClient): Promise<void> {
    client.send('}');
    await until(() => client.received.includes('HTTP/1.1 '), 'an answer');
    assert.match(client.received, /^HTTP\/1\.1 201 /);
    client.socket.destroy();
  }

  it('holds no slot of a node while it arrives', async () => {
    const slow = await begin('slow', '{"a":1}');
    const { status } = await gate.ask('PUT', '/short/meanwhile', { as: key, body: {} });
    assert.equal(status, 201);
    await finish(slow);
    const { body } = await gate.ask('GET', '/short/slow', { as: key });
    assert.equal((body as { a: unknown }).a, 1);
  });

  it('leaves no trace if it never becomes complete', async () => {
    const left = await begin('left', '{"a":1}');
    left.socket.destroy();
    await until(() => gate.running.services.revocationWatch.count === 0, 'nothing is watched');
    assert.equal((await gate.ask('GET', '/short/left', { as: key })).status, 404);
  });

  it('is answered as a long one, which is streamed', async () => {
    const short = await gate.ask('PUT', '/short/a', { as: key, body: { pad: '' } });
    const long = await gate.ask('PUT', '/short/b', { as: key, body: { pad: PADDING } });
    assert.deepEqual([short.status, long.status], [201, 201]);
    const names = (headers: Headers): string[] => [...headers.keys()].sort();
    assert.deepEqual(names(short.headers), names(long.headers));
    for (const body of ['{"a":', `{"a":"${PADDING}`])
      assert.equal((await gate.ask('PUT', '/short/c', { as: key, body })).status, 400);
  });
});
