// H12: anybody may log in, so anybody may send a body for it. What Couchgate keeps of it while it comes, and takes to read it, is bounded.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { connectRaw, head } from '../support/raw-client.ts';

describe('the body of a login (H12)', () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate();
  });
  after(() => gate.close());

  const connect = () => connectRaw(Number(new URL(gate.url).port));
  const FORM = 'Content-Type: application/x-www-form-urlencoded';

  it('is refused before it comes when it is longer than a name and a password – POST /_session – 413', async () => {
    const client = await connect();
    client.send(head('POST /_session HTTP/1.1', 'Host: x', FORM, 'Content-Length: 16385'));
    await client.sees('HTTP/1.1 413');
    client.socket.destroy();
  });

  it('is refused as soon as its chunks are longer – POST /_session – 413', async () => {
    const client = await connect();
    client.send(head('POST /_session HTTP/1.1', 'Host: x', FORM, 'Transfer-Encoding: chunked'));
    client.send(`4001\r\n${'a'.repeat(16_385)}\r\n`);
    await client.sees('HTTP/1.1 413');
    client.socket.destroy();
  });

  it('may be as long as a long password needs – POST /_session – 401', async () => {
    const body = { name: 'somebody', password: 'p'.repeat(4000) };
    assert.equal((await gate.ask('POST', '/_session', { body })).status, 401);
  });

  it('is wrong, and no outage, when the password is longer than CouchDB takes one – POST /_session – 401', async () => {
    const body = { name: 'somebody', password: 'p'.repeat(12_000) };
    gate.recorder.take();
    assert.equal((await gate.ask('POST', '/_session', { body })).status, 401);
    assert.deepEqual(
      gate.recorder.take().filter(({ url }) => url.startsWith('/_session')),
      [],
    );
  });
});
