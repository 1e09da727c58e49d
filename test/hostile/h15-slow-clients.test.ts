// H15: a client that sends or reads slowly holds what it was given for as long as it likes. It must not get all there is.
import assert from 'node:assert/strict';
import http, { type IncomingMessage } from 'node:http';
import { afterEach, describe, it } from 'node:test';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';
import { type ForwardingFront, type Judged, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

const SLOTS = 8;
const SHARE = 6;

const open: { close(): Promise<void> }[] = [];
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  for (const thing of open.splice(0).reverse()) await thing.close();
});

/** Who asks stands in a header: a name, or `nobody@` and an address. */
function judge(req: IncomingMessage): Judged {
  const [name = '', ip] = String(req.headers['x-who']).split('@');
  const principal: Principal = name === 'nobody' ? NOBODY : { kind: 'key', name };
  const transport = req.url?.includes('feed') === true ? 'feed' : 'pooled';
  return { principal, transport, ...(ip === undefined ? {} : { ip }) };
}

async function start(share = SHARE / SLOTS): Promise<{ front: ForwardingFront; upstream: ScriptedUpstream }> {
  const upstream = await startUpstream((req, res) => {
    res.writeHead(200, { 'Content-Type': 'application/json' });
    if (req.url === '/db/large') res.write(Buffer.alloc(64 * 2 ** 20));
    else if (req.url?.includes('feed') === true) res.flushHeaders();
    else req.resume().on('end', () => res.end('{}\n'));
  });
  open.push(upstream);
  const nodes = { connections: SLOTS, queue: SLOTS, feeds: SLOTS, share };
  const front = await startForwarding({ upstreams: [upstream], judge, nodes });
  open.push(front);
  return { front, upstream };
}

async function send(
  front: ForwardingFront,
  who: string,
  times: number,
  lines: readonly string[],
): Promise<void> {
  for (let n = 0; n < times; n += 1) {
    const client = await connectRaw(front.port);
    clients.push(client);
    if (lines[0]?.includes('large') === true) client.socket.pause();
    client.send(head(...lines, 'Host: x', `X-Who: ${who}`));
  }
}

function ask(front: ForwardingFront, path: string, who: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = http.get(`${front.url}${path}`, {
      agent: false,
      headers: { 'x-who': who },
      timeout: 60_000,
    });
    request.on('timeout', () => request.destroy(new Error('no answer in a minute')));
    request.on('error', reject);
    request.on('response', (answer) => {
      answer.destroy();
      resolve(answer.statusCode ?? 0);
    });
  });
}

const SLOW: Readonly<Record<string, readonly string[]>> = {
  'sends slowly': ['PUT /db/doc HTTP/1.1', 'Content-Length: 5'],
  'reads slowly': ['GET /db/large HTTP/1.1'],
};

describe('H15 a caller that is slow', () => {
  for (const [what, lines] of Object.entries(SLOW))
    for (const [greedy, other] of [
      ['greedy', 'other'],
      ['greedy', 'nobody@192.0.2.1'],
      ['nobody@192.0.2.1', 'nobody@192.0.2.2'],
      ['nobody@2001:db8::1', 'nobody@2001:db8:0:1::1'],
    ] as const)
      it(`leaves slots to others – ${greedy} ${what}, ${other} asks`, async () => {
        const { front } = await start();
        await send(front, greedy, 3 * SLOTS, lines);
        await until(() => front.nodes.report()[0]?.waiting === SHARE);
        assert.equal(front.nodes.report()[0]?.running, SHARE);
        assert.equal(await ask(front, '/db/doc', other), 200);
        assert.equal(await ask(front, '/db/doc', greedy), 503);
      });

  it('is one caller from all addresses of an IPv6 network', async () => {
    const { front } = await start();
    await send(front, 'nobody@2001:db8::1', 2 * SLOTS, SLOW['sends slowly'] ?? []);
    await until(() => front.nodes.report()[0]?.waiting === SHARE);
    assert.equal(await ask(front, '/db/doc', 'nobody@2001:db8::ffff'), 503);
  });

  it('goes on when what it held is over, in its order', async () => {
    const { front } = await start();
    await send(front, 'greedy', SHARE + 1, SLOW['sends slowly'] ?? []);
    await until(() => front.nodes.report()[0]?.waiting === 1);
    for (const client of clients) client.send('{"a"}');
    for (const client of clients) await client.sees('200 OK');
    assert.deepEqual(
      front.nodes.report().map(({ running, waiting }) => [running, waiting]),
      [[0, 0]],
    );
  });

  it('leaves feeds to others', async () => {
    const { front } = await start();
    const feed = '/db/_changes?feed=continuous';
    await send(front, 'greedy', SHARE, [`GET ${feed} HTTP/1.1`]);
    await until(() => front.nodes.report()[0]?.feeds === SHARE);
    assert.equal(await ask(front, feed, 'greedy'), 503);
    assert.equal(await ask(front, feed, 'other'), 200);
  });
});
