// A request that waited for a slot, or for another node, is decided again before it is sent (H19). The revocation
// watch is switched off here: in operation it ends such a request while it waits.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { startForwarding } from '../support/forwarding.ts';
import { startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

async function get(url: string): Promise<number | undefined> {
  const [res] = (await once(http.get(url, { agent: false }), 'response')) as [IncomingMessage];
  res.resume();
  return res.statusCode;
}

describe('a request that waited', () => {
  it('for a slot is not sent when its permission is gone – GET /db/second – 403', async () => {
    const asked: string[] = [];
    const held: ServerResponse[] = [];
    const upstream = await startUpstream((req, res) => {
      asked.push(req.url ?? '');
      held.push(res);
    });
    let isPermitted = true;
    const front = await startForwarding({
      upstreams: [upstream],
      nodes: { connections: 1 },
      options: { isStillPermitted: () => isPermitted },
    });
    try {
      const first = get(`${front.url}/db/first`);
      await until(() => held.length === 1, 'the first request has the only slot');
      const second = get(`${front.url}/db/second`);
      await until(() => front.nodes.report()[0]?.waiting === 1, 'the second one waits');
      isPermitted = false;
      held[0]?.end('{}');
      assert.equal(await first, 200, 'the first did not wait');
      assert.equal(await second, 403);
      assert.deepEqual(asked, ['/db/first']);
      isPermitted = true;
      const third = get(`${front.url}/db/third`);
      await until(() => held.length === 2, 'the slot is free again');
      held[1]?.end('{}');
      assert.equal(await third, 200);
    } finally {
      await front.close();
      await upstream.close();
    }
  });

  it('for another node is not sent there when its permission is gone – GET /db/doc – 403', async () => {
    let isPermitted = true;
    let answered = 0;
    const handler = (req: IncomingMessage, res: ServerResponse): void => {
      answered += 1;
      if (answered > 1) res.end('{}');
      else {
        isPermitted = false;
        req.socket.destroy();
      }
    };
    const upstreams = [await startUpstream(handler), await startUpstream(handler)];
    const front = await startForwarding({
      upstreams,
      options: { isStillPermitted: () => isPermitted },
    });
    try {
      assert.equal(await get(`${front.url}/db/doc`), 403);
      assert.equal(answered, 1);
    } finally {
      await front.close();
      await Promise.all(upstreams.map((upstream) => upstream.close()));
    }
  });
});
