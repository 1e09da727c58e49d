// H15: CouchDB writes a line for each heartbeat. A thousand feeds with `heartbeat=1` of one reader put every node out.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { startForwarding, type ForwardingFront } from '../support/forwarding.ts';
import { startUpstream, type ScriptedUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

const CALLER = 'x-test-caller';

describe('the heartbeats of feeds', () => {
  let upstream: ScriptedUpstream;
  let front: ForwardingFront;
  let clients = new AbortController();
  before(async () => {
    upstream = await startUpstream((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' });
      res.write('\n');
    });
    front = await startForwarding({
      upstreams: [upstream],
      nodes: { feeds: 200 },
      judge: (req) => ({
        transport: /_changes|_db_updates/.test(req.url ?? '') ? 'feed' : 'pooled',
        principal: { kind: 'key', name: String(req.headers[CALLER]) },
      }),
    });
  });
  after(async () => {
    clients.abort();
    await front.close();
    await upstream.close();
  });
  beforeEach(async () => {
    clients.abort();
    clients = new AbortController();
    await until(() => upstream.open === 0, 'no feed is open');
  });

  const begin = (path: string, caller: string): Promise<Response> =>
    fetch(`${front.url}${path}`, { headers: { [CALLER]: caller }, signal: clients.signal });
  const open = async (query: string, caller = 'a'): Promise<number> =>
    (await begin(`/db/_changes?feed=continuous&${query}`, caller)).status;

  it('are 1000 per second of one caller, until a feed ends – GET /db/_changes?heartbeat=1 – 429', async () => {
    assert.equal(await open('heartbeat=1'), 200);
    const refused = await begin('/db/_changes?feed=longpoll&heartbeat=1', 'a');
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get('retry-after'), '10');
    assert.deepEqual(await refused.json(), {
      error: 'too_many_requests',
      reason: 'The feeds of one caller may have 1000 heartbeats per second. Use a longer `heartbeat`.',
    });
    assert.equal(await open('heartbeat=1', 'b'), 200, 'another caller');
    assert.equal(await open('since=now'), 200, 'without heartbeats');
    clients.abort();
    clients = new AbortController();
    await until(async () => (await open('heartbeat=1')) === 200, 'the first feed has ended');
  });

  const SPELLINGS = [
    'HeartBeat=1',
    '%68eartbeat=1',
    'heartbeat=%31',
    'heartbeat=%2B1',
    'a=b;heartbeat=1',
    'heartbeat=1&heartbeat=60000',
    'heartbeat=true&HEARTBEAT=1',
    'heartbeat=001',
    'heartbeat=-1',
    'heartbeat=x',
  ];
  for (const spelling of SPELLINGS)
    it(`count in every spelling – GET /db/_changes?${spelling} – 429`, async () => {
      assert.equal(await open('heartbeat=60000'), 200);
      assert.equal(await open(spelling), 429);
      const normal = await begin(`/db/_changes?${spelling}`, 'a');
      assert.equal(normal.status, 429, 'a filter may make a normal feed slow');
    });

  for (const zero of ['heartbeat=0', 'heartbeat=-0', '%68eartbeat=%2B00', 'heartbeat=60000;heartbeat=0'])
    it(`come after some time: without it, a feed takes a core – GET /_db_updates?${zero} – 400`, async () => {
      const refused = await begin(`/_db_updates?feed=continuous&${zero}`, 'a');
      assert.equal(refused.status, 400);
      await refused.body?.cancel();
      assert.equal(upstream.open, 0);
    });

  it('of usual feeds are not limited – 90 feeds with heartbeat=100, and those of PouchDB', async () => {
    const feeds = Array.from({ length: 90 }, () => open('heartbeat=100'));
    assert.deepEqual(new Set(await Promise.all(feeds)), new Set([200]));
    assert.equal(await open('heartbeat=10000'), 200);
    assert.equal(await open('heartbeat=true'), 200);
  });

  it('are none with heartbeat=false, as python-cloudant writes it – GET /_db_updates – 200', async () => {
    for (let n = 0; n < 2; n += 1)
      assert.equal((await begin('/_db_updates?feed=continuous&heartbeat=false', 'a')).status, 200);
    assert.equal(await open('heartbeat=true'), 200);
    assert.equal(await open('heartbeat=1&heartbeat=false'), 429, 'the first value counts in _db_updates');
  });

  it('below 10 s are limited for all callers together, others are not – heartbeat=9999 – 429', async () => {
    for (let n = 0; n < 4; n += 1) assert.equal(await open('heartbeat=1', `caller ${n}`), 200);
    assert.equal(await open('heartbeat=9999', 'late'), 429);
    assert.equal(await open('heartbeat=10000', 'late'), 200);
  });

  it('are not looked for where there is no feed – GET /db/doc?heartbeat=1 – 200', async () => {
    for (let n = 0; n < 3; n += 1) assert.equal((await begin('/db/doc?heartbeat=1', 'a')).status, 200);
  });
});
