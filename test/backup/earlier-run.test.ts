// Whether an increment may continue a snapshot: not if the database has gone back behind it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { usableParent } from '../../src/backup/earlier-run.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { type DatabaseInfo } from '../../src/backup/source.ts';
import { packed } from '../support/packed-sequence.ts';

/** The counts of the two ranges, of the copies on `node`. */
const seq = (node: string, ...counts: readonly number[]): string =>
  packed(...counts.map((count, at) => ({ node, count, file: `${node}${at}` })));

describe('the snapshot that an increment continues', () => {
  /** `answers` are what CouchDB says one after the other; the last one stays. */
  const isContinued = (since: string, ...answers: readonly string[]): Promise<boolean> =>
    isUsable({ instance_start_time: '1', since }, answers);

  async function isUsable(last: Partial<Snapshot>, answers: readonly string[]): Promise<boolean> {
    const { instance_start_time: start } = last;
    let asked = 0;
    const info = () =>
      ({
        instance_start_time: start,
        update_seq: answers[Math.min(asked, answers.length - 1)],
      }) as DatabaseInfo;
    const source = { info: () => Promise.resolve(((asked += 1), info())) };
    return (await usableParent(last as Snapshot, source, info())) === last;
  }

  it('stays if another copy answers that counts fewer changes', async () => {
    const since = seq('a@x', 900, 1000);
    assert.equal(await isContinued(since, seq('a@x', 900, 1000)), true);
    assert.equal(await isContinued(since, seq('b@x', 950, 1000)), true);
    assert.equal(await isContinued(since, seq('b@x', 10, 20), seq('c@x', 1, 2), seq('a@x', 900, 1001)), true);
  });

  it('does not stay if the same file counts fewer changes, or if nothing shows the contrary', async () => {
    const since = seq('a@x', 900, 1000);
    assert.equal(await isContinued(since, seq('a@x', 899, 5000)), false);
    assert.equal(await isContinued(since, seq('b@x', 10, 20), seq('a@x', 10, 20)), false);
    assert.equal(await isContinued(since, seq('b@x', 10, 20)), false);
    assert.equal(await isContinued('12', '11'), false);
    assert.equal(await isContinued('12', '12'), true);
  });

  it('does not stay if only the sums fit, and CouchDB does not say when the database was made', async () => {
    const last = { instance_start_time: '0', since: seq('a@x', 900, 1000) };
    assert.equal(await isUsable(last, [seq('b@x', 950, 1000)]), false);
    assert.equal(await isUsable(last, [seq('b@x', 950, 1000), seq('a@x', 900, 1001)]), true);
    const copies = seq('b@x', 940, 1000);
    assert.equal(await isUsable({ ...last, copies }, [seq('b@x', 950, 1000)]), true);
    assert.equal(await isUsable({ ...last, copies }, [seq('b@x', 930, 1100)]), false);
  });
});
