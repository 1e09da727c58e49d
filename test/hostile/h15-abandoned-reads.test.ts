// H15: CouchDB goes on with a read whose client has left. A client that sends and leaves, again and again, ran any number at once.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, it } from 'node:test';
import { abandonRead } from '../../src/forward/abandoned-read.ts';
import { ConcurrencyLimiter } from '../../src/limits/concurrency-limiter.ts';
import { type ForwardingFront, type ForwardingSetup, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

/** Reads at once that one caller may have. */
const SHARE = 4;
const READ = 'GET /db/doc?open_revs=all HTTP/1.1';
const READS = [
  READ,
  'GET /db/doc?attachments=true HTTP/1.1',
  'HEAD /db/doc?attachments=true HTTP/1.1',
  'POST /db/_bulk_get HTTP/1.1',
];
const FEED = 'GET /db/_changes?feed=longpoll&attachments=true HTTP/1.1';

const open: { close(): Promise<void> }[] = [];
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  for (const thing of open.splice(0).reverse()) await thing.close();
});

interface Started {
  readonly front: ForwardingFront;
  readonly upstream: ScriptedUpstream;
  /** The status of `GET /_up`; 0 = the node closes the connection. */
  readonly up: { status: number };
  /** The requests that reached the node, in order; the test answers them. */
  readonly reached: readonly ServerResponse[];
  /** The requests of the clients. */
  readonly requests: readonly WeakRef<IncomingMessage>[];
  readonly running: () => number;
  /** Sends a request and returns its client. */
  readonly send: (line: string) => Promise<RawClient>;
  /** Sends as many requests as one caller may have, and leaves when the node has them. */
  readonly leave: (line: string) => Promise<void>;
}

async function start(setup: Partial<ForwardingSetup> = {}): Promise<Started> {
  const reached: ServerResponse[] = [];
  const requests: WeakRef<IncomingMessage>[] = [];
  const up = { status: 200 };
  const receive: http.RequestListener = (req, res) => {
    req.resume();
    req.on('end', () => reached.push(res));
  };
  const upstream = await startUpstream(receive, { up: () => up.status });
  const judge: ForwardingSetup['judge'] = (req) => {
    requests.push(new WeakRef(req));
    if (req.url?.includes('_changes') === true) return { transport: 'feed' };
    if (req.method !== 'POST') return {};
    const isRead = req.headers['content-length'] === '0';
    return { endpoint: 'bulk-get', ...(isRead ? { body: Buffer.from('{"docs":[]}') } : {}) };
  };
  const front = await startForwarding({ upstreams: [upstream], judge, ...setup });
  open.push(upstream, front);
  const running = (): number => {
    const [report] = front.nodes.report();
    return (report?.running ?? NaN) + (report?.feeds ?? NaN);
  };
  const send = async (line: string): Promise<RawClient> => {
    const client = await connectRaw(front.port);
    clients.push(client);
    client.send(head(line, 'Host: x', 'Content-Type: application/json', 'Content-Length: 0'));
    return client;
  };
  const leave = async (line: string): Promise<void> => {
    const leaving: RawClient[] = [];
    for (let n = 0; n < SHARE; n += 1) leaving.push(await send(line));
    await until(() => reached.length === SHARE);
    for (const { socket } of leaving) socket.destroy();
    await until(() => front.contexts.every(({ outcome }) => outcome.cutShort === 'client left'));
  };
  return { front, upstream, up, reached, requests, running, send, leave };
}

/** How the node ends its work. */
const ENDS: readonly (readonly [name: string, end: (res: ServerResponse) => void])[] = [
  ['an answer', (res) => res.end('{}')],
  ['the first byte of an answer', (res) => res.write('[')],
  ['a closed connection', (res) => res.socket?.end()],
  ['a reset connection', (res) => res.socket?.resetAndDestroy()],
  ['what is no HTTP', (res) => res.socket?.write('SSH-2.0-OpenSSH\r\n\r\n')],
];

describe('H15 a read whose client has left', () => {
  for (const line of READS)
    it(`keeps its place until CouchDB answers – ${line}`, async () => {
      const { front, reached, running, send, leave } = await start();
      await leave(line);
      assert.equal(running(), SHARE);
      await send(line);
      await until(() => front.nodes.report()[0]?.waiting === 1);
      assert.equal(reached.length, SHARE);
      reached[0]?.end();
      await until(() => reached.length === SHARE + 1);
      assert.equal(running(), SHARE);
    });

  it('keeps its place if its permission was revoked, which its client learns at once – GET /db/_changes', async () => {
    const { front, reached, running, send } = await start();
    const cut: RawClient[] = [];
    for (let n = 0; n < SHARE; n += 1) cut.push(await send(FEED));
    await until(() => reached.length === SHARE);
    for (const feed of [...front.watched]) feed.cut('revoked');
    for (const client of cut) await client.sees('HTTP/1.1 4');
    for (const { socket } of cut) socket.destroy();
    await until(() => front.contexts.every(({ outcome }) => outcome.cutShort === 'revoked'));
    await (await send(FEED)).sees('HTTP/1.1 503');
    assert.equal(running(), SHARE);
    reached[0]?.end('{}');
    await until(() => running() === SHARE - 1);
    await send(FEED);
    await until(() => reached.length === SHARE + 1);
  });

  for (const [name, end] of ENDS)
    it(`gives up its place once, and its connection – ${name}`, async () => {
      const { upstream, reached, running, leave } = await start();
      await leave(READ);
      for (const res of reached.slice(0, 1)) end(res);
      await until(() => running() < SHARE && upstream.open < SHARE);
      assert.equal(running(), SHARE - 1);
    });

  it('gives up its place if its node does not answer probes either', async () => {
    const { front, upstream, up, running, leave } = await start({ nodes: { vanishedMs: 50 } });
    await leave(READ);
    up.status = 0;
    front.nodes.markSuspectUrl(upstream.url);
    await until(() => running() === 0);
  });

  it('gives up its place after a time', async () => {
    const upstream = await startUpstream((req) => req.resume());
    open.push(upstream);
    const request = http.get(`${upstream.url}/db/doc`, { agent: false });
    await once(request, 'finish');
    const limiter = new ConcurrencyLimiter({ limit: 1, queueLimit: 0, share: 1 });
    assert.equal(limiter.takeFreeSlot('a'), true);
    abandonRead(request, limiter, 'a', 20);
    assert.equal(limiter.active, 1);
    await until(() => limiter.active === 0 && upstream.open === 0);
  });

  it('does not outlast the connections to its node, as after a drain', async () => {
    const { front, upstream, running, leave } = await start();
    await leave(READ);
    front.nodes.stop();
    await until(() => running() === 0 && upstream.open === 0);
  });

  it('keeps nothing of its request in memory – POST /db/_bulk_get', async () => {
    const { requests, running, leave } = await start();
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    await leave('POST /db/_bulk_get HTTP/1.1');
    await until(() => {
      collectGarbage();
      return requests.every((request) => request.deref() === undefined);
    });
    assert.equal(running(), SHARE);
  });

  it('ends at once if CouchDB has not got all of its body – POST /db/_bulk_get', async () => {
    const { front, upstream, running } = await start();
    const client = await connectRaw(front.port);
    clients.push(client);
    client.send(`${head('POST /db/_bulk_get HTTP/1.1', 'Host: x', 'Content-Length: 100')}{`);
    await until(() => running() === 1 && upstream.open === 1);
    client.socket.destroy();
    await until(() => running() === 0 && upstream.open === 0);
  });
});
