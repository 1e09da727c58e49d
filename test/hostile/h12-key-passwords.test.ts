// H12: how long a refusal takes must not say which names are keys, and no comparison may end early.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { describe, it, mock } from 'node:test';
import { createKeyStore } from '../../src/identity/key-store.ts';
import { makeKeyName, makePassword } from '../../src/identity/secret.ts';
import { MemoryStore } from '../support/memory-store.ts';

const order = { label: null, expiresAt: null, by: 'admin' };

describe('the password of an API key (H12)', () => {
  it('costs the same work for a key, a revoked key, an unknown key and any other name', async () => {
    const hash = mock.method(crypto, 'hash');
    const timingSafeEqual = mock.method(crypto, 'timingSafeEqual');
    syncBuiltinESMExports();
    const store = new MemoryStore();
    const keys = createKeyStore({
      store,
      couch: {
        ask: () => Promise.resolve({ status: 404, body: undefined }),
        follow: () => ({ close: () => undefined }),
      },
      bus: { onMessage: () => undefined, deliver: () => undefined, publish: () => Promise.resolve() },
      fallbackCacheSeconds: 2,
      outageCacheSeconds: 60,
      keyCacheEntries: 100_000,
      now: Date.now,
    });
    try {
      store.start();
      const { key, password } = await keys.create(order);
      const revoked = await keys.create(order);
      await keys.revoke(revoked.key, 'admin');
      const unknown = makeKeyName();
      // The first refusal of a name reads it from CouchDB; from then on memory answers.
      for (const name of [key, revoked.key, unknown]) await keys.verify(name, 'x');
      const work = async (name: string, text: string): Promise<unknown> => {
        hash.mock.resetCalls();
        timingSafeEqual.mock.resetCalls();
        const { outcome } = await keys.verify(name, text);
        return [outcome, hash.mock.callCount(), timingSafeEqual.mock.callCount()];
      };
      assert.deepEqual(await work(key, password), ['accepted', 1, 1]);
      assert.deepEqual(await work(key, makePassword()), ['wrong', 1, 1]);
      assert.deepEqual(await work(revoked.key, revoked.password), ['wrong', 1, 1]);
      assert.deepEqual(await work(unknown, password), ['notAKey', 1, 1]);
      assert.deepEqual(await work('admin', password), ['notAKey', 1, 1]);
    } finally {
      await keys.close();
      mock.restoreAll();
      syncBuiltinESMExports();
    }
  });

  it('holds 142 bits of every character class, and no two are alike', () => {
    const passwords = Array.from({ length: 2000 }, makePassword);
    const names = Array.from({ length: 2000 }, makeKeyName);
    assert.equal(new Set(passwords).size + new Set(names).size, 4000);
    assert.equal(
      passwords.every((password) => /^[A-Za-z0-9]{24}$/.test(password)),
      true,
    );
    assert.equal(
      names.every((name) => /^([b-df-hj-np-tv-z][aeiou]){12}$/.test(name)),
      true,
    );
    // Every character at every place: a biased or truncated choice would leave some out of 2000.
    for (let place = 0; place < 24; place += 1) {
      assert.equal(new Set(passwords.map((password) => password[place])).size, 62, `place ${place}`);
    }
  });
});
