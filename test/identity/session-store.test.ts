// Pins which sessions are over before their time.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CouchAnswer } from '../../src/couch/couch.ts';
import { type TooManyRequests, Unavailable } from '../../src/http-errors.ts';
import { type BusMessage } from '../../src/invalidation/bus.ts';
import { createSessionStore } from '../../src/identity/session-store.ts';

const MISSING: CouchAnswer = { status: 404, body: { error: 'not_found', reason: 'missing' } };

function open() {
  const state = { time: 0, up: true, answer: MISSING as CouchAnswer | Error, publish: Promise.resolve() };
  const asked: string[] = [];
  const told: BusMessage[] = [];
  const listeners: ((bus: BusMessage) => void)[] = [];
  const tell = (bus: BusMessage): void => listeners.forEach((listen) => listen(bus));
  const store = createSessionStore({
    couch: {
      ask: ({ path }) => {
        asked.push(path);
        return state.answer instanceof Error ? Promise.reject(state.answer) : Promise.resolve(state.answer);
      },
    },
    bus: {
      onMessage: (listener) => void listeners.push(listener),
      publish: (bus) => {
        told.push(bus);
        tell(bus);
        return state.publish;
      },
      get up() {
        return state.up;
      },
      get upUntil() {
        return state.up ? Infinity : -Infinity;
      },
    },
    storeDatabase: 'couchgate',
    sessionTimeoutSeconds: 600,
    securityCacheSeconds: 300,
    fallbackCacheSeconds: 2,
    outageCacheSeconds: 60,
    now: () => state.time,
  });
  return { store, state, asked, told, tell };
}

describe('a session', () => {
  it('that was begun here is open without asking', () => {
    const { store, asked } = open();
    const ids = [store.begin(), store.begin()];
    assert.notEqual(ids[0], ids[1]);
    assert.deepEqual(
      ids.map((id) => store.isEnded(id)),
      [false, false],
    );
    assert.deepEqual(asked, []);
  });

  it('that was begun elsewhere is asked for once, and again after a moment while no news comes', async () => {
    const { store, state, asked } = open();
    assert.equal(await store.isEnded('x'), false);
    assert.equal(store.isEnded('x'), false);
    assert.deepEqual(asked, ['/couchgate/news%3Asession%3Ax']);
    state.up = false;
    state.time += 2000;
    state.answer = { status: 200, body: {} };
    assert.equal(await store.isEnded('x'), true);
  });

  it('ends with the invalidation if it was ended at another replica', async () => {
    const { store, tell } = open();
    assert.equal(await store.isEnded('x'), false);
    tell({ kind: 'session', id: 'x', expiresAt: 1 });
    assert.equal(store.isEnded('x'), true);
  });

  it('that is ended is over here for good, told to all, though the telling fails', async () => {
    const { store, state, told } = open();
    const id = store.begin();
    state.publish = Promise.reject(new Unavailable('away'));
    await assert.rejects(store.end(id, 'user alice'), Unavailable);
    assert.equal(store.isEnded(id), true);
    state.time += 599_000;
    state.up = false;
    assert.equal(store.isEnded(id), true);
    assert.deepEqual(told, [{ kind: 'session', id, expiresAt: 720_000 }]);
  });

  it('that is ended again is not stored again, unless the first time failed', async () => {
    const { store, state, told } = open();
    const id = store.begin();
    state.publish = Promise.reject(new Unavailable('away'));
    await assert.rejects(store.end(id, 'user alice'), Unavailable);
    state.publish = Promise.resolve();
    await store.end(id, 'user alice');
    await store.end(id, 'user alice');
    assert.equal(told.length, 2);
  });

  it('cannot be ended while the store keeps 1000 of the same principal – 429, and it stays open', async () => {
    const { store, state, told } = open();
    for (let count = 0; count < 1000; count += 1) {
      await store.end(store.begin(), 'user alice');
      if (count === 0) state.time += 1000;
    }
    const id = store.begin();
    assert.throws(
      () => void store.end(id, 'user alice'),
      (error: TooManyRequests) => {
        assert.equal(error.status, 429);
        // The session time of 600 s, two minutes, and an hour, less the second that has passed.
        assert.deepEqual(error.headers, { 'Retry-After': '4319' });
        return true;
      },
    );
    assert.equal(store.isEnded(id), false);
    assert.equal(told.length, 1000);
    await store.end(store.begin(), 'user bob');
    state.time += 4_319_000;
    await store.end(id, 'user alice');
    assert.equal(store.isEnded(id), true);
    assert.equal(told.length, 1002);
  });

  it('cannot be checked without the store: an error, not an open session', async () => {
    const { store, state } = open();
    for (const answer of [
      { status: 404, body: { error: 'not_found', reason: 'Database does not exist.' } },
      { status: 401, body: {} },
      new Unavailable('away'),
    ]) {
      state.answer = answer;
      await assert.rejects(async () => store.isEnded('x'), Unavailable);
    }
  });
});
