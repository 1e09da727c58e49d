// What the key store decides when the cluster is away, short of nodes, or known to others before it is to us.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Unavailable } from '../../src/http-errors.ts';
import { type KeyVerdict } from '../../src/identity/api-key.ts';
import { createKeyStore, type RunningKeyStore } from '../../src/identity/key-store.ts';
import { createInvalidationBus, type RunningInvalidationBus } from '../../src/invalidation/store-bus.ts';
import { type BusMessage } from '../../src/invalidation/bus.ts';
import { makeKeyName } from '../../src/identity/secret.ts';
import { type CouchRequest } from '../../src/couch/couch.ts';
import { MemoryStore } from '../support/memory-store.ts';

const order = { label: null, expiresAt: null, by: 'admin' };
const START = Date.parse('2030-01-01T10:30:00Z');
const HOUR = 3_600_000;

describe('the key store', () => {
  let store: MemoryStore;
  let bus: RunningInvalidationBus;
  let keys: RunningKeyStore;
  let now: number;
  let userNames: Set<string>;
  let broadcasts: BusMessage[];
  let broadcast: (bus: BusMessage) => Promise<void>;

  /** A process that works on `store`. */
  function open(): RunningKeyStore {
    const couch = {
      ask: ({ path }: CouchRequest) =>
        Promise.resolve({
          status: userNames.has(decodeURIComponent(path).slice('/_users/org.couchdb.user:'.length))
            ? 200
            : 404,
          body: undefined,
        }),
      follow: () => ({ close: () => undefined }),
    };
    const clock = (): number => now;
    bus = createInvalidationBus({
      couch,
      store,
      workerChannel: { broadcast: (bus) => broadcast(bus) },
      report: () => undefined,
      now: clock,
    });
    return createKeyStore({
      couch,
      store,
      bus,
      fallbackCacheSeconds: 2,
      outageCacheSeconds: 60,
      keyCacheEntries: 100_000,
      now: clock,
    });
  }

  beforeEach(async () => {
    now = START;
    userNames = new Set();
    broadcasts = [];
    broadcast = (invalidation) => Promise.resolve(void broadcasts.push(invalidation));
    store = new MemoryStore();
    keys = open();
    store.start();
    await settle();
    store.asked.length = 0;
  });
  afterEach(async () => {
    bus.close();
    await keys.close();
  });

  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const outcome = async (name: string, password: string): Promise<KeyVerdict['outcome']> =>
    (await keys.verify(name, password)).outcome;
  async function versionOf(name: string, password: string): Promise<string> {
    const verdict = await keys.verify(name, password);
    assert.equal(verdict.outcome, 'accepted');
    return verdict.version;
  }

  it('decides in memory, without a question, while the feed is up', async () => {
    const { key, password } = await keys.create(order);
    store.asked.length = 0;
    const verdict = keys.verify(key, password) as KeyVerdict;
    assert.equal(verdict.outcome, 'accepted');
    assert.equal(keys.holds(key, verdict.version), true);
    assert.equal(keys.isKeyName(key), true);
    assert.deepEqual(keys.verify('admin', password), { outcome: 'notAKey' });
    assert.deepEqual(store.asked, []);
  });

  it('keeps a digest and nothing else of a password', async () => {
    const { key, password } = await keys.create({ ...order, label: 'sensor' });
    const text = JSON.stringify([...store.documents.values()]);
    assert.equal(text.includes(password), false);
    assert.match(text, /"digests":\[\{"salt":"[0-9a-f]{32}","digest":"[0-9a-f]{64}","expires_at":null\}\]/);
    assert.equal((await keys.describe(key))?.label, 'sensor');
  });

  it('asks CouchDB once for a name that might be a new key of another replica', async () => {
    const name = makeKeyName();
    assert.equal(await outcome(name, 'x'), 'notAKey');
    assert.deepEqual(store.asked, [`read key:${name}`, `read revoked:${name}`]);
    assert.deepEqual(keys.verify(name, 'x'), { outcome: 'notAKey' });
    assert.equal(store.asked.length, 2);
  });

  it('learns of a password that another replica made a moment ago', async () => {
    const { key, password } = await keys.create(order);
    const other = open();
    await settle();
    store.muted = true;
    const rotated = await keys.rotate(key, 0);
    assert.ok(rotated, 'rotated is missing');
    assert.equal((await other.verify(key, rotated.password)).outcome, 'accepted');
    assert.equal((await other.verify(key, password)).outcome, 'wrong');
    await other.close();
  });

  it('does not ask again and again for wrong passwords', async () => {
    const { key } = await keys.create(order);
    store.asked.length = 0;
    for (let i = 0; i < 10; i += 1) assert.equal(await outcome(key, `wrong${i}`), 'wrong');
    assert.equal(store.asked.length, 2);
  });

  it('ends key and password at their time', async () => {
    const { key, password } = await keys.create({ ...order, expiresAt: new Date(now + HOUR).toISOString() });
    const version = await versionOf(key, password);
    const rotated = await keys.rotate(key, 60);
    assert.ok(rotated, 'rotated is missing');
    now += 60_000;
    assert.equal(await outcome(key, password), 'wrong');
    assert.equal(await keys.holds(key, version), false);
    assert.equal(await outcome(key, rotated.password), 'accepted');
    now += HOUR;
    assert.equal(await outcome(key, rotated.password), 'expired');
    assert.equal(await outcome(key, password), 'wrong');
    assert.equal(await keys.holds(key, await Promise.resolve(version)), false);
  });

  it('says until when a password is good', async () => {
    const { key, password } = await keys.create({ ...order, expiresAt: new Date(now + HOUR).toISOString() });
    const until = async (text: string): Promise<number> => {
      const verdict = await keys.verify(key, text);
      return verdict.outcome === 'accepted' ? verdict.until : NaN;
    };
    assert.equal(await until(password), now + HOUR);
    await keys.rotate(key, 60);
    assert.equal(await until(password), now + 60_000);
  });

  it('keeps at most four passwords of one key', async () => {
    const { key, password } = await keys.create(order);
    const passwords = [password];
    for (let i = 0; i < 4; i += 1) passwords.push((await keys.rotate(key, 60))?.password ?? '');
    assert.deepEqual(await Promise.all(passwords.map((each) => outcome(key, each))), [
      'wrong',
      ...Array<string>(4).fill('accepted'),
    ]);
  });

  it('makes no key that too few nodes could store – 503, and nothing is left of it', async () => {
    store.quorum = false;
    await assert.rejects(keys.create(order), Unavailable);
    assert.deepEqual([...store.documents.keys()], []);
    assert.deepEqual(await keys.page('', 10), { keys: [], next: undefined });
  });

  it('changes no password that too few nodes could store – 503, and the old one stays good without end', async () => {
    const { key, password } = await keys.create(order);
    store.quorum = false;
    await assert.rejects(keys.rotate(key, 0), Unavailable);
    const verdict = await keys.verify(key, password);
    assert.equal(verdict.outcome === 'accepted' && verdict.until === Infinity, true);
  });

  it('says that a rotation may stand if it cannot be taken back – unknown_outcome', async () => {
    const { key } = await keys.create(order);
    store.quorum = false;
    let writes = 0;
    store.beforeWrite = () => {
      if ((writes += 1) > 1) throw new Unavailable('cut');
    };
    await assert.rejects(keys.rotate(key, 0), { error: 'unknown_outcome' });
  });

  it('opens nothing when the answer to the write is lost', async () => {
    store.beforeWrite = () => {
      throw new Unavailable('cut');
    };
    await assert.rejects(keys.create(order), Unavailable);
    assert.deepEqual(await keys.page('', 10), { keys: [], next: undefined });
    assert.deepEqual(broadcasts, []);
  });

  it('writes over another replica that changes the key at the same time', async () => {
    const { key, password } = await keys.create(order);
    let once = true;
    store.beforeWrite = ({ _id }) => {
      const held = store.documents.get(_id);
      if (once && held !== undefined) store.putSilently({ ...held, label: 'theirs' });
      once = false;
    };
    const rotated = await keys.rotate(key, 60);
    assert.equal(await outcome(key, rotated?.password ?? ''), 'accepted');
    assert.equal(await outcome(key, password), 'accepted');
    assert.equal((await keys.describe(key))?.label, 'theirs');
  });

  it('publishes every change to sibling workers before it answers', async () => {
    let tell: () => void = () => undefined;
    const { key } = await keys.create(order);
    for (const change of [() => keys.revoke(key, 'admin'), () => keys.create(order)]) {
      broadcast = () => new Promise((resolve) => (tell = resolve));
      let answered = false;
      const done = change().then(() => (answered = true));
      await settle();
      await settle();
      assert.equal(answered, false);
      tell();
      await done;
    }
  });

  it('reads a key again when a sibling says that it has changed, and decides nothing while it cannot', async () => {
    const { key, password } = await keys.create(order);
    store.muted = true;
    store.putSilently({ _id: `revoked:${key}`, revoked_by: 'sibling' });
    assert.equal(await outcome(key, password), 'accepted');
    bus.deliver({ kind: 'key', name: key });
    store.away = true;
    await assert.rejects(async () => keys.verify(key, password), Unavailable);
    store.away = false;
    assert.equal(await outcome(key, password), 'wrong');
  });

  it('does not use a read that began before the invalidation', async () => {
    const { key, password } = await keys.create(order);
    bus.deliver({ kind: 'key', name: key });
    const early = keys.verify(key, password);
    store.muted = true;
    store.putSilently({ _id: `revoked:${key}`, revoked_by: 'sibling' });
    bus.deliver({ kind: 'key', name: key });
    assert.equal(await outcome(key, password), 'wrong');
    await early;
  });

  it('reads a key anew once the feed is down, and again after the stated time', async () => {
    const { key, password } = await keys.create(order);
    store.muted = true;
    store.setUp(false);
    store.asked.length = 0;
    assert.equal(await outcome(key, password), 'accepted');
    assert.equal(store.asked.length, 2);
    assert.equal(await outcome(key, password), 'accepted');
    assert.equal(store.asked.length, 2);
    store.putSilently({ _id: `revoked:${key}`, revoked_by: 'elsewhere' });
    now += 2000;
    assert.equal(await outcome(key, password), 'wrong');
  });

  it('decides what it knew for the stated time while CouchDB is away, then says that it cannot', async () => {
    const { key, password } = await keys.create(order);
    store.setUp(false);
    store.away = true;
    assert.equal(await outcome(key, password), 'accepted');
    await assert.rejects(async () => keys.verify(key, `${password}x`), Unavailable);
    await assert.rejects(async () => keys.verify(makeKeyName(), 'x'), Unavailable);
    assert.deepEqual(keys.verify('jan', 'x'), { outcome: 'notAKey' });
    now += 60_000;
    await assert.rejects(async () => keys.verify(key, password), Unavailable);
  });

  it('revokes even when the digests cannot be cleared away', async () => {
    const { key, password } = await keys.create(order);
    store.beforeWrite = ({ _id }) => {
      if (_id.startsWith('key:')) throw new Unavailable('cut');
    };
    assert.equal(await keys.revoke(key, 'admin'), true);
    assert.equal(await outcome(key, password), 'wrong');
    assert.equal(await keys.rotate(key, 0), undefined);
    assert.equal(await keys.change(key, { expiresAt: null }), undefined);
    const restarted = open();
    await settle();
    assert.equal((await restarted.verify(key, password)).outcome, 'wrong');
    await restarted.close();
  });

  it('leaves no digest of a revoked key behind', async () => {
    const { key } = await keys.create(order);
    await keys.revoke(key, 'jan');
    assert.deepEqual(store.documents.get(`key:${key}`)?.['digests'], []);
    assert.equal(store.documents.get(`revoked:${key}`)?.['revoked_by'], 'jan');
  });

  it('takes a damaged document for a key that nobody can use', async () => {
    const name = makeKeyName();
    const { key, password } = await keys.create(order);
    const good = store.documents.get(`key:${key}`);
    for (const damage of [
      { digests: 'x' },
      { digests: [null, 1, { salt: 'x' }] },
      { expires_at: 'soon' },
      { expires_at: 5 },
    ]) {
      store.putSilently({ ...good, ...damage, _id: `key:${name}` });
      store.deliver(`key:${name}`);
      assert.notEqual(await outcome(name, password), 'accepted', JSON.stringify(damage));
      assert.notEqual(await outcome(name, password), 'notAKey', JSON.stringify(damage));
    }
  });

  it('publishes no invalidation for a new label', async () => {
    const { key } = await keys.create(order);
    const received: BusMessage[] = [];
    bus.onMessage((invalidation) => received.push(invalidation));
    store.putSilently({ ...store.documents.get(`key:${key}`), _id: `key:${key}`, label: 'theirs' });
    store.deliver(`key:${key}`);
    assert.deepEqual(received, []);
    store.putSilently({
      ...store.documents.get(`key:${key}`),
      _id: `key:${key}`,
      expires_at: new Date(now).toISOString(),
    });
    store.deliver(`key:${key}`);
    assert.deepEqual(received, [{ kind: 'key', name: key }]);
  });

  it('writes the hour of the last use once, off the way of requests', async () => {
    const { key, password } = await keys.create(order);
    store.asked.length = 0;
    for (let i = 0; i < 5; i += 1) await keys.verify(key, password);
    assert.deepEqual(store.asked, []);
    await keys.close();
    assert.deepEqual(store.asked, [`readMany used:${key}`, `writeAll used:${key}`]);
    assert.equal((await keys.describe(key))?.last_used, '2030-01-01T10:00:00.000Z');
    now += HOUR;
    await keys.verify(key, password);
    await keys.close();
    assert.equal((await keys.describe(key))?.last_used, '2030-01-01T11:00:00.000Z');
  });
});
