// H36: a worker keeps the keys in use in memory and reads the others from the store. No read may undo a change that the feed
// has reported, and no guessed name may push out a key in use, hide a new key, or use up the reads of other callers.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { TooBusy, Unavailable } from '../../src/http-errors.ts';
import { createKeyStore, type RunningKeyStore } from '../../src/identity/key-store.ts';
import { makeKeyName } from '../../src/identity/secret.ts';
import { type BusMessage } from '../../src/invalidation/bus.ts';
import { MemoryStore } from '../support/memory-store.ts';

const order = { label: null, expiresAt: null, by: 'admin' };
const START = Date.parse('2030-01-01T10:30:00Z');
const FALLBACK_MS = 2000;
const KEPT = 3;

interface Made {
  readonly key: string;
  readonly password: string;
}

describe('keys that are not in memory (H36)', () => {
  let store: MemoryStore;
  /** Makes the keys, as another replica. */
  let other: RunningKeyStore;
  let keys: RunningKeyStore;
  let now: number;
  let listeners: ((item: BusMessage) => void)[];
  let delivered: BusMessage[];

  function open(deliver: (item: BusMessage) => void): RunningKeyStore {
    return createKeyStore({
      store,
      couch: {
        ask: () => Promise.resolve({ status: 404, body: undefined }),
        follow: () => ({ close: () => undefined }),
      },
      bus: {
        onMessage: (listener) => listeners.push(listener),
        deliver,
        publish: () => Promise.resolve(),
      },
      fallbackCacheSeconds: FALLBACK_MS / 1000,
      outageCacheSeconds: 60,
      keyCacheEntries: KEPT,
      now: () => now,
    });
  }

  beforeEach(async () => {
    now = START;
    delivered = [];
    listeners = [];
    store = new MemoryStore();
    other = open(() => undefined);
    listeners = [];
    keys = open((item) => {
      delivered.push(item);
      for (const listener of listeners) listener(item);
    });
    store.start();
    await settle();
    // Reads just after the start of the feed are not covered by it yet.
    now += FALLBACK_MS;
  });
  afterEach(() => Promise.all([keys.close(), other.close()]));

  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const outcome = async (name: string, password: string, caller = 'c'): Promise<string> =>
    (await keys.verify(name, password, caller)).outcome;
  const reads = (): number => store.asked.filter((each) => each.startsWith('read ')).length;
  /** Reads of the store that a password check costs. */
  async function costOf(name: string, password: string): Promise<number> {
    const before = reads();
    await outcome(name, password);
    return reads() - before;
  }
  /** A key in the store that `keys` has never seen: its row is older than the start of the feed. */
  async function makeUnseen(): Promise<Made> {
    store.muted = true;
    const made = await other.create(order);
    store.muted = false;
    return made;
  }
  /** Holds the answers of reads whose id has this start; the returned function lets them go. */
  function hold(start: string): { readonly held: Promise<void>; readonly release: () => void } {
    let release = (): void => undefined;
    let reached = (): void => undefined;
    const held = new Promise<void>((resolve) => (reached = resolve));
    const released = new Promise<void>((resolve) => (release = resolve));
    store.afterRead = (id) => {
      if (!id.startsWith(start)) return;
      reached();
      return released;
    };
    return { held, release };
  }
  /** What a replica sees while the copies of the store that answer reads lack a change that the feed has. */
  function deliverButAnswerOld(document: { readonly _id: string; readonly [field: string]: unknown }): void {
    const old = store.documents.get(document._id);
    store.putSilently(document);
    store.deliver(document._id);
    if (old === undefined) store.documents.delete(document._id);
    else store.documents.set(document._id, old);
  }
  const revocationOf = (key: string) => ({ _id: `revoked:${key}`, revoked_by: 'elsewhere' });

  it('are read when they are used, and stay in memory while they are among the last used', async () => {
    const made = [await makeUnseen(), await makeUnseen(), await makeUnseen(), await makeUnseen()];
    for (const { key, password } of made) assert.equal(await costOf(key, password), 2);
    assert.equal(keys.stats.entries, KEPT);
    now += 10 * FALLBACK_MS;
    const [first, ...rest] = made as [Made, ...Made[]];
    for (const { key, password } of rest) {
      const verdict = keys.verify(key, password);
      assert.ok(!(verdict instanceof Promise), 'must not be a Promise');
      assert.equal(verdict.outcome, 'accepted');
      assert.equal(keys.holds(key, verdict.version), true);
    }
    assert.equal(await costOf(first.key, first.password), 2);
    assert.equal(keys.stats.entries, KEPT);
  });

  it('are not evicted by guessed names, nor by wrong passwords for names that exist', async () => {
    const used = await makeUnseen();
    const others = await Promise.all(Array.from({ length: 10 }, makeUnseen));
    assert.equal(await outcome(used.key, used.password), 'accepted');
    for (const { key } of others) assert.equal(await outcome(key, 'wrong'), 'wrong');
    for (let n = 0; n < 10; n += 1) assert.equal(await outcome(makeKeyName(), 'x'), 'notAKey');
    assert.equal(keys.stats.entries, 1);
    assert.equal(await costOf(used.key, used.password), 0);
  });

  it('cost the same reads as names of nobody and of revoked keys, however often they are tried', async () => {
    const { key } = await makeUnseen();
    const revoked = await makeUnseen();
    store.muted = true;
    await other.revoke(revoked.key, 'admin');
    const costs: Record<string, number[]> = {};
    for (const name of [key, revoked.key, makeKeyName()])
      costs[name] = [await costOf(name, 'x'), await costOf(name, 'y'), await costOf(name, 'z')];
    now += FALLBACK_MS;
    for (const [name, each] of Object.entries(costs)) each.push(await costOf(name, 'x'));
    assert.deepEqual(Object.values(costs), Array(3).fill([2, 0, 0, 2]));
  });

  for (const [when, during] of [
    ['during the read', true],
    ['before the read', false],
  ] as const) {
    it(`stay revoked if the feed says so ${when}, whatever the copies of the store say`, async () => {
      const { key, password } = await makeUnseen();
      const { held, release } = hold(during ? 'revoked:' : 'none');
      const early = during ? outcome(key, password) : undefined;
      if (during) await held;
      deliverButAnswerOld(revocationOf(key));
      store.deliver(`key:${key}`);
      assert.deepEqual(delivered.slice(0, 1), [{ kind: 'key', name: key }]);
      // Changes of other keys may push the revocation out of what is remembered, but not out of the read.
      if (during) for (let n = 0; n <= 10_000; n += 1) store.deliver(`key:${makeKeyName()}`);
      release();
      if (early !== undefined) {
        assert.equal(await early, 'wrong');
        return;
      }
      assert.equal(await outcome(key, password), 'wrong');
      now += 10 * FALLBACK_MS;
      assert.equal(await outcome(key, password), 'wrong');
      assert.equal(await keys.holds(key, 'any'), false);
    });

    it(`lose a rotated password if the feed says so ${when}, and have the new one`, async () => {
      const { key, password } = await makeUnseen();
      const { held, release } = hold(during ? 'revoked:' : 'none');
      const early = during ? outcome(key, password) : undefined;
      if (during) await held;
      const old = store.documents.get(`key:${key}`);
      store.muted = true;
      store.afterRead = () => undefined;
      const rotated = await other.rotate(key, 0);
      const rotatedDocument = store.documents.get(`key:${key}`);
      assert.ok(rotated && old && rotatedDocument, 'the key is missing');
      store.deliver(`key:${key}`);
      store.documents.set(`key:${key}`, old);
      store.deliver(`key:${key}`);
      release();
      if (early !== undefined) assert.equal(await early, 'wrong');
      assert.equal(await outcome(key, rotated.password), 'accepted');
      assert.equal(await outcome(key, password), 'wrong');
    });

    it(`are good at once if the feed reports them ${when}`, async () => {
      const { key, password } = await makeUnseen();
      const document = store.documents.get(`key:${key}`);
      assert.ok(document, 'document is missing');
      store.documents.delete(`key:${key}`);
      const { held, release } = hold(during ? 'revoked:' : 'none');
      const early = during ? outcome(key, password) : undefined;
      if (during) await held;
      else assert.equal(await outcome(key, password), 'notAKey');
      store.documents.set(`key:${key}`, document);
      store.deliver(`key:${key}`);
      store.documents.delete(`key:${key}`);
      release();
      if (early !== undefined) assert.equal(await early, 'accepted');
      assert.equal(await outcome(key, password), 'accepted');
    });
  }

  it('are good at their first use if only the feed has them yet', async () => {
    const { key, password } = await makeUnseen();
    store.deliver(`key:${key}`);
    store.documents.delete(`key:${key}`);
    assert.equal(await outcome(key, password), 'accepted');
  });

  it('are read again if another worker says during the read that they have changed', async () => {
    const { key, password } = await makeUnseen();
    const { held, release } = hold('revoked:');
    const early = outcome(key, password);
    await held;
    store.putSilently(revocationOf(key));
    for (const listener of listeners) listener({ kind: 'key', name: key });
    store.afterRead = () => undefined;
    release();
    assert.equal(await early, 'wrong');
  });

  it('end in memory and in sessions when the feed revokes them, and when it deletes them', async () => {
    for (const end of [
      (key: string) => store.putSilently(revocationOf(key)),
      (key: string) => void store.documents.delete(`key:${key}`),
    ]) {
      const { key, password } = await makeUnseen();
      const verdict = await keys.verify(key, password);
      assert.equal(verdict.outcome, 'accepted');
      end(key);
      store.deliver(store.documents.has(`revoked:${key}`) ? `revoked:${key}` : `key:${key}`);
      assert.equal(await keys.holds(key, verdict.version), false);
      assert.notEqual(await outcome(key, password), 'accepted');
    }
  });

  it('are good for two seconds at most after they are created on another replica whose feed is away', async () => {
    store.setUp(false);
    const name = makeKeyName();
    const { key, password } = await makeUnseen();
    assert.equal(await outcome(name, password), 'notAKey');
    store.putSilently({ ...store.documents.get(`key:${key}`), _id: `key:${name}` });
    assert.equal(await outcome(name, password), 'notAKey');
    now += FALLBACK_MS;
    assert.equal(await outcome(name, password), 'accepted');
  });

  it('are read again after the feed is up for the first time: it does not report what was before', async () => {
    store = new MemoryStore();
    store.muted = true;
    other = open(() => undefined);
    keys = open(() => undefined);
    const { key, password } = await other.create(order);
    assert.equal(await outcome(key, password), 'accepted');
    store.start();
    store.putSilently(revocationOf(key));
    assert.equal(await outcome(key, password), 'wrong');
  });

  it('are read again two seconds after that: the last change before may have reached one copy only', async () => {
    store = new MemoryStore();
    other = open(() => undefined);
    keys = open(() => undefined);
    const { key, password } = await makeUnseen();
    store.start();
    assert.equal(await outcome(key, password), 'accepted');
    store.putSilently(revocationOf(key));
    now += FALLBACK_MS;
    assert.equal(await outcome(key, password), 'wrong');
  });

  it('do not come back by what the feed said earlier, if their documents are deleted while it is away', async () => {
    const { key, password } = await makeUnseen();
    store.deliver(`key:${key}`);
    store.setUp(false);
    store.documents.delete(`key:${key}`);
    now += FALLBACK_MS;
    assert.equal(await outcome(key, password), 'notAKey');
  });

  it('are 503 while CouchDB is away; those in memory decide for the stated time, unless they are said to have changed', async () => {
    const used = await makeUnseen();
    const changed = await makeUnseen();
    const unused = await makeUnseen();
    for (const { key, password } of [used, changed]) assert.equal(await outcome(key, password), 'accepted');
    for (const listener of listeners) listener({ kind: 'key', name: changed.key });
    store.setUp(false);
    store.away = true;
    assert.equal(await outcome(used.key, used.password), 'accepted');
    for (const { key, password } of [changed, unused])
      await assert.rejects(outcome(key, password), Unavailable);
    now += 60_000;
    await assert.rejects(outcome(used.key, used.password), Unavailable);
  });

  it('are read a few at a time: a flood of guessed names is refused, and leaves room for other callers', async () => {
    const { key, password } = await makeUnseen();
    const used = await makeUnseen();
    assert.equal(await outcome(used.key, used.password), 'accepted');
    store.asked.length = 0;
    const { release } = hold('key:');
    const flood = Array.from({ length: 3000 }, () => outcome(makeKeyName(), 'x', 'attacker'));
    const refused = flood.map((each) =>
      each.then(
        () => undefined,
        (error: unknown) => error,
      ),
    );
    const sameName = makeKeyName();
    const same = [outcome(sameName, 'x', 'b'), outcome(sameName, 'y', 'b')];
    await settle();
    // Eight names of the flood and one of another caller, two documents each.
    assert.equal(reads(), 18);
    assert.equal(keys.stats.entries, 1);
    assert.equal(await costOf(used.key, used.password), 0);
    const cold = outcome(key, password, 'c');
    await settle();
    assert.equal(reads(), 20);
    release();
    assert.equal(await cold, 'accepted');
    assert.deepEqual(await Promise.all(same), ['notAKey', 'notAKey']);
    const errors = (await Promise.all(refused)).filter((error) => error !== undefined);
    assert.equal(errors.length, 3000 - 8 - 2048);
    assert.equal(
      errors.every((error) => error instanceof TooBusy),
      true,
    );
  });
});
