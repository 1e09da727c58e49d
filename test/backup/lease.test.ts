// The lease of a backup job: who may take it, and when it is lost.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Lease } from '../../src/backup/lease.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { until } from '../support/until.ts';

describe('the lease of a backup job', () => {
  const clock = { ms: 0 };
  const lease = (store: MemoryStore, ttlMs = 1000): Lease =>
    new Lease({ store, name: 'write', ttlMs, now: () => clock.ms });

  it('has one holder, until it is released', async () => {
    const store = new MemoryStore();
    const [one, two] = [lease(store), lease(store)];
    const held = await one.take('a');
    assert.equal(await two.take('b'), undefined);
    assert.equal(await two.holder(), 'a');
    await held?.release();
    assert.equal(await two.holder(), undefined);
    await (await two.take('b'))?.release();
  });

  it('is not held without a majority – a write with 202', async () => {
    const store = new MemoryStore();
    store.quorum = false;
    assert.equal(await lease(store).take('a'), undefined);
  });

  it('passes on after one process has seen it unchanged for its whole time, by its own clock', async () => {
    const store = new MemoryStore();
    const held = await lease(store, 600_000).take('a');
    const two = lease(store, 1000);
    clock.ms += 5000;
    assert.equal(await two.take('b'), undefined, 'the clock of another process is unknown');
    clock.ms += 999;
    assert.equal(await two.take('b'), undefined);
    clock.ms += 1;
    const taken = await two.take('b');
    assert.equal(taken?.predecessor, 'a');
    await taken.release();
    await held?.release();
    assert.equal(await lease(store).holder(), undefined, 'a lost holder releases nothing');
  });

  it('is lost when another process takes it, and when renewals fail for too long', async () => {
    for (const breaks of ['taken', 'away'] as const) {
      const store = new MemoryStore();
      const held = await new Lease({ store, name: 'write', ttlMs: 60 }).take('a');
      let isLost = false;
      held?.onLost(() => (isLost = true));
      if (breaks === 'away') store.away = true;
      else
        await store.write({
          ...(await store.read('backup_lease:write')),
          _id: 'backup_lease:write',
          holder: 'x',
        });
      await until(() => isLost, breaks);
    }
  });
});
