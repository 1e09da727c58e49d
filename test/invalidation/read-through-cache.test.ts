// How long a cached answer of CouchDB is used: while fresh, in an outage, and never after a drop.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ReadThrough, type ReadThroughOptions } from '../../src/invalidation/read-through-cache.ts';
import { TooBusy, Unavailable } from '../../src/http-errors.ts';

interface Pending {
  readonly key: string;
  readonly answer: (value: string) => void;
  readonly fail: (error: Error) => void;
}

function open(over: Partial<ReadThroughOptions<string>> = {}) {
  const clock = { time: 0 };
  const pending: Pending[] = [];
  const cache = new ReadThrough<string>({
    read: (key) => new Promise((answer, fail) => pending.push({ key, answer, fail })),
    freshUntil: (_value, readAt) => readAt + 10,
    outageMs: 100,
    keepSeconds: 3600,
    now: () => clock.time,
    ...over,
  });
  const fill = async (value: string): Promise<void> => {
    const asked = cache.get('k');
    pending.at(-1)?.answer(value);
    await asked;
  };
  return { cache, clock, pending, fill };
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a cached answer', () => {
  it('is returned at once while it is fresh, and read again afterwards', async () => {
    const { cache, clock, pending, fill } = open();
    await fill('one');
    clock.time = 9;
    assert.equal(cache.get('k'), 'one');
    clock.time = 10;
    const again = cache.get('k');
    assert.ok(again instanceof Promise, 'must be a Promise');
    pending.at(-1)?.answer('two');
    assert.equal(await again, 'two');
    assert.equal(pending.length, 2);
    assert.deepEqual(cache.stats, { hits: 1, misses: 2, keys: 1 });
  });

  it('is as old as the start of its read, not the end', async () => {
    const { cache, clock, pending } = open();
    const asked = cache.get('k');
    clock.time = 10;
    pending[0]?.answer('old');
    await asked;
    assert.ok(cache.get('k') instanceof Promise, 'must be a Promise');
  });

  it('is read once for all concurrent callers', async () => {
    const { cache, pending } = open();
    const asked = [1, 2, 3].map(async () => cache.get('k'));
    assert.equal(pending.length, 1);
    pending[0]?.answer('one');
    assert.deepEqual(await Promise.all(asked), ['one', 'one', 'one']);
  });

  it('is not restored by a read that started before a drop', async () => {
    const { cache, pending } = open();
    const early = cache.get('k');
    cache.drop('k');
    const late = cache.get('k');
    assert.equal(pending.length, 2, 'a call after the drop does not join the read from before it');
    pending[0]?.answer('revoked');
    await tick();
    assert.ok(cache.get('k') instanceof Promise, 'the early read stores nothing');
    pending[1]?.answer('new');
    assert.equal(await late, 'new');
    assert.equal(await early, 'new', 'a call before the drop gets the value from after it');
    assert.equal(cache.get('k'), 'new');
  });

  it('is replaced by a write during its read', async () => {
    const { cache, pending } = open();
    const early = cache.get('k');
    cache.put('k', 'written');
    pending[0]?.answer('read');
    assert.equal(await early, 'written');
    assert.equal(cache.get('k'), 'written');
  });

  it('is used in an outage for the outage time, is not read on every use, and then is an error', async () => {
    const { cache, clock, pending, fill } = open();
    await fill('one');
    clock.time = 50;
    const asked = cache.get('k');
    pending.at(-1)?.fail(new Unavailable('away'));
    assert.equal(await asked, 'one');
    assert.equal(cache.get('k'), 'one', 'held, not read again at once');
    clock.time = 1100;
    const late = cache.get('k');
    pending.at(-1)?.fail(new Unavailable('away'));
    await assert.rejects(async () => late, Unavailable);
  });

  it('is used in an outage for the outage time after it was last fresh, however long ago it was read', async () => {
    for (const [time, decides] of [
      [10_109, true],
      [10_110, false],
    ] as const) {
      const { cache, clock, pending, fill } = open({ freshUntil: (_value, readAt) => readAt + 10_010 });
      await fill('one');
      clock.time = time;
      const asked = cache.get('k');
      pending.at(-1)?.fail(new Unavailable('away'));
      assert.equal(
        await Promise.resolve(asked).then(
          () => true,
          () => false,
        ),
        decides,
        `at ${time}`,
      );
    }
  });

  it('is not used if Couchgate itself has too many reads: a caller could cause that', async () => {
    const { cache, clock, pending, fill } = open();
    await fill('one');
    clock.time = 50;
    const asked = cache.get('k');
    pending.at(-1)?.fail(new TooBusy());
    await assert.rejects(async () => asked, TooBusy);
    assert.ok(cache.get('k') instanceof Promise, 'nor is it held');
  });

  it('is not used in an outage after a drop', async () => {
    const { cache, clock, pending, fill } = open();
    await fill('one');
    clock.time = 50;
    const asked = cache.get('k');
    cache.drop('k');
    pending.at(-1)?.fail(new Unavailable('away'));
    await assert.rejects(async () => asked, Unavailable);
  });

  it('is not used if the read failed with another error', async () => {
    const { cache, clock, pending, fill } = open();
    await fill('one');
    clock.time = 50;
    const asked = cache.get('k');
    pending.at(-1)?.fail(new Error('broken'));
    await assert.rejects(async () => asked, /broken/);
  });

  it('is not cached if its freshness is zero or the cache is full', async () => {
    const none = open({ freshUntil: (_value, readAt) => readAt });
    await none.fill('one');
    assert.ok(none.cache.get('k') instanceof Promise, 'must be a Promise');
    const full = open({ maxKeys: 1 });
    full.cache.put('other', 'x');
    await full.fill('one');
    assert.ok(full.cache.get('k') instanceof Promise, 'must be a Promise');
    assert.equal(full.cache.get('other'), 'x');
  });

  it('is cached under names that JavaScript gives a meaning', () => {
    const { cache } = open();
    for (const key of ['__proto__', 'constructor', 'toString']) {
      assert.ok(cache.get(key) instanceof Promise, 'must be a Promise');
      cache.put(key, key);
      assert.equal(cache.get(key), key);
    }
  });
});
