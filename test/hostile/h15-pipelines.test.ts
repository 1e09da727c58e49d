// Hazard H15: requests sent ahead of their answers. Node hands out all it finds in the bytes it reads; each would hold a connection to CouchDB until
// its answer may leave, so that one client, known to nobody, could take them all by reading nothing.
import assert from 'node:assert/strict';
import { type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { until, within } from '../support/until.ts';

describe('H15: requests that are sent ahead', () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate({ settings: { couchdbConnections: 8, couchdbQueue: 8 } });
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
    // All forty came in one piece: when the first is at CouchDB, the others have been read.
    await until(
      () => gate.recorder.take().some(({ url }) => url === '/open/large'),
      'the first request is at CouchDB',
    );
    const answer = await within(gate.ask('GET', '/open/small'), 'an answer for somebody else');
    greedy.socket.destroy();
    assert.equal(answer.status, 200);
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

  it('start one in a turn of the event loop, refusals too – 414', async () => {
    let turn = 0;
    let timer = setImmediate(function count() {
      turn += 1;
      timer = setImmediate(count);
    });
    const turns: number[] = [];
    const { accessLog } = gate.running.services;
    const write = accessLog.write.bind(accessLog);
    accessLog.write = (line) => {
      turns.push(turn);
      write(line);
    };
    try {
      const client = await connect();
      client.send(get(`/${'@:/'.repeat(5000)}`).repeat(40));
      await until(() => client.received.split('HTTP/1.1 414').length === 41, 'every answer has come');
      client.socket.destroy();
    } finally {
      clearImmediate(timer);
      accessLog.write = write;
    }
    assert.equal(turns.length, 40);
    // The turn that is counted may begin before or after that of a request.
    assert.ok(new Set(turns).size >= 39, turns.join());
  });

  it('are too many when they would fill the memory: the connection is cut', async () => {
    const client = await connect();
    client.send(get('/open/small').repeat(1000));
    await client.end();
    assert.equal(
      gate.log.lines.some(({ message }) => message.includes('too many pipelined requests')),
      true,
    );
  });
});

describe('H15: requests that are sent ahead by a client that reads nothing', () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate({ settings: { clientIdleTimeoutMs: 1500 } });
    await gate.database('open', { nobody: ['_reader'] });
    await gate.ask('PUT', '/open/large', { as: gate.owner, body: { text: 'x'.repeat(7_000_000) } });
  });
  after(() => gate.close());

  it('do not save it from being cut', async () => {
    let cut = false;
    gate.running.servers[0]?.once('connection', (socket: Socket) => socket.once('close', () => (cut = true)));
    const client = await connectRaw(Number(new URL(gate.url).port));
    client.socket.pause();
    client.send(head('GET /open/large HTTP/1.1', 'Host: x').repeat(3));
    await until(() => cut, 'Couchgate closes the connection');
    client.socket.resume();
    await client.end();
    assert.equal(client.received.split('HTTP/1.1 200').length - 1, 1, 'the second answer never began');
  });
});
