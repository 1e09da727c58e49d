// H13: one name space. A name is a key's or a user's, never both, and the name of a revoked key is nobody's any more.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createKeyStore, type RunningKeyStore } from '../../src/identity/key-store.ts';
import { MemoryStore } from '../support/memory-store.ts';

const order = { label: null, expiresAt: null, by: 'admin' };

describe('the name of an API key (H13)', () => {
  let store: MemoryStore;
  let keys: RunningKeyStore;
  let taken: (name: string) => boolean;
  let asked: string[];

  beforeEach(() => {
    store = new MemoryStore();
    taken = () => false;
    asked = [];
    keys = createKeyStore({
      store,
      couch: {
        ask({ method, path }) {
          asked.push(`${method} ${path}`);
          return Promise.resolve({ status: taken(path.slice(-24)) ? 200 : 404, body: undefined });
        },
        follow: () => ({ close: () => undefined }),
      },
      bus: { onInvalidation: () => undefined, deliver: () => undefined, publish: () => Promise.resolve() },
      fallbackCacheSeconds: 2,
      outageCacheSeconds: 60,
      keyCacheEntries: 100_000,
      now: Date.now,
    });
    store.start();
  });
  afterEach(() => keys.close());

  it('is never one that a user has', async () => {
    const users: string[] = [];
    taken = (name) => users.length < 3 && users.push(name) > 0;
    const { key } = await keys.create(order);
    assert.equal(users.length, 3);
    assert.ok(!users.includes(key));
    assert.equal(asked.at(-1), `HEAD /_users/org.couchdb.user%3A${key}`);
    for (const name of users) assert.equal(await keys.isKeyName(name), false);
  });

  it('stays taken when the key is revoked: its grants go to nobody', async () => {
    const { key, password } = await keys.create(order);
    await keys.revoke(key, 'admin');
    assert.equal(await keys.isKeyName(key), true);
    // Not `notAKey`: that would hand the name on to the users of CouchDB.
    assert.deepEqual(await keys.verify(key, password), { outcome: 'wrong' });
    assert.deepEqual(await keys.verify(key, 'the password of a user with that name'), { outcome: 'wrong' });
  });

  it('stays taken when its document is gone and its revocation is there', async () => {
    const { key, password } = await keys.create(order);
    await keys.revoke(key, 'admin');
    store.documents.delete(`key:${key}`);
    store.deliver(`key:${key}`);
    assert.equal(await keys.isKeyName(key), true);
    assert.deepEqual(await keys.verify(key, password), { outcome: 'wrong' });
  });

  it('is no key when it is not written as one, whatever it is', async () => {
    const { key, password } = await keys.create(order);
    for (const name of [
      '',
      'nobody',
      'admin',
      `${key} `,
      key.toUpperCase(),
      `${key}\u0000`,
      `${key}a`,
      `key:${key}`,
      '__proto__',
      'constructor',
    ]) {
      assert.deepEqual(keys.verify(name, password), { outcome: 'notAKey' }, name);
      assert.equal(keys.isKeyName(name), false, name);
      assert.equal(keys.holds(name, 'x'), false, name);
    }
  });
});
