// Tests the _changes feeds of the embedded node.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { until } from '../support/until.ts';
import { AS_OWNER, Client } from './client.ts';

/** An open feed and the text that was received. */
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

  waitForText(text: string): Promise<void> {
    return until(() => this.text.includes(text), `the feed contains ${text}; received: ${this.text}`);
  }

  waitForEnd(): Promise<void> {
    return until(() => this.hasEnded, `the feed has ended; received: ${this.text}`);
  }

  disconnect(): void {
    this.response.destroy();
  }
}

describe('embedded node: _changes', () => {
  let client: Client;
  before(async () => {
    client = await Client.start();
    await client.send('PUT', '/db');
  });
  after(() => client.node.close());
  const write = async (id: string, body: object = {}) => {
    assert.equal((await client.send('PUT', `/db/${id}`, { body })).status, 201);
  };

  it('sends each change as a line – GET /db/_changes?feed=continuous – until the client disconnects', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=continuous&since=now&include_docs=true');
    await write('c1', { x: 1 });
    await feed.waitForText('"c1"');
    await write('c2');
    await feed.waitForText('"c2"');
    const row = JSON.parse(feed.text.split('\n')[0] ?? '') as { id: string; doc: { x: number }; seq: string };
    assert.deepEqual([row.id, row.doc.x], ['c1', 1]);
    feed.disconnect();
  });

  it('sends empty lines as heartbeats – GET /db/_changes?feed=continuous&heartbeat=20', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=continuous&since=now&heartbeat=20');
    await feed.waitForText('\n\n\n');
    feed.disconnect();
  });

  it('ends after the timeout with the last sequence – GET /db/_changes?feed=continuous&timeout=50', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=continuous&since=now&timeout=50');
    await feed.waitForEnd();
    assert.match(feed.text, /^\{"last_seq":"\d+-embedded","pending":0\}\n$/);
  });

  it('ends after the limit – GET /db/_changes?feed=continuous&limit=1', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=continuous&since=now&limit=1');
    await write('limit1');
    await feed.waitForEnd();
    assert.equal(feed.text.trim().split('\n').length, 2);
  });

  it('sends events with sequences and continues at Last-Event-ID – GET /db/_changes?feed=eventsource', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=eventsource&since=now&heartbeat=20');
    await feed.waitForText('event: heartbeat');
    await write('e1');
    await feed.waitForText('"e1"');
    const id = /^id: (.*)$/m.exec(feed.text)?.[1] ?? '';
    feed.disconnect();
    await write('e2');
    const next = await Feed.open(client, '/db/_changes?feed=eventsource', { 'last-event-id': id });
    await next.waitForText('"e2"');
    assert.equal(next.text.includes('"e1"'), false);
    next.disconnect();
  });

  it('answers after the first change or after the timeout – GET /db/_changes?feed=longpoll', async () => {
    const feed = await Feed.open(client, '/db/_changes?feed=longpoll&since=now&heartbeat=20');
    await feed.waitForText('{"results":[\n\n');
    await write('l1');
    await feed.waitForEnd();
    const { results } = JSON.parse(feed.text) as { results: { id: string }[] };
    assert.deepEqual(
      results.map(({ id }) => id),
      ['l1'],
    );
    const quiet = await Feed.open(client, '/db/_changes?feed=longpoll&since=now&timeout=30');
    await quiet.waitForEnd();
    assert.deepEqual((JSON.parse(quiet.text) as { results: unknown[] }).results, []);
  });

  it('sends all documents that are written while it reads – GET /db/_changes?feed=continuous – 300', async () => {
    await client.send('PUT', '/busy');
    const bulk = (n: number) =>
      client.send('POST', '/busy/_bulk_docs', {
        body: { docs: Array.from({ length: 50 }, (_, i) => ({ _id: `b${n}-${i}` })) },
      });
    await bulk(0);
    const feed = await Feed.open(client, '/busy/_changes?feed=continuous');
    await Promise.all([1, 2, 3, 4, 5].map(bulk));
    await until(() => feed.text.trim().split('\n').length === 300);
    feed.disconnect();
  });

  it('applies a filter function to the normal and the continuous feed – GET /db/_changes?filter=d/f', async () => {
    const filters = { f: 'function (doc, req) { return doc.keep === req.query.keep; }' };
    await client.send('PUT', '/db/_design/d', { body: { filters } });
    await write('f0', { keep: 'yes' });
    await write('f1', { keep: 'no' });
    const normal = await client.send('GET', '/db/_changes?filter=d/f&keep=yes');
    assert.equal((normal.at('results') as unknown[]).length, 1);
    const feed = await Feed.open(client, '/db/_changes?filter=d/f&keep=yes&feed=continuous&since=now');
    await write('f2', { keep: 'no' });
    await write('f3', { keep: 'yes' });
    await feed.waitForText('"f3"');
    assert.equal(!feed.text.includes('"f2"') && !feed.text.includes('"doc"'), true);
    feed.disconnect();
  });

  it('ends a feed whose filter function loops for ever – GET /db/_changes?feed=continuous', async () => {
    await client.send('PUT', '/db/_design/loop', { body: { filters: { f: 'function () { while (1); }' } } });
    const feed = await Feed.open(client, '/db/_changes?filter=loop/f&feed=continuous');
    await feed.waitForEnd();
    assert.equal((await client.send('GET', '/db/_changes?filter=loop/f')).status, 500);
    assert.equal((await client.send('GET', '/_up')).status, 200);
  });

  it('sends changes of _users without passwords – GET /_users/_changes?feed=continuous', async () => {
    const feed = await Feed.open(client, '/_users/_changes?feed=continuous&since=now&include_docs=true');
    const body = { name: 'u', type: 'user', roles: [], password: 'secret-word' };
    await client.send('PUT', '/_users/org.couchdb.user:u', { body });
    await feed.waitForText('org.couchdb.user:u');
    assert.equal(feed.text.includes('secret-word'), false);
    feed.disconnect();
  });

  it('ends the feeds of a deleted database and frees its name – DELETE /db – 200', async () => {
    await client.send('PUT', '/gone');
    const feeds = await Promise.all(
      ['continuous', 'eventsource', 'longpoll'].map((feed) =>
        Feed.open(client, `/gone/_changes?feed=${feed}&since=now&heartbeat=1000`),
      ),
    );
    assert.equal((await client.send('DELETE', '/gone')).status, 200);
    await Promise.all(feeds.map((feed) => feed.waitForEnd()));
    assert.equal((await client.send('PUT', '/gone')).status, 201);
    assert.equal((await client.send('GET', '/gone')).at('doc_count'), 0);
  });

  it('releases the database when feed clients disconnect – 50 feeds – DELETE /db – 200', async () => {
    await client.send('PUT', '/left');
    const feeds = await Promise.all(
      Array.from({ length: 50 }, () =>
        Feed.open(client, '/left/_changes?feed=continuous&since=now&heartbeat=20'),
      ),
    );
    for (const feed of feeds) feed.disconnect();
    await Promise.all(feeds.map((feed) => feed.waitForEnd()));
    assert.equal((await client.send('DELETE', '/left')).status, 200);
  });
});
