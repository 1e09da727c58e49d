// How news finds its listeners, its siblings and other replicas, and what becomes of it while the store is away.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type ChangeRow } from '../../src/couch/couch.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { createInvalidationBus, type RunningInvalidationBus } from '../../src/invalidation/store-bus.ts';
import { holdsUntil, type Invalidation } from '../../src/invalidation/bus.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { until } from '../support/until.ts';

const START = Date.parse('2030-01-01T00:00:00Z');
const session = (id: string, expiresAt = START + 600_000): Invalidation => ({
  kind: 'session',
  id,
  expiresAt,
});

describe('the news desk', () => {
  let store: MemoryStore;
  let bus: RunningInvalidationBus;
  let changeCount: Invalidation[];
  let states: boolean[];
  let users: { change: (row: ChangeRow) => void; state: (up: boolean) => void };
  let broadcast: (invalidation: Invalidation) => Promise<void>;
  let reports: string[];

  beforeEach(() => {
    store = new MemoryStore();
    changeCount = [];
    states = [];
    reports = [];
    broadcast = () => Promise.resolve();
    bus = createInvalidationBus({
      store,
      couch: {
        ask: () => Promise.reject(new Unavailable('not asked')),
        follow(database, on) {
          assert.equal(database, '_users');
          users = on;
          return { close: () => undefined };
        },
      },
      workerChannel: { broadcast: (invalidation) => broadcast(invalidation) },
      onState: (up) => states.push(up),
      report: (sentence) => reports.push(sentence),
      now: () => START,
    });
    bus.onInvalidation((invalidation) => changeCount.push(invalidation));
    bus.start();
  });
  afterEach(() => bus.close());

  async function up(): Promise<void> {
    store.setUp(true);
    users.state(true);
    await until(() => bus.up);
  }

  it('tells listeners before anything is waited for', () => {
    broadcast = () => new Promise(() => undefined);
    void bus.publish({ kind: 'key', name: 'k' });
    assert.deepEqual(changeCount, [{ kind: 'key', name: 'k' }]);
  });

  it('writes down what no document of its own tells', async () => {
    await bus.publish({ kind: 'permissions', database: 'a/b' });
    await bus.publish({ kind: 'permissions', database: 'a/b' });
    await bus.publish(session('s'));
    await bus.publish({ kind: 'key', name: 'k' });
    await bus.publish({ kind: 'user', name: 'u' });
    assert.deepEqual([...store.documents.keys()], ['news:permissions:a/b', 'news:session:s']);
    assert.equal(store.documents.get('news:session:s')?.['expires_at'], START + 600_000);
  });

  it('hears what other replicas wrote down', async () => {
    await up();
    store.putSilently({ _id: 'news:permissions:a/b', at: 'x' });
    store.tell('news:permissions:a/b');
    store.putSilently({ _id: 'news:session:s', expires_at: START + 1 });
    store.tell('news:session:s');
    store.putSilently({ _id: 'used:k', last_used: 'x' });
    store.tell('used:k');
    users.change({ id: 'org.couchdb.user:jürgen', deleted: true, doc: undefined });
    users.change({ id: '_design/_auth', deleted: false, doc: {} });
    assert.deepEqual(changeCount, [
      { kind: 'permissions', database: 'a/b' },
      session('s', START + 1),
      { kind: 'user', name: 'jürgen' },
    ]);
  });

  it('knows since when no news arrives', async () => {
    assert.equal(bus.upUntil, -Infinity);
    await up();
    assert.equal(bus.upUntil, Infinity);
    users.state(false);
    assert.equal(bus.upUntil, START);
  });

  it('hears of sessions that ended before it began, and counts as up only then', async () => {
    store.putSilently({ _id: 'news:session:ended', expires_at: START + 1 });
    store.putSilently({ _id: 'news:session:long over', expires_at: START });
    store.putSilently({ _id: 'news:session:damaged', expires_at: 'soon' });
    store.away = true;
    store.setUp(true);
    users.state(true);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(bus.up, false);
    store.away = false;
    await until(() => bus.up);
    assert.deepEqual(changeCount, [session('ended', START + 1)]);
  });

  it('is down at once when either feed is', async () => {
    await up();
    users.state(false);
    assert.equal(bus.up, false);
    users.state(true);
    store.setUp(false);
    assert.equal(bus.up, false);
    await up();
    assert.deepEqual(states, [true, false, true, false, true]);
  });

  it('keeps news of permissions while the store is away, and writes it when it is back', async () => {
    store.away = true;
    await bus.publish({ kind: 'permissions', database: 'one' });
    await bus.publish({ kind: 'permissions', database: 'two' });
    assert.equal(store.documents.size, 0);
    assert.deepEqual(reports, [
      'News for other replicas must wait; waiting: 1',
      'News for other replicas must wait; waiting: 2',
    ]);
    store.away = false;
    await until(() => store.documents.size === 2);
  });

  it('does not say that a session has ended before that is written down', async () => {
    store.away = true;
    await assert.rejects(bus.publish(session('s')), Unavailable);
    assert.deepEqual(changeCount, [session('s')]);
    store.away = false;
    await until(() => store.documents.has('news:session:s'));
  });

  it('writes over another replica that tells the same at the same time', async () => {
    let others = 3;
    store.beforeWrite = ({ _id }) => {
      if (others-- > 0) store.putSilently({ _id, at: 'theirs' });
    };
    await bus.publish({ kind: 'permissions', database: 'a' });
    assert.equal(store.documents.get('news:permissions:a')?.['at'], '2030-01-01T00:00:00.000Z');
  });
});

describe('what was read at second 1000, for 300 seconds with news and 2 without, is known to hold', () => {
  for (const [when, upUntil, until] of [
    ['for its time while news arrive', Infinity, 1300],
    ['for its short time where none ever did', -Infinity, 1002],
    ['for its short time where they ceased before it was read', 900, 1002],
    ['until they ceased', 1200, 1200],
    ['for its short time where they ceased soon after', 1001, 1002],
    ['for no more than its time where they ceased later', 2000, 1300],
  ] as const) {
    it(when, () => {
      assert.equal(holdsUntil({ upUntil: upUntil * 1000 }, 1_000_000, 300, 2), until * 1000);
    });
  }
});
