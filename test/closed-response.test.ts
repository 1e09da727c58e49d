// The end of a response is seen once, also by what begins to listen after it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { onClosed } from '../src/closed-response.ts';

describe('onClosed', () => {
  /** Answers one request by `end` and gives its response, closed. */
  async function closedResponse(end: (res: ServerResponse) => void): Promise<[ServerResponse, () => number]> {
    let early = 0;
    const server = http.createServer((_req, res) => {
      onClosed(res, () => (early += 1));
      end(res);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const request = http.get({ port, host: '127.0.0.1', agent: false }).on('error', () => undefined);
    const [, res] = (await once(server, 'request')) as [unknown, ServerResponse];
    if (!res.closed) await once(res, 'close');
    request.destroy();
    server.close();
    return [res, () => early];
  }

  for (const [what, end] of [
    ['complete', (res: ServerResponse) => void res.end('x')],
    ['broken off', (res: ServerResponse) => void res.destroy()],
  ] as const)
    it(`is called once when the response is ${what}, and at once after that`, async () => {
      const [res, early] = await closedResponse(end);
      assert.equal(early(), 1);
      let late = 0;
      onClosed(res, function () {
        assert.equal(this, res);
        late += 1;
      });
      assert.equal(late, 1);
    });
});
