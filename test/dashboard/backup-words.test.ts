// How far backups protect, summed up for the dashboard.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type BackedUp,
  backupAge,
  isInBackups,
  type StoredLeaves,
} from '../../src/dashboard/backup-words.ts';

const backup = (database: string, last: string | null): BackedUp => ({ database, last_success: last });

describe('the age of the backups', () => {
  const [old, late, now] = ['2026-01-01T00:00:00Z', '2026-01-30T03:00:00Z', '2026-01-30T04:00:00Z'];

  it('is that of the database whose last complete backup is the oldest', () => {
    const age = backupAge([backup('a', now), backup('b', old), backup('c', late)], ['a', 'b', 'c']);
    assert.deepEqual(age, { databases: 3, never: [], oldest: { database: 'b', at: old }, behind: 1 });
  });
  it('names the databases without a complete backup', () => {
    assert.deepEqual(backupAge([backup('a', now), backup('b', null)], ['a', 'b']).never, ['b']);
  });
  it('leaves out databases that were deleted, if it is known which ones there are', () => {
    const all = [backup('a', now), backup('b', old)];
    assert.equal(backupAge(all, ['a']).oldest?.database, 'a');
    assert.equal(backupAge(all, undefined).oldest?.database, 'b');
  });
  it('is not known without a complete backup', () => {
    assert.equal(backupAge([backup('a', null)], ['a']).oldest, undefined);
  });
});

describe('a revision in the backups', () => {
  const version = (...leaves: StoredLeaves['leaves']): StoredLeaves => ({ leaves });
  const versions = [
    version({ rev: '2-a', deleted: false }, { rev: '1-b', deleted: false }),
    version({ rev: '3-c', deleted: true }),
  ];

  for (const [rev, isStored] of [
    ['2-a', true],
    ['1-b', true],
    ['3-c', false],
    ['4-d', false],
  ] as const)
    it(`is ${isStored ? '' : 'not '}stored – ${rev}`, () =>
      assert.equal(isInBackups(rev, versions), isStored));
});
