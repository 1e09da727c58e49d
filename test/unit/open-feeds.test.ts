// Pins when an open feed is ended: by news that concerns it, by a sweep, and after too long an ignorance; and that nothing else ends it.
import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { type Endpoint } from '../../src/endpoints/endpoint.ts';
import { type News } from '../../src/identity/news.ts';
import { createOpenFeeds, type OpenFeed, type OpenFeedsOptions } from '../../src/identity/open-feeds.ts';
import { type Principal } from '../../src/identity/principal.ts';

const key: Principal = { kind: 'key', name: 'alpha' };
const user: Principal = { kind: 'user', name: 'alice', roles: [] };
const endpoint = { id: 'changes' } as Endpoint;

interface Desk {
  readonly listen: (listener: (news: News) => void) => void;
  readonly tell: (news: News) => Promise<void>;
}

function newsDesk(): Desk {
  const listeners: ((news: News) => void)[] = [];
  return {
    listen: (listener) => void listeners.push(listener),
    tell: async (news) => {
      for (const listener of listeners) listener(news);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

function watch(over: Partial<OpenFeedsOptions> = {}) {
  const desk = newsDesk();
  const feeds = createOpenFeeds({ news: desk, stillPermitted: () => false, outageSeconds: 60, ...over });
  const cuts: string[] = [];
  const open = (name: string, feed: Partial<OpenFeed>): (() => void) =>
    feeds.register({
      principal: key,
      database: 'db',
      sessionId: undefined,
      keyVersion: undefined,
      endpoint,
      identity: 'marker',
      cut: (reason) => cuts.push(`${name}: ${reason}`),
      ...feed,
    });
  return { desk, feeds, cuts, open };
}

describe('open feeds', () => {
  const cases: readonly [string, News, Partial<OpenFeed>, boolean][] = [
    ['news of its database', { kind: 'permissions', database: 'db' }, {}, true],
    ['news of another database', { kind: 'permissions', database: 'other' }, {}, false],
    ['news of its key', { kind: 'key', name: 'alpha' }, {}, true],
    ['news of another key', { kind: 'key', name: 'beta' }, {}, false],
    ["news of a key with a user's name", { kind: 'key', name: 'alice' }, { principal: user }, false],
    ['news of its user', { kind: 'user', name: 'alice' }, { principal: user }, true],
    ["news of a user with a key's name", { kind: 'user', name: 'alpha' }, {}, false],
    ['the end of its session', { kind: 'session', id: 's1', expiresAt: 1 }, { sessionId: 's1' }, true],
    ['the end of another session', { kind: 'session', id: 's2', expiresAt: 1 }, { sessionId: 's1' }, false],
    ['the end of a session, asked with Basic', { kind: 'session', id: 's1', expiresAt: 1 }, {}, false],
  ];
  for (const [what, news, feed, ends] of cases) {
    it(`${ends ? 'end on' : 'outlive'} ${what} when they are not permitted any more`, async () => {
      const { desk, cuts, open, feeds } = watch();
      open('feed', feed);
      await desk.tell(news);
      assert.deepEqual(cuts, ends ? ['feed: revoked'] : []);
      assert.equal(feeds.count, ends ? 0 : 1);
      feeds.close();
    });
  }

  it('outlive news that still permits them, decided at once or later', async () => {
    for (const answer of [true, Promise.resolve(true)]) {
      const { desk, cuts, open, feeds } = watch({ stillPermitted: () => answer });
      open('feed', {});
      await desk.tell({ kind: 'permissions', database: 'db' });
      assert.deepEqual(cuts, []);
      feeds.close();
    }
  });

  it('of a database that CouchDB guards itself end on news of it: only CouchDB knows who may still have them', async () => {
    const { desk, cuts, open, feeds } = watch({ stillPermitted: () => true });
    open('own', { identity: 'own' });
    open('marked', {});
    await desk.tell({ kind: 'permissions', database: 'other' });
    assert.deepEqual(cuts, []);
    await desk.tell({ kind: 'permissions', database: 'db' });
    assert.deepEqual(cuts, ['own: revoked']);
    feeds.close();
  });

  it('decide once more when news comes while a decision is under way', async () => {
    let answer: (permitted: boolean) => void = () => undefined;
    let asked = 0;
    const { desk, cuts, open, feeds } = watch({
      stillPermitted: () => {
        asked += 1;
        return asked === 1 ? new Promise<boolean>((resolve) => (answer = resolve)) : false;
      },
    });
    open('feed', {});
    await desk.tell({ kind: 'permissions', database: 'db' });
    await desk.tell({ kind: 'permissions', database: 'db' });
    assert.equal(asked, 1);
    answer(true);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(cuts, ['feed: revoked']);
    feeds.close();
  });

  it('of one caller, on one database and for one row are decided once a look', async () => {
    let asked = 0;
    const { desk, cuts, open, feeds } = watch({
      stillPermitted: (feed) => {
        asked += 1;
        return feed.endpoint.id === 'changes';
      },
    });
    open('one', {});
    open('two', {});
    open('three', { endpoint: { ...endpoint, id: 'att-get' } });
    await desk.tell({ kind: 'permissions', database: 'db' });
    assert.equal(asked, 2);
    assert.deepEqual(cuts, ['three: revoked']);
    feeds.close();
  });

  it('are not cut after they ended by themselves', async () => {
    let answer: (permitted: boolean) => void = () => undefined;
    const { desk, cuts, open, feeds } = watch({
      stillPermitted: () => new Promise<boolean>((resolve) => (answer = resolve)),
    });
    const end = open('feed', {});
    await desk.tell({ kind: 'permissions', database: 'db' });
    end();
    answer(false);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(cuts, []);
    assert.equal(feeds.count, 0);
    feeds.close();
  });

  it('end at a sweep without any news, and go on for the time of an outage when it cannot be known', () => {
    mock.timers.enable({ apis: ['setInterval'] });
    let time = 0;
    let permitted: () => boolean = () => true;
    const { cuts, open, feeds } = watch({
      stillPermitted: () => permitted(),
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
