// H39.6: each difference between two versions of a document has its path. Long keys, one in the other, repeat
// in all of them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { jsonDiff } from '../../src/backup/json-diff.ts';

/** A list of values within `depth` objects, each with one long key. */
function nested(values: readonly number[], depth: number, keyLength: number): unknown {
  let value: unknown = { values };
  for (let level = 0; level < depth; level += 1) value = { [`${level}${'k'.repeat(keyLength)}`]: value };
  return value;
}

describe('H39 a comparison', () => {
  it('of versions with long paths and many differences is one difference, of a bounded size', () => {
    const before = nested(Array<number>(50_000).fill(1), 90, 200);
    const after = nested(Array<number>(50_000).fill(2), 90, 200);
    const changes = jsonDiff(before, after);
    assert.deepEqual(
      changes.map(({ kind, path }) => ({ kind, path })),
      [{ kind: 'changed', path: [] }],
    );
    assert.equal(changes[0]?.after, JSON.stringify(after));
  });

  it('has every difference where the paths are short, or few', () => {
    assert.equal(jsonDiff(nested(Array<number>(50_000).fill(1), 1, 5), nested([], 1, 5)).length, 50_000);
    assert.equal(jsonDiff(nested([1, 2], 90, 200), nested([1, 3], 90, 200)).length, 1);
  });
});
