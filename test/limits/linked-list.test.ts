import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Entry, LinkedList } from '../../src/limits/linked-list.ts';

describe('a linked list', () => {
  const listed = (list: LinkedList<number>): readonly number[] => {
    const values: number[] = [];
    for (let entry = list.first; entry !== undefined; entry = entry.next) values.push(entry.value);
    assert.deepEqual(list.values(), values);
    assert.equal(list.size, values.length);
    return values;
  };

  it('keeps the order of arrival, whatever is removed', () => {
    const list = new LinkedList<number>();
    const entries = new Map<number, Entry<number>>();
    const expected = new Set<number>();
    let seed = 1;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    for (let added = 0; added < 2000;) {
      if (random(2) === 0 || expected.size === 0) {
        entries.set(added, list.add(added));
        expected.add((added += 1) - 1);
      } else {
        const one = [...expected][random(expected.size)] ?? -1;
        const entry = entries.get(one);
        assert.ok(entry !== undefined, 'entry is missing');
        assert.equal(list.remove(entry), true);
        assert.equal(list.remove(entry), false);
        assert.deepEqual([entry.previous, entry.next], [undefined, undefined], 'it keeps no other alive');
        expected.delete(one);
      }
      assert.deepEqual(listed(list), [...expected]);
    }
    for (const value of [...expected].reverse()) {
      const entry = entries.get(value);
      assert.ok(entry !== undefined, 'entry is missing');
      assert.equal(list.remove(entry), true);
    }
    assert.deepEqual([listed(list), list.first], [[], undefined]);
    list.add(1);
    assert.deepEqual(listed(list), [1]);
  });
});
