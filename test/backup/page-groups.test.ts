// Groups are small as long as the documents of a page are unknown, and follow their size then.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FEW_LEAVES, PageGroups } from '../../src/backup/page-groups.ts';

const MIB = 1024 * 1024;
const rowsOf = (count: number, leaves = 1) =>
  Array.from({ length: count }, (_, n) => ({
    id: `d${n}`,
    revs: Array.from({ length: leaves }, (_2, rev) => `1-${rev}`),
  }));

/** The sizes of the groups of a page whose documents have `bytes` each. */
function sizesOf(rows: ReturnType<typeof rowsOf>, answerBytes: number, bytes: number): readonly number[] {
  const groups = new PageGroups(rows, { answerBytes, neighbours: 1 });
  const sizes: number[] = [];
  const seen = new Set<string>();
  while (!groups.areTaken) {
    const group = groups.next();
    sizes.push(group.length);
    for (const row of group) {
      seen.add(row.id);
      groups.wasRead(row, bytes);
    }
  }
  assert.equal(seen.size, rows.length);
  return sizes;
}

describe('the groups of a page', () => {
  it('double until they are as large as an answer may be, or have 500 documents', () => {
    assert.deepEqual(sizesOf(rowsOf(300), 100_000, 1000), [4, 4, 8, 16, 32, 64, 100, 72]);
    assert.deepEqual(sizesOf(rowsOf(1600), MIB, 100), [4, 4, 8, 16, 32, 64, 128, 256, 500, 500, 88]);
  });

  it('have one document each if that is large', () => {
    assert.deepEqual(sizesOf(rowsOf(10), MIB, 8 * MIB), [4, 1, 1, 1, 1, 1, 1]);
  });

  it('count leaves', () => {
    assert.deepEqual(sizesOf(rowsOf(10, 4), MIB, 100), [1, 1, 2, 4, 2]);
  });

  it('do not grow by documents that are read by themselves', () => {
    assert.deepEqual(sizesOf(rowsOf(3, 1000), MIB, 100), [1, 1, 1]);
    assert.deepEqual(sizesOf(rowsOf(20, 0), MIB, 100), [4, 4, 4, 4, 4]);
  });

  it('do not grow while nothing was read', () => {
    const groups = new PageGroups(rowsOf(100), { answerBytes: MIB, neighbours: 16 });
    for (let number = 0; number < 12; number += 1) assert.equal(groups.next().length, FEW_LEAVES);
  });
});
