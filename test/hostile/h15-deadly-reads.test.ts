// H15: a read that ends the node which answers it must not be given to all nodes in turn.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { createCouch } from '../../src/couch/client.ts';
import { createTransfer } from '../../src/couch/transfer.ts';
import { documentPages } from '../../src/export/document-pages.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { startForwarding } from '../support/forwarding.ts';
import { startUpstream, type ScriptedUpstream } from '../support/scripted-upstream.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/**
 * Three nodes. A request for `/db/poison`, or for a database of this name, breaks its connection; `asked` has
 * the nodes that got it.
 */
async function cluster(): Promise<{ readonly nodes: readonly ScriptedUpstream[]; readonly asked: number[] }> {
  const asked: number[] = [];
  const starting = [0, 1, 2].map((index) =>
    startUpstream((req, res) => {
      if (req.url === '/db/poison' || req.url?.startsWith('/poison/') === true) {
        asked.push(index);
        req.socket.destroy();
      } else res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
    }),
  );
  const nodes = await Promise.all(starting);
  closers.push(...nodes.map((node) => () => node.close()));
  return { nodes, asked };
}

describe('a read whose connection breaks', () => {
  for (const method of ['GET', 'HEAD'])
    for (const isWarm of [false, true])
      it(`is sent twice, not to every node – ${method}, ${isWarm ? 'on kept' : 'on new'} connections – 502`, async () => {
        const { nodes, asked } = await cluster();
        const front = await startForwarding({ upstreams: nodes });
        closers.push(() => front.close());
        if (isWarm)
          for (let n = 0; n < nodes.length; n += 1)
            await (await fetch(`${front.url}/db/doc`, { method })).text();
        const answer = await fetch(`${front.url}/db/poison`, { method });
        assert.equal(answer.status, 502);
        assert.equal(asked.length, 2);
      });

  it('of Couchgate itself is sent twice, and to the last node when the others take no connection', async () => {
    const { nodes, asked } = await cluster();
    const urls = nodes.map(({ url }) => url);
    const couch = createCouch({
      pickNode: (tried) => urls.map((url) => ({ url })).find(({ url }) => !tried.has(url)),
      authorization: () => 'Bearer own',
      nodeFailed: () => undefined,
      connectTimeoutMs: 500,
    });
    closers.push(() => couch.close());
    await assert.rejects(couch.ask({ method: 'GET', path: '/db/poison' }), Unavailable);
    assert.deepEqual(asked, [0, 1]);
    await Promise.all([nodes[0]?.kill(), nodes[1]?.kill()]);
    assert.equal((await couch.ask({ method: 'GET', path: '/db/doc' })).status, 200);
  });

  for (const deleted of [false, true])
    it(`of an export is sent twice – ${deleted ? 'GET /db/_changes' : 'POST /db/_all_docs'}`, async () => {
      const { nodes, asked } = await cluster();
      const urls = nodes.map(({ url }) => url);
      const couch = createTransfer({
        pickNode: (tried) => urls.map((url) => ({ url })).find(({ url }) => !tried.has(url)),
        authorization: () => 'Bearer own',
        connectTimeoutMs: 500,
      });
      closers.push(() => couch.close());
      const { signal } = new AbortController();
      const choice = { deleted, design: false, conflicts: false };
      const pages = documentPages({ couch, database: 'poison', signal }, choice);
      await assert.rejects(pages.next(), Unavailable);
      assert.deepEqual(asked, [0, 1]);
    });

  it('is sent to the last node when the others take no connection – GET /db/doc – 200', async () => {
    const { nodes } = await cluster();
    const front = await startForwarding({ upstreams: nodes });
    closers.push(() => front.close());
    await Promise.all([nodes[0]?.kill(), nodes[1]?.kill()]);
    assert.equal((await fetch(`${front.url}/db/doc`)).status, 200);
  });
});
