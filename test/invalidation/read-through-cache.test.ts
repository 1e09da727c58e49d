// Pins how long an answer of CouchDB decides: fresh, in an outage, and never past a drop.
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

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a kept answer', () => {
  it('is given at once while it is fresh, and read again afterwards', async () => {
    const { cache, clock, pending, fill } = open();
    await fill('one');
    clock.time = 9;
    assert.equal(cache.get('k'), 'one');
    clock.time = 10;
    const again = cache.get('k');
    assert.ok(again instanceof Promise);
    pending.at(-1)?.answer('two');
    assert.equal(await again, 'two');
    assert.equal(pending.length, 2);
    assert.deepEqual(cache.stats, { hits: 1, misses: 2, keys: 1 });
  });

  it('is as old as the start of its reading, not its end', async () => {
    const { cache, clock, pending } = open();
    const asked = cache.get('k');
    clock.time = 10;
    pending[0]?.answer('old');
    await asked;
    assert.ok(cache.get('k') instanceof Promise);
  });

  it('is read once for all who ask at the same time', async () => {
    const { cache, pending } = open();
    const asked = [1, 2, 3].map(async () => cache.get('k'));
    assert.equal(pending.length, 1);
    pending[0]?.answer('one');
    assert.deepEqual(await Promise.all(asked), ['one', 'one', 'one']);
  });

  it('does not come back by a reading that began before a drop', async () => {
    const { cache, pending } = open();
    const early = cache.get('k');
    cache.drop('k');
    const late = cache.get('k');
    assert.equal(pending.length, 2, 'who asks after the drop does not join the reading from before it');
    pending[0]?.answer('revoked');
    await settle();
    assert.ok(cache.get('k') instanceof Promise, 'the early reading fills nothing');
    pending[1]?.answer('new');
    assert.equal(await late, 'new');
    assert.equal(await early, 'new', 'who asked before the drop gets what is true after it');
    assert.equal(cache.get('k'), 'new');
  });

  it('gives way to what was written while it was being read', async () => {
    const { cache, pending } = open();
    const early = cache.get('k');
    cache.put('k', 'written');
    pending[0]?.answer('read');
    assert.equal(await early, 'written');
    assert.equal(cache.get('k'), 'written');
  });

  it('still decides in an outage for its time, is not asked for on every use, and then is an error', async () => {
    const { cache, clock, pending, fill } = open();
    await fill('one');
    clock.time = 50;
    const asked = cache.get('k');
    pending.at(-1)?.fail(new Unavailable('away'));
    assert.equal(await asked, 'one');
    assert.equal(cache.get('k'), 'one', 'held, not asked for again at once');
    clock.time = 1100;
    const late = cache.get('k');
    pending.at(-1)?.fail(new Unavailable('away'));
    await assert.rejects(async () => late, Unavailable);
  });

  it('decides in an outage for its time from when it was last fresh, however long before it was read', async () => {
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

  it('does not decide where it is Couchgate that has too many readings: a caller could bring that about', async () => {
    const { cache, clock, pending, fill } = open();
    await fill('one');
    clock.time = 50;
    const asked = cache.get('k');
    pending.at(-1)?.fail(new TooBusy());
    await assert.rejects(async () => asked, TooBusy);
    assert.ok(cache.get('k') instanceof Promise, 'nor is it held');
  });

  it('does not decide in an outage after a drop', async () => {
    const { cache, clock, pending, fill } = open();
    await fill('one');
    clock.time = 50;
    const asked = cache.get('k');
    cache.drop('k');
    pending.at(-1)?.fail(new Unavailable('away'));
    await assert.rejects(async () => asked, Unavailable);
  });

  it('does not decide when the answer was an error of another kind', async () => {
    const { cache, clock, pending, fill } = open();
    await fill('one');
    clock.time = 50;
    const asked = cache.get('k');
    pending.at(-1)?.fail(new Error('broken'));
    await assert.rejects(async () => asked, /broken/);
  });

  it('is not kept at all where it is fresh for no time, or where there is no room', async () => {
    const none = open({ freshUntil: (_value, readAt) => readAt });
    await none.fill('one');
    assert.ok(none.cache.get('k') instanceof Promise);
    const full = open({ maxKeys: 1 });
    full.cache.put('other', 'x');
    await full.fill('one');
    assert.ok(full.cache.get('k') instanceof Promise);
    assert.equal(full.cache.get('other'), 'x');
  });

  it('is kept under names that JavaScript gives a meaning of its own', () => {
    const { cache } = open();
    for (const key of ['__proto__', 'constructor', 'toString']) {
      assert.ok(cache.get(key) instanceof Promise);
      cache.put(key, key);
      assert.equal(cache.get(key), key);
    }
  });
});
