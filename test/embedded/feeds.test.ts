import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { until } from '../support/until.ts';
import { AS_OWNER, Client } from './client.ts';

/** An open feed and what has come of it. */
class Feed {
  readonly #chunks: string[] = [];
  readonly response: IncomingMessage;
  hasEnded = false;

  private constructor(response: IncomingMessage) {
    this.response = response;
    response.setEncoding('utf8').on('data', (chunk: string) => this.#chunks.push(chunk));
    response.on('close', () => (this.hasEnded = true));
    response.on('error', () => undefined);
  }

  static async open(client: Client, path: string, headers: Record<string, string> = {}): Promise<Feed> {
    const req = request(client.node.url + path, { headers: { ...AS_OWNER, ...headers } }).end();
    req.on('error', () => undefined);
    const [response] = (await once(req, 'response')) as [IncomingMessage];
    return new Feed(response);
  }

  get text(): string {
    return this.#chunks.join('');
  }

  has(text: string): Promise<void> {
    return until(() => this.text.includes(text), `the feed has ${text}; it has ${this.text}`);
  }

  ended(): Promise<void> {
    return until(() => this.hasEnded, `the feed has ended; it has ${this.text}`);
  }

  leave(): void {
    this.response.destroy();
  }
}

describe('the embedded node: _changes', () => {
  let client: Client;
  before(async () => {
    client = await Client.start();
    await client.ask('PUT', '/db');
  });
  after(() => client.node.close());
  const write = async (id: string, body: object = {}) => {
    assert.equal((await client.ask('PUT', `/db/${id}`, { body })).status, 201);
  };

  it('sends each change as a line – GET /db/_changes?feed=continuous – until the client leaves', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=continuous&since=now&include_docs=true');
    await write('c1', { x: 1 });
    await feed.has('"c1"');
    await write('c2');
    await feed.has('"c2"');
    const row = JSON.parse(feed.text.split('\n')[0] ?? '') as { id: string; doc: { x: number }; seq: string };
    assert.deepEqual([row.id, row.doc.x], ['c1', 1]);
    feed.leave();
  });

  it('beats while nothing happens – GET /db/_changes?feed=continuous&heartbeat=20 – empty lines', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=continuous&since=now&heartbeat=20');
    await feed.has('\n\n\n');
    feed.leave();
  });

  it('ends after the timeout with the last sequence – GET /db/_changes?feed=continuous&timeout=50', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=continuous&since=now&timeout=50');
    await feed.ended();
    assert.match(feed.text, /^\{"last_seq":"\d+-embedded","pending":0\}\n$/);
  });

  it('ends after the limit – GET /db/_changes?feed=continuous&limit=1', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=continuous&since=now&limit=1');
    await write('limit1');
    await feed.ended();
    assert.equal(feed.text.trim().split('\n').length, 2);
  });

  it('sends events with their sequence – GET /db/_changes?feed=eventsource – and goes on from Last-Event-ID', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=eventsource&since=now&heartbeat=20');
    await feed.has('event: heartbeat');
    await write('e1');
    await feed.has('"e1"');
    const id = /^id: (.*)$/m.exec(feed.text)?.[1] ?? '';
    feed.leave();
    await write('e2');
    const next = await Feed.open(client, '/db/_changes?feed=eventsource', { 'last-event-id': id });
    await next.has('"e2"');
    assert.ok(!next.text.includes('"e1"'));
    next.leave();
  });

  it('answers with the first change – GET /db/_changes?feed=longpoll – or when the time is over', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=longpoll&since=now&heartbeat=20');
    await feed.has('{"results":[\n\n');
    await write('l1');
    await feed.ended();
    const { results } = JSON.parse(feed.text) as { results: { id: string }[] };
    assert.deepEqual(
      results.map(({ id }) => id),
      ['l1'],
    );
    const quiet = await Feed.open(client, '/db/_changes?feed=longpoll&since=now&timeout=30');
    await quiet.ended();
    assert.deepEqual((JSON.parse(quiet.text) as { results: unknown[] }).results, []);
  });

  it('misses nothing that is written while it reads – GET /db/_changes?feed=continuous – 300 documents', async () => {
    await client.ask('PUT', '/busy');
    const bulk = (n: number) =>
      client.ask('POST', '/busy/_bulk_docs', {
        body: { docs: Array.from({ length: 50 }, (_, i) => ({ _id: `b${n}-${i}` })) },
      });
    await bulk(0);
    const feed = await Feed.open(client, '/busy/_changes?feed=continuous');
    await Promise.all([1, 2, 3, 4, 5].map(bulk));
    await until(() => feed.text.trim().split('\n').length === 300);
    feed.leave();
  });

  it('filters by a function – GET /db/_changes?filter=d/f – in every feed mode', async () => {
    const filters = { f: 'function (doc, req) { return doc.keep === req.query.keep; }' };
    await client.ask('PUT', '/db/_design/d', { body: { filters } });
    await write('f0', { keep: 'yes' });
    await write('f1', { keep: 'no' });
    const normal = await client.ask('GET', '/db/_changes?filter=d/f&keep=yes');
    assert.equal((normal.at('results') as unknown[]).length, 1);
    const feed = await Feed.open(client, '/db/_changes?filter=d/f&keep=yes&feed=continuous&since=now');
    await write('f2', { keep: 'no' });
    await write('f3', { keep: 'yes' });
    await feed.has('"f3"');
    assert.ok(!feed.text.includes('"f2"') && !feed.text.includes('"doc"'));
    feed.leave();
  });

  it('ends a feed whose filter does not end – GET /db/_changes?feed=continuous – and the node lives', async () => {
    await client.ask('PUT', '/db/_design/loop', { body: { filters: { f: 'function () { while (1); }' } } });
    const feed = await Feed.open(client, '/db/_changes?filter=loop/f&feed=continuous');
    await feed.ended();
    assert.equal((await client.ask('GET', '/db/_changes?filter=loop/f')).status, 500);
    assert.equal((await client.ask('GET', '/_up')).status, 200);
  });

  it('follows _users – GET /_users/_changes?feed=continuous – with documents', async () => {
    const feed = await Feed.open(client, '/_users/_changes?feed=continuous&since=now&include_docs=true');
    const body = { name: 'u', type: 'user', roles: [], password: 'secret-word' };
    await client.ask('PUT', '/_users/org.couchdb.user:u', { body });
    await feed.has('org.couchdb.user:u');
    assert.ok(!feed.text.includes('secret-word'));
    feed.leave();
  });

  it('ends when its database is deleted – DELETE /db – and the name is free at once', async () => {
    await client.ask('PUT', '/gone');
    const feeds = await Promise.all(
      ['continuous', 'eventsource', 'longpoll'].map((feed) =>
        Feed.open(client, `/gone/_changes?feed=${feed}&since=now&heartbeat=1000`),
      ),
    );
    assert.equal((await client.ask('DELETE', '/gone')).status, 200);
    await Promise.all(feeds.map((feed) => feed.ended()));
    assert.equal((await client.ask('PUT', '/gone')).status, 201);
    assert.equal((await client.ask('GET', '/gone')).at('doc_count'), 0);
  });

  it('keeps nothing of feeds whose clients left – 50 feeds – the database can be deleted', async () => {
    await client.ask('PUT', '/left');
    const feeds = await Promise.all(
      Array.from({ length: 50 }, () =>
        Feed.open(client, '/left/_changes?feed=continuous&since=now&heartbeat=20'),
      ),
    );
    for (const feed of feeds) feed.leave();
    await Promise.all(feeds.map((feed) => feed.ended()));
    assert.equal((await client.ask('DELETE', '/left')).status, 200);
  });
});
