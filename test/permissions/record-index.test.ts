// What the index makes of the leaves in the feed of the store.
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { type JsonObject } from '../../src/json/object.ts';
import { RecordFollower } from '../../src/permissions/record-follower.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { until } from '../support/until.ts';
import { RecordIndex } from '../../src/permissions/record-index.ts';
import { type Leaf } from '../../src/permissions/record-document.ts';

const WITH = (...names: readonly string[]): JsonObject => ({
  cloudant: Object.fromEntries(names.map((name) => [name, ['_reader']])),
});

function leaf(rev: string, revision: number, more: Partial<Leaf>): Leaf {
  return {
    ...{ rev, revision, generation: { id: 'a', start: '1' }, state: 'done', stamp: revision },
    ...{ mirrored: true, security: {}, before: undefined, recent: [], by: 'x', via: 'api', at: '' },
    ...{ reason: undefined, requestId: undefined, isWithdrawn: false },
    ...more,
  };
}

describe('the index of permission records', () => {
  let index: RecordIndex;
  const names = (): readonly string[] => (index.grantsOf('db') ?? []).map(({ name }) => name);
  const isAtRest = (): boolean | undefined => index.recordOf('db')?.isAtRest;

  beforeEach(() => {
    index = new RecordIndex(() => true);
    index.take('db', leaf('4-a', 2, { security: WITH('ann') }), false);
  });

  it('ignores a leaf of an earlier revision', () => {
    index.take('db', leaf('3-a', 1, { security: WITH('eve') }), false);
    assert.deepEqual([names(), isAtRest()], [['ann'], true]);
  });

  it('takes a withdrawn leaf: its state has an earlier revision than the write that failed', () => {
    const failed = leaf('5-a', 3, { state: 'writing', before: WITH('ann'), security: WITH('ann', 'bob') });
    index.take('db', failed, false);
    assert.deepEqual([names(), isAtRest()], [['ann'], false]);
    const withdrawn = leaf('6-a', 2, { security: WITH('ann'), isWithdrawn: true });
    index.take('db', withdrawn, false);
    assert.deepEqual([names(), isAtRest()], [['ann'], true]);
  });

  it('ignores a withdrawn leaf that a page of the start has, after a later change', () => {
    index.take('db', leaf('8-a', 4, { security: WITH('bob') }), false);
    index.take('db', leaf('6-a', 2, { security: WITH('ann'), isWithdrawn: true }), false);
    assert.deepEqual([names(), isAtRest()], [['bob'], true]);
  });

  it('waits for a read of the record if a withdrawn leaf stands beside others', () => {
    index.take('db', leaf('5-b', 3, { security: WITH('bob') }), false);
    const withdrawn = leaf('6-a', 2, { security: WITH('ann'), isWithdrawn: true });
    index.take('db', withdrawn, true);
    assert.deepEqual([names(), isAtRest()], [['bob'], false]);
    index.take('db', leaf('6-c', 3, { security: WITH('bob') }), false);
    assert.deepEqual([names(), isAtRest()], [['bob'], true]);
  });
});

describe('the follower of permission records', () => {
  it('reports once that they cannot be read, and reads them as soon as they can', async () => {
    const store = new MemoryStore();
    const reports: unknown[] = [];
    const index = new RecordIndex(() => store.up);
    const follower = new RecordFollower({
      store,
      bus: { deliver: () => undefined },
      permissions: { index } as never,
      report: (message, fields) => reports.push([message, fields]),
      onLoaded: () => undefined,
    });
    store.away = true;
    store.start();
    await until(() => store.asked.length >= 2);
    assert.deepEqual(reports, [['permission records cannot be read from the store yet', { detail: 'away' }]]);
    store.away = false;
    await until(() => index.isLoaded);
    follower.close();
  });
});
