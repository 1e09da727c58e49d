// The invalidation bus: delivery to listeners, workers and other replicas, and retries while the store is
// away.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { type ChangeRow } from '../../src/couch/couch.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { createInvalidationBus, type RunningInvalidationBus } from '../../src/invalidation/store-bus.ts';
import { holdsUntil, type BusMessage } from '../../src/invalidation/bus.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { until } from '../support/until.ts';

const START = Date.parse('2030-01-01T00:00:00Z');
const session = (id: string, expiresAt = START + 600_000): BusMessage => ({
  kind: 'session',
  id,
  expiresAt,
});

describe('the invalidation bus', () => {
  let store: MemoryStore;
  let bus: RunningInvalidationBus;
  let received: BusMessage[];
  let states: boolean[];
  let users: { change: (row: ChangeRow) => void; state: (up: boolean) => void };
  let broadcast: (invalidation: BusMessage) => Promise<void>;
  let reports: [string, object][];

  beforeEach(() => {
    store = new MemoryStore();
    received = [];
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
      report: (message, fields) => reports.push([message, fields]),
      now: () => START,
    });
    bus.onMessage((invalidation) => received.push(invalidation));
    bus.start();
  });
  afterEach(() => bus.close());

  async function up(): Promise<void> {
    store.setUp(true);
    users.state(true);
    await until(() => bus.up);
  }

  it('delivers to the listeners before it waits for anything', () => {
    broadcast = () => new Promise(() => undefined);
    void bus.publish({ kind: 'key', name: 'k' });
    assert.deepEqual(received, [{ kind: 'key', name: 'k' }]);
  });

  it('stores permissions and ended sessions; keys and users have documents of their own', async () => {
    await bus.publish({ kind: 'permissions', database: 'a/b' });
    await bus.publish({ kind: 'permissions', database: 'a/b' });
    await bus.publish(session('s'));
    await bus.publish({ kind: 'key', name: 'k' });
    await bus.publish({ kind: 'user', name: 'u' });
    assert.deepEqual([...store.documents.keys()], ['news:permissions:a/b', 'news:session:s']);
    assert.equal(store.documents.get('news:session:s')?.['expires_at'], START + 600_000);
  });

  it('delivers what other replicas stored', async () => {
    await up();
    store.putSilently({ _id: 'news:permissions:a/b', at: 'x' });
    store.deliver('news:permissions:a/b');
    store.putSilently({ _id: 'news:session:s', expires_at: START + 1 });
    store.deliver('news:session:s');
    store.putSilently({ _id: 'used:k', last_used: 'x' });
    store.deliver('used:k');
    users.change({ id: 'org.couchdb.user:jürgen', deleted: true, doc: undefined });
    users.change({ id: '_design/_auth', deleted: false, doc: {} });
    assert.deepEqual(received, [
      { kind: 'permissions', database: 'a/b' },
      session('s', START + 1),
      { kind: 'user', name: 'jürgen' },
    ]);
  });

  it('records when it went down', async () => {
    assert.equal(bus.upUntil, -Infinity);
    await up();
    assert.equal(bus.upUntil, Infinity);
    users.state(false);
    assert.equal(bus.upUntil, START);
  });

  it('is up only after it has read the sessions that ended before its start', async () => {
    store.putSilently({ _id: 'news:session:ended', expires_at: START + 1 });
    store.putSilently({ _id: 'news:session:expired', expires_at: START });
    store.putSilently({ _id: 'news:session:damaged', expires_at: 'soon' });
    store.away = true;
    store.setUp(true);
    users.state(true);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(bus.up, false);
    store.away = false;
    await until(() => bus.up);
    assert.deepEqual(received, [session('ended', START + 1)]);
  });

  it('reports once that ended sessions cannot be read, and a fault beside it, without its message', async () => {
    store.putSilently({ _id: 'news:session:s', expires_at: START + 1 });
    store.away = true;
    store.setUp(true);
    users.state(true);
    await until(() => store.asked.length >= 3);
    const message = 'ended sessions cannot be read from the store yet';
    assert.deepEqual(reports, [[message, { detail: 'away' }]]);
    const each = mock.method(store, 'each', () => Promise.reject(new TypeError('secret')));
    await until(() => reports.length > 1);
    assert.match(JSON.stringify(reports[1]), /unexpected failure: TypeError at /);
    assert.doesNotMatch(JSON.stringify(reports), /secret/);
    each.mock.restore();
    store.away = false;
    await until(() => bus.up);
    assert.equal(reports.length, 2);
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

  it('keeps invalidations of permissions while the store is away, and stores them when it is back', async () => {
    store.away = true;
    await bus.publish({ kind: 'permissions', database: 'one' });
    await bus.publish({ kind: 'permissions', database: 'two' });
    assert.equal(store.documents.size, 0);
    assert.deepEqual(reports, [
      ['invalidations wait for CouchDB', { waiting: 1 }],
      ['invalidations wait for CouchDB', { waiting: 2 }],
    ]);
    store.away = false;
    await until(() => store.documents.size === 2);
  });

  it('rejects if the end of a session could not be stored', async () => {
    store.away = true;
    await assert.rejects(bus.publish(session('s')), Unavailable);
    assert.deepEqual(received, [session('s')]);
    store.away = false;
    await until(() => store.documents.has('news:session:s'));
  });

  it('writes again after a conflict with another replica', async () => {
    let others = 3;
    store.beforeWrite = ({ _id }) => {
      if (others-- > 0) store.putSilently({ _id, at: 'theirs' });
    };
    await bus.publish({ kind: 'permissions', database: 'a' });
    assert.equal(store.documents.get('news:permissions:a')?.['at'], '2030-01-01T00:00:00.000Z');
  });
});

describe('data read at second 1000, valid for 300 seconds with the bus up and 2 with it down, holds', () => {
  for (const [when, upUntil, until] of [
    ['for 300 seconds while the bus is up', Infinity, 1300],
    ['for 2 seconds if the bus was never up', -Infinity, 1002],
    ['for 2 seconds if the bus went down before the read', 900, 1002],
    ['until the bus went down', 1200, 1200],
    ['for 2 seconds if the bus went down soon after the read', 1001, 1002],
    ['for 300 seconds at most if the bus went down later', 2000, 1300],
  ] as const) {
    it(when, () => {
      assert.equal(holdsUntil({ upUntil: upUntil * 1000 }, 1_000_000, 300, 2), until * 1000);
    });
  }
});
