// Hazard H15: requests sent ahead of their answers. Node hands out all it finds in the bytes it reads; each would hold a connection to CouchDB until
// its answer may leave, so that one client, known to nobody, could take them all by reading nothing.
import assert from 'node:assert/strict';
import { setTimeout as wait } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { until } from '../support/until.ts';

describe('H15: requests that are sent ahead', () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate({
      settings: { couchdbConnections: 8, couchdbQueue: 8, clientIdleTimeoutMs: 1500 },
    });
    await gate.database('open', { nobody: ['_reader', '_writer'] });
    // More than the buffers between two processes hold.
    await gate.ask('PUT', '/open/large', { body: { text: 'x'.repeat(7_000_000) } });
    await gate.ask('PUT', '/open/small', { body: {} });
  });
  after(() => gate.close());

  const connect = (): Promise<RawClient> => connectRaw(Number(new URL(gate.url).port));
  const get = (path: string): string => head(`GET ${path} HTTP/1.1`, 'Host: x');

  it('hold one connection to CouchDB for each client, whatever it does not read – GET /db/doc', async () => {
    const greedy = await connect();
    greedy.socket.pause();
    greedy.send(get('/open/large').repeat(40));
    await wait(500);
    const answer = await Promise.race([gate.ask('GET', '/open/small'), wait(900)]);
    greedy.socket.destroy();
    assert.equal(answer?.status, 200, 'somebody else is answered');
  });

  it('are answered each in its turn, the writes before the reads behind them – PUT, GET, DELETE', async () => {
    const client = await connect();
    const put = head(
      'PUT /open/new HTTP/1.1',
      'Host: x',
      'Content-Type: application/json',
      'Content-Length: 7',
    );
    client.send(`${put}{"a":1}${get('/open/new')}${get('/open/none')}${get('/open/small').repeat(90)}`);
    await until(() => client.received.split('HTTP/1.1 ').length === 94, 'every answer has come');
    const statuses = client.received.match(/(?<=HTTP\/1\.1 )\d+/g);
    assert.deepEqual(statuses?.slice(0, 4), ['201', '200', '404', '200']);
    client.socket.destroy();
  });

  it('are too many when they would fill the memory: the connection is cut', async () => {
    const client = await connect();
    client.send(get('/open/small').repeat(1000));
    await client.end();
    assert.ok(gate.log.lines.some(({ message }) => message.includes('too many pipelined requests')));
  });

  it('do not save a client that reads nothing from being cut', async () => {
    const client = await connect();
    client.socket.pause();
    client.send(get('/open/large').repeat(3));
    await wait(4500);
    client.socket.resume();
    await client.end();
    assert.equal(client.received.split('HTTP/1.1 200').length - 1, 1, 'the second answer never began');
  });
});
