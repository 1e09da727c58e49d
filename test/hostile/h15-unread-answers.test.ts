// H15: CouchDB holds some answers in memory as a whole until the client has read them: all leaves of a document, and attachments in JSON.
import assert from 'node:assert/strict';
import http, { type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, it } from 'node:test';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';
import { type ForwardingFront, type Judged, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

/** Answers in memory at once that one caller may have, and all. */
const SHARE = 4;
const ALL = 16;
const LARGE = 32 * 2 ** 20;

const open: { close(): Promise<void> }[] = [];
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  for (const thing of open.splice(0).reverse()) await thing.close();
});

function judge(req: IncomingMessage): Judged {
  const [name = '', ip] = String(req.headers['x-who']).split('@');
  const principal: Principal = name === 'nobody' ? NOBODY : { kind: 'key', name };
  const endpoint = req.method === 'POST' ? 'bulk-get' : 'doc-get';
  return { principal, endpoint, ...(ip === undefined ? {} : { ip }) };
}

interface Started {
  readonly front: ForwardingFront;
  readonly upstream: ScriptedUpstream;
  /** Requests that the node has at this time. */
  readonly atNode: () => number;
}

async function start(unreadMs = 600_000): Promise<Started> {
  let running = 0;
  const upstream = await startUpstream((req, res) => {
    running += 1;
    res.on('close', () => (running -= 1));
    req.resume();
    const size = req.url?.includes('small') === true ? 10 : LARGE;
    res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': String(size) });
    res.end(Buffer.alloc(size, 'x'));
  });
  const nodes = { connections: 256, queue: 256, share: 1 };
  const front = await startForwarding({ upstreams: [upstream], judge, nodes, options: { unreadMs } });
  open.push(upstream, front);
  return { front, upstream, atNode: () => running };
}

async function sendUnread(
  { port }: ForwardingFront,
  who: string,
  times: number,
  line: string,
): Promise<void> {
  for (let n = 0; n < times; n += 1) {
    const client = await connectRaw(port);
    clients.push(client);
    client.socket.pause();
    client.send(head(line, 'Host: x', `X-Who: ${who}`, 'Content-Length: 0'));
  }
}

async function ask({ url }: ForwardingFront, path: string, who: string): Promise<number> {
  const request = http.get(`${url}${path}`, { agent: false, headers: { 'x-who': who } });
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve).on('error', reject);
  });
  return (await buffer(answer)).length;
}

const LINES = [
  'GET /db/doc?open_revs=all HTTP/1.1',
  'GET /db/doc?rev=1-a;open_revs=all HTTP/1.1',
  'GET /db/doc?%6fpen_revs=all HTTP/1.1',
  'GET /db/doc?attachments=true HTTP/1.1',
  'POST /db/_bulk_get HTTP/1.1',
];

describe('H15 answers that CouchDB holds in memory', () => {
  it('are few at once for a caller that does not read, in every spelling, and no others wait for them', async () => {
    const { front, atNode } = await start();
    for (const line of LINES) await sendUnread(front, 'greedy', 2, line);
    await until(() => front.nodes.report()[0]?.waiting === 2 * LINES.length - SHARE);
    assert.equal(front.nodes.report()[0]?.running, SHARE);
    assert.equal(atNode(), SHARE);
    assert.equal(await ask(front, '/db/small?open_revs=all', 'other'), 10);
    assert.equal(await ask(front, '/db/small?rev=1-a', 'greedy'), 10);
  });

  it('are few at once in all, and those of anonymous callers count together', async () => {
    const { front, atNode } = await start();
    for (let n = 0; n < 6; n += 1) await sendUnread(front, `nobody@192.0.2.${n}`, 1, LINES[0] ?? '');
    await until(() => front.nodes.report()[0]?.waiting === 6 - SHARE);
    for (let n = 0; n < 4; n += 1) await sendUnread(front, `key${n}`, SHARE, LINES[0] ?? '');
    await until(() => front.nodes.report()[0]?.waiting === 6);
    assert.equal(atNode(), ALL);
    assert.equal(await ask(front, '/db/small', 'other'), 10);
  });

  it('are all given to a client that reads them – sixty at once', async () => {
    const { front } = await start();
    const sizes = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        ask(
          front,
          n === 0 ? '/db/doc?open_revs=all' : `/db/small?open_revs=%5B%221-${n}%22%5D`,
          'replicator',
        ),
      ),
    );
    assert.deepEqual(new Set(sizes), new Set([LARGE, 10]));
    assert.equal(sizes.length, 60);
  });

  it('end when their client reads nothing, and the next ones get their places', async () => {
    const { front, atNode } = await start(50);
    await sendUnread(front, 'greedy', SHARE, LINES[0] ?? '');
    assert.equal(await ask(front, '/db/small?open_revs=all', 'greedy'), 10);
    await until(() => front.nodes.report()[0]?.running === 0 && atNode() === 0);
    const ended = front.contexts.filter(({ outcome }) => outcome.cutShort === 'client was silent');
    assert.equal(ended.length, SHARE);
  });
});
