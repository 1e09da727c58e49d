import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { WriteBatch } from '../../src/forward/write-batch.ts';

/** Prepared writes that record their number when they are made. */
function prepare(written: number[], count: number): { writeNow(): void }[] {
  return Array.from({ length: count }, (_, at) => ({ writeNow: () => void written.push(at) }));
}

test('the writes of one turn are made at its end, in order', async () => {
  const batch = new WriteBatch();
  const written: number[] = [];
  for (const prepared of prepare(written, 3)) batch.add(prepared);
  await Promise.resolve();
  assert.deepEqual(written, []);
  await endOfTurn();
  assert.deepEqual(written, [0, 1, 2]);
});

test('a write that another one causes is made one turn later', async () => {
  const batch = new WriteBatch();
  const written: string[] = [];
  const second = { writeNow: () => void written.push('second') };
  batch.add({
    writeNow: () => {
      written.push('first');
      batch.add(second);
    },
  });
  await endOfTurn();
  assert.deepEqual(written, ['first']);
  await endOfTurn();
  assert.deepEqual(written, ['first', 'second']);
});

test('in a busy turn, the first writes do not wait for the last ones', async () => {
  const batch = new WriteBatch();
  const written: number[] = [];
  for (const prepared of prepare(written, 40)) batch.add(prepared);
  assert.equal(written.length, 32);
  await endOfTurn();
  assert.equal(written.length, 40);
  assert.equal(new Set(written).size, 40);
});
