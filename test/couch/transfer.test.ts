// A transfer tells a failure of the body that it sends from a failure of the node.
import assert from 'node:assert/strict';
import http from 'node:http';
import { type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { Damaged } from '../../src/backup/errors.ts';
import { createTransfer, type CouchTransfer } from '../../src/couch/transfer.ts';
import { Unavailable } from '../../src/http-errors.ts';

describe('the body of a transfer', () => {
  const server = http.createServer((req, res) => void req.resume().once('end', () => res.end('{}')));
  const failures: string[] = [];
  let couch: CouchTransfer;
  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    couch = createTransfer({
      pickNode: (tried) => (tried.has(url) ? undefined : { url }),
      authorization: () => undefined,
      nodeFailed: (_, reason) => void failures.push(reason),
      ...{ connectTimeoutMs: 5000, patienceMs: 150 },
    });
  });
  after(async () => {
    await couch.close();
    server.close();
  });

  /** Sends a body that fails with this error, and counts the attempts. */
  async function send(error: Error): Promise<{ readonly thrown: unknown; readonly attempts: number }> {
    let attempts = 0;
    function* parts(): Generator<Buffer> {
      attempts += 1;
      yield Buffer.from('{"a":');
      throw error;
    }
    const body = (): AsyncIterable<Buffer> => Readable.from(parts());
    const request = { method: 'PUT', path: '/db/doc', body, contentLength: 100, repeatable: true } as const;
    const thrown = await couch.ask(request).then(
      () => undefined,
      (failure: unknown) => failure,
    );
    return { thrown, attempts };
  }

  it('ends the request if a file of a backup is damaged – PUT', async () => {
    const damaged = new Damaged('data/1.pack is damaged.');
    assert.deepEqual(await send(damaged), { thrown: damaged, attempts: 1 });
    assert.deepEqual(failures, []);
  });

  it('is started again for any other failure – PUT', async () => {
    const { thrown, attempts } = await send(new Error('socket hang up'));
    assert.equal(thrown instanceof Unavailable, true);
    assert.equal(attempts > 1, true);
  });
});
