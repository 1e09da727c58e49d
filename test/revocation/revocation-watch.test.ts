// When a watched exchange is cut: on an invalidation that affects it, at a sweep, and after an outage; and
// that nothing else cuts it.
import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { type Endpoint } from '../../src/catalogue/endpoint.ts';
import { type BusMessage } from '../../src/invalidation/bus.ts';
import { RightsReduced } from '../../src/http-errors.ts';
import {
  createRevocationWatch,
  type WatchedExchange,
  type RevocationWatchOptions,
} from '../../src/revocation/revocation-watch.ts';
import { type Principal } from '../../src/principal/principal.ts';

const key: Principal = { kind: 'key', name: 'alpha' };
const user: Principal = { kind: 'user', name: 'alice', roles: [] };
const endpoint = { id: 'changes' } as Endpoint;

interface TestBus {
  readonly onMessage: (listener: (invalidation: BusMessage) => void) => void;
  readonly deliver: (invalidation: BusMessage) => Promise<void>;
}

function testBus(): TestBus {
  const listeners: ((invalidation: BusMessage) => void)[] = [];
  return {
    onMessage: (listener) => void listeners.push(listener),
    deliver: async (invalidation) => {
      for (const listener of listeners) listener(invalidation);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

function watch(over: Partial<RevocationWatchOptions> = {}) {
  const bus = testBus();
  const feeds = createRevocationWatch({ bus, isStillPermitted: () => false, outageSeconds: 60, ...over });
  const cuts: string[] = [];
  const open = (name: string, feed: Partial<WatchedExchange>): (() => void) =>
    feeds.register({
      principal: key,
      database: 'db',
      sessionId: undefined,
      keyVersion: undefined,
      userChanges: undefined,
      endpoint,
      identity: 'marker',
      cut: (reason) => cuts.push(`${name}: ${reason}`),
      ...feed,
    });
  return { bus, feeds, cuts, open };
}

describe('open feeds', () => {
  const cases: readonly [string, BusMessage, Partial<WatchedExchange>, boolean][] = [
    ['a change of its database', { kind: 'permissions', database: 'db' }, {}, true],
    ['a change of another database', { kind: 'permissions', database: 'other' }, {}, false],
    ['a change of its key', { kind: 'key', name: 'alpha' }, {}, true],
    ['a change of another key', { kind: 'key', name: 'beta' }, {}, false],
    ["a change of a key with a user's name", { kind: 'key', name: 'alice' }, { principal: user }, false],
    ['a change of its user', { kind: 'user', name: 'alice' }, { principal: user }, true],
    ["a change of a user with a key's name", { kind: 'user', name: 'alpha' }, {}, false],
    ['the end of its session', { kind: 'session', id: 's1', expiresAt: 1 }, { sessionId: 's1' }, true],
    ['the end of another session', { kind: 'session', id: 's2', expiresAt: 1 }, { sessionId: 's1' }, false],
    [
      'the end of a session, if authenticated with Basic',
      { kind: 'session', id: 's1', expiresAt: 1 },
      {},
      false,
    ],
  ];
  for (const [what, invalidation, feed, ends] of cases) {
    it(`${ends ? 'end on' : 'outlive'} ${what} when they are not permitted any more`, async () => {
      const { bus, cuts, open, feeds } = watch();
      open('feed', feed);
      await bus.deliver(invalidation);
      assert.deepEqual(cuts, ends ? ['feed: revoked'] : []);
      assert.equal(feeds.count, ends ? 0 : 1);
      feeds.close();
    });
  }

  it('outlive a change that still permits them, decided at once or later', async () => {
    for (const answer of [true, Promise.resolve(true)]) {
      const { bus, cuts, open, feeds } = watch({ isStillPermitted: () => answer });
      open('feed', {});
      await bus.deliver({ kind: 'permissions', database: 'db' });
      assert.deepEqual(cuts, []);
      feeds.close();
    }
  });

  it('are decided about when all listeners have the change, also those that began to listen later', async () => {
    const revoked = new Set<string>();
    const { bus, cuts, open, feeds } = watch({
      isStillPermitted: ({ principal }) => !revoked.has(principal.name),
    });
    // A cache: without the change, it would let the decision be made by the old key.
    bus.onMessage((invalidation) => {
      if (invalidation.kind === 'key') revoked.add(invalidation.name);
    });
    open('feed', {});
    await bus.deliver({ kind: 'key', name: 'alpha' });
    assert.deepEqual(cuts, ['feed: revoked']);
    feeds.close();
  });

  it('end on a change of their database if CouchDB decides itself (couchdb_auth_only): only CouchDB knows who is still permitted', async () => {
    const { bus, cuts, open, feeds } = watch({ isStillPermitted: () => true });
    open('own', { identity: 'own' });
    open('marked', {});
    await bus.deliver({ kind: 'permissions', database: 'other' });
    assert.deepEqual(cuts, []);
    await bus.deliver({ kind: 'permissions', database: 'db' });
    assert.deepEqual(cuts, ['own: revoked']);
    feeds.close();
  });

  it('are decided once more after an invalidation during a decision', async () => {
    let answer: (permitted: boolean) => void = () => undefined;
    let asked = 0;
    const { bus, cuts, open, feeds } = watch({
      isStillPermitted: () => {
        asked += 1;
        return asked === 1 ? new Promise<boolean>((resolve) => (answer = resolve)) : false;
      },
    });
    open('feed', {});
    await bus.deliver({ kind: 'permissions', database: 'db' });
    await bus.deliver({ kind: 'permissions', database: 'db' });
    assert.equal(asked, 1);
    answer(true);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(cuts, ['feed: revoked']);
    feeds.close();
  });

  it('decides once per check about all of one caller, database and endpoint', async () => {
    let asked = 0;
    const { bus, cuts, open, feeds } = watch({
      isStillPermitted: (feed) => {
        asked += 1;
        return feed.endpoint.id === 'changes';
      },
    });
    open('one', {});
    open('two', {});
    open('three', { endpoint: { ...endpoint, id: 'att-get' } });
    await bus.deliver({ kind: 'permissions', database: 'db' });
    assert.equal(asked, 2);
    assert.deepEqual(cuts, ['three: revoked']);
    feeds.close();
  });

  it('with a token that says too much are cut, others of the same caller and endpoint are not', async () => {
    for (const how of ['throws', 'rejects']) {
      const { bus, cuts, open, feeds } = watch({
        isStillPermitted({ privilege }) {
          if (privilege !== 'dbadmin') return true;
          if (how === 'throws') throw new RightsReduced();
          return Promise.reject(new RightsReduced());
        },
      });
      open('member', { privilege: 'member' });
      open('admin', { privilege: 'dbadmin' });
      open('member again', { privilege: 'member' });
      await bus.deliver({ kind: 'permissions', database: 'db' });
      assert.deepEqual(cuts, ['admin: rights reduced'], how);
      feeds.close();
    }
  });

  it('are not cut after they ended by themselves', async () => {
    let answer: (permitted: boolean) => void = () => undefined;
    const { bus, cuts, open, feeds } = watch({
      isStillPermitted: () => new Promise<boolean>((resolve) => (answer = resolve)),
    });
    const end = open('feed', {});
    await bus.deliver({ kind: 'permissions', database: 'db' });
    end();
    answer(false);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(cuts, []);
    assert.equal(feeds.count, 0);
    feeds.close();
  });

  it('end at a sweep without an invalidation, and continue for the outage time while a decision is not possible', () => {
    mock.timers.enable({ apis: ['setInterval'] });
    let time = 0;
    let permitted: () => boolean = () => true;
    const { cuts, open, feeds } = watch({
      isStillPermitted: () => permitted(),
      outageSeconds: 10,
      sweepMs: 1000,
      now: () => time,
    });
    const sweepAt = (seconds: number): void => {
      time = seconds * 1000;
      mock.timers.tick(1000);
    };
    open('first', {});
    sweepAt(1);
    permitted = () => {
      throw new Error('CouchDB is away');
    };
    sweepAt(2);
    sweepAt(11);
    assert.deepEqual(cuts, []);
    permitted = () => true;
    sweepAt(12);
    permitted = () => {
      throw new Error('CouchDB is away again');
    };
    sweepAt(13);
    sweepAt(22);
    assert.deepEqual(cuts, [], 'the second outage is counted from its own beginning');
    sweepAt(23);
    assert.deepEqual(cuts, ['first: could not be checked']);
    permitted = () => false;
    open('second', {});
    sweepAt(24);
    assert.deepEqual(cuts, ['first: could not be checked', 'second: revoked']);
    feeds.close();
    mock.timers.reset();
  });
});
