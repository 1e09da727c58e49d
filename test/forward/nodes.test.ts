// Which node is asked, and which is not.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type NodesOptions, Nodes } from '../../src/forward/nodes.ts';
import { type CouchNode, type NodeState } from '../../src/forward/node.ts';
import { type Waiter } from '../../src/limits/concurrency-limiter.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

const LIMITS: NodesOptions['limits'] = {
  connectTimeoutMs: 500,
  idleTimeoutMs: 5000,
  keepAliveMs: 5000,
  maxIdle: 4,
  ca: undefined,
  connections: 2,
  queue: 2,
  feeds: 3,
  share: 1,
};

/** Takes slots and does nothing with them. */
function waiter(caller = 'someone'): Waiter & { granted: () => void; grants: number; displacements: number } {
  const counts = {
    caller,
    grants: 0,
    displacements: 0,
    granted: () => void (counts.grants += 1),
    displaced: () => void (counts.displacements += 1),
  };
  return counts;
}

describe('the nodes', () => {
  const upstreams: ScriptedUpstream[] = [];
  const ups = [200, 200, 200];
  const refused = new Set<string>();
  const changes: string[] = [];
  let checks = 0;
  let nodes: Nodes;
  before(async () => {
    for (const index of [0, 1, 2])
      upstreams.push(await startUpstream((_req, res) => res.end(), { up: () => ups[index] ?? 200 }));
  });
  after(() => Promise.all(upstreams.map((upstream) => upstream.close())));

  const open = async (count: number, intervalMs = 60_000): Promise<void> => {
    changes.length = 0;
    checks = 0;
    nodes = new Nodes({
      urls: upstreams.slice(0, count).map(({ url }) => url),
      limits: LIMITS,
      intervalMs,
      check: (url) => {
        checks += 1;
        return refused.has(url) ? Promise.reject(new Error('another key')) : Promise.resolve();
      },
      onState: (node, state, reason) => changes.push(`${nameOf(node)} ${state}: ${reason}`),
    });
    await nodes.start();
  };
  const nameOf = (node: { readonly url: string } | undefined): string =>
    node === undefined ? '-' : 'abc'.charAt(upstreams.findIndex(({ url }) => url === node.url));
  const states = (): readonly NodeState[] => nodes.report().map(({ state }) => state);
  const picks = (count: number, line: 'short' | 'feed' = 'short'): string =>
    Array.from({ length: count }, () => nameOf(nodes.pick(line, 'someone'))).join('');
  const nodeAt = (index: number): CouchNode => {
    for (;;) {
      const node = nodes.pick('feed', 'someone');
      assert.ok(node !== undefined, 'node is missing');
      if (node.url === upstreams[index]?.url) return node;
    }
  };

  it('are all probed with a token before the first request', async () => {
    await open(3);
    assert.deepEqual(states(), ['up', 'up', 'up']);
    assert.equal(checks, 3);
    nodes.stop();
  });

  it('take short requests in turn', async () => {
    await open(3);
    const order = picks(6);
    assert.equal(order.slice(0, 3), order.slice(3));
    assert.deepEqual(order.slice(0, 3).split('').sort(), ['a', 'b', 'c']);
    nodes.stop();
  });

  it('answer for _local by the first that is eligible, so that its counters do not jump', async () => {
    await open(3);
    const first = (tried?: ReadonlySet<CouchNode>): string =>
      nameOf(nodes.pickFirst('short', 'someone', tried));
    assert.deepEqual([first(), picks(1) !== '', first(), first()], ['a', true, 'a', 'a']);
    assert.equal(first(new Set([nodeAt(0)])), 'b');
    assert.equal(nameOf(nodes.pickForSelf(new Set(), true)), 'a');
    assert.equal(nameOf(nodes.pickForSelf(new Set(), true)), 'a');
    nodeAt(0).setState('draining');
    assert.equal(first(), 'b');
    nodes.stop();
  });

  it('take feeds where the fewest are open', async () => {
    await open(3);
    const [a, b] = [nodeAt(0), nodeAt(1)];
    a.limiter('feed').acquire(waiter());
    a.limiter('feed').acquire(waiter());
    b.limiter('feed').acquire(waiter());
    assert.equal(picks(3, 'feed'), 'ccc');
    nodes.stop();
  });

  it('are not asked while their operator drains them (GET /_up → 404), and come back by themselves', async () => {
    ups[1] = 404;
    await open(2, 20);
    assert.deepEqual(states(), ['up', 'draining']);
    assert.equal(picks(4), 'aaaa');
    ups[1] = 200;
    await until(() => states()[1] === 'up');
    assert.deepEqual(
      changes.slice(-2).map((change) => change.slice(0, change.indexOf(':'))),
      ['b half-open', 'b up'],
    );
    nodes.stop();
  });

  it('get no request if they answer 500 or refuse a token of Couchgate, which the log says', async () => {
    ups[0] = 500;
    refused.add(upstreams[1]?.url ?? '');
    await open(3);
    assert.deepEqual(states(), ['down', 'down', 'up']);
    assert.deepEqual(changes.sort(), [
      'a down: GET /_up answers 500',
      'b down: another key',
      'c up: GET /_up answers 200',
    ]);
    assert.equal(picks(3), 'ccc');
    ups[0] = 200;
    refused.clear();
    nodes.stop();
  });

  it('are out at the first connection that cannot be made, and send their line elsewhere', async () => {
    await open(2);
    const [a, b] = [nodeAt(0), nodeAt(1)];
    for (const slots of [a.limiter('short'), b.limiter('short')])
      [1, 2].forEach(() => slots.acquire(waiter()));
    const waiting = waiter();
    assert.equal(a.limiter('short').acquire(waiting), 'queued');
    await upstreams[0]?.kill();
    nodes.markFailed(a);
    assert.equal(states()[0], 'down');
    assert.equal(waiting.displacements, 1);
    assert.equal(picks(2), 'bb');
    await upstreams[0]?.revive();
    nodes.stop();
  });

  it('are asked by one request at a time when an answer was broken off, until a look finds them well', async () => {
    await open(2);
    const a = nodeAt(0);
    nodes.markSuspect(a, 'answer truncated');
    assert.equal(states()[0], 'half-open');
    assert.equal(changes.at(-1), 'a half-open: answer truncated');
    a.limiter('short').acquire(waiter());
    assert.equal(picks(3), 'bbb');
    await until(() => states()[0] === 'up');
    nodes.markSuspectUrl(a.url);
    assert.equal(changes.at(-1), 'a half-open: a request of Couchgate failed');
    nodes.stop();
  });

  it('are asked all the same, in doubt, when there is no other', async () => {
    await open(1);
    const a = nodeAt(0);
    a.limiter('short').acquire(waiter());
    nodes.markSuspect(a, 'answer truncated');
    assert.equal(picks(2), 'aa');
    assert.equal(nodes.usable, true);
    nodes.stop();
  });

  it('have shown enough after three complete answers', async () => {
    await open(2, 60_000);
    const a = nodeAt(0);
    ups[0] = 404;
    nodes.markSuspect(a, 'answer truncated');
    await until(() => states()[0] === 'draining');
    ups[0] = 200;
    nodes.markSuspect(a, 'answer truncated');
    await until(() => states()[0] === 'half-open');
    for (let n = 0; n < 3; n += 1) nodes.recordSuccess(a);
    assert.equal(states()[0], 'up');
    nodes.stop();
  });

  it('are probed with a token if one may have refused it, at most once per second', async () => {
    await open(1);
    const a = nodeAt(0);
    refused.add(a.url);
    const before = checks;
    // The look at the start was less than a second ago.
    nodes.recheckToken(a);
    assert.equal(checks, before);
    await until(() => {
      nodes.recheckToken(a);
      return checks > before;
    });
    await until(() => states()[0] === 'down');
    assert.equal(checks, before + 1);
    assert.equal(nodes.usable, false);
    refused.clear();
    nodes.stop();
  });

  it('give no slot away beyond slots and line, and say so', async () => {
    await open(1);
    const slots = nodeAt(0).limiter('short');
    const [third, fourth, fifth] = [waiter(), waiter(), waiter()];
    assert.deepEqual(
      [waiter(), waiter(), third, fourth].map((one) => slots.acquire(one)),
      ['granted', 'granted', 'queued', 'queued'],
    );
    assert.equal(nodes.pick('short', 'someone'), undefined);
    assert.equal(slots.acquire(fifth), 'full');
    slots.abandon(third);
    slots.release('someone');
    await until(() => fourth.grants === 1);
    assert.deepEqual([third.grants, fifth.grants, slots.active, slots.waiting], [0, 0, 2, 0]);
    nodes.stop();
  });

  it('are there for Couchgate’s own requests in turn, without those that were tried or are out', async () => {
    await open(3);
    const own = (tried: readonly number[]): string =>
      nameOf(nodes.pickForSelf(new Set(tried.map((index) => upstreams[index]?.url ?? ''))));
    assert.deepEqual([own([]), own([]), own([])].sort(), ['a', 'b', 'c']);
    assert.equal(own([0, 1]), 'c');
    assert.equal(own([0, 1, 2]), '-');
    nodes.markFailed(nodeAt(2));
    assert.equal(own([0, 1]), '-');
    nodes.stop();
  });
});
