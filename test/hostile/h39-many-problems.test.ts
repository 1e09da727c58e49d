// H39.11: a writer stores any number of documents that cannot be read, with long ids. What a snapshot and a
// job keep of them stays small, and none of them is forgotten.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ChangeReader } from '../../src/backup/change-reader.ts';
import type { DocumentReader, WantedDocument } from '../../src/backup/document-reader.ts';
import {
  problemCount,
  someProblems,
  type KnownProblems,
  type DocumentProblem,
} from '../../src/backup/problem-list.ts';
import { readKnownVersions } from '../../src/backup/known-versions.ts';
import { writeSnapshot } from '../../src/backup/snapshot.ts';
import type { DatabaseSource } from '../../src/backup/source.ts';
import { startBackupBench } from '../support/backup.ts';
import { newBackup } from '../support/change-reader.ts';

const TOTAL = 3000;
const ID_LENGTH = 60_000;
const SHORT = 'd0000';
const idOf = (number: number): string => (number === 0 ? SHORT : `d${number}`.padEnd(ID_LENGTH, 'x'));

/** The feed has a document at each sequence; `isReadable` = what was unreadable can be read again. */
async function run(since: string, problems: readonly DocumentProblem[], isReadable: boolean) {
  const read = new Set<string>();
  const states: (KnownProblems & { readonly since: string })[] = [];
  const source = {
    changes(from: string) {
      const first = Number(from);
      const ids = Array.from({ length: Math.min(100, TOTAL - first) }, (_, at) => idOf(first + at));
      const rows = ids.map((id) => ({ id, revs: ['1-a'] }));
      return Promise.resolve({
        rows,
        since: String(first + ids.length),
        pending: 0,
        isLast: ids.length < 100,
      });
    },
  } as unknown as DatabaseSource;
  const reader = {
    read(wanted: readonly WantedDocument[]) {
      for (const { id } of wanted) read.add(id);
      return Promise.resolve(
        wanted.map(({ id }) =>
          isReadable || id === SHORT ? { id, leaves: [], bytes: 1 } : { id, problem: 'y'.repeat(ID_LENGTH) },
        ),
      );
    },
  } as unknown as DocumentReader;
  const onBatch = (end: string, _: unknown, known: KnownProblems): Promise<void> =>
    Promise.resolve(void states.push({ since: end, ...known }));
  const deps = { ...newBackup(), source, reader, onBatch };
  const changes = new ChangeReader(deps, since);
  assert.equal(await changes.read(problems), true);
  return { read, state: states.at(-1) as KnownProblems & { readonly since: string } };
}

describe('documents that cannot be read', () => {
  it('are counted, listed in part, and all read again by the next backup', async () => {
    const first = await run('0', [], false);
    assert.equal(problemCount(first.state), TOTAL - 1);
    assert.ok(JSON.stringify(first.state).length < 1024 * 1024, 'a small record');
    const again = await run(first.state.since, first.state.problems, false);
    assert.equal(problemCount(again.state), TOTAL - 1);
    const last = await run(again.state.since, again.state.problems, true);
    for (let number = 1; number < TOTAL; number += 1) assert.ok(last.read.has(idOf(number)), String(number));
    assert.deepEqual(last.state, { since: String(TOTAL), problems: [], more_problems: 0 });
  });

  it('are in the record of a job with a part of their ids', () => {
    const problems = Array.from({ length: 100 }, () => ({
      id: `x${'\u{1f600}'.repeat(ID_LENGTH)}`,
      reason: 'x',
    }));
    const text = JSON.stringify(someProblems(problems));
    assert.ok(Buffer.byteLength(text) < 20_000 && !text.includes(String.raw`\ud`), text);
  });

  it('leave no version of a credential known to be the newest if they are not all listed', async () => {
    const bench = await startBackupBench();
    try {
      await bench.ask('PUT', '/store');
      await bench.ask('PUT', '/store/key', { a: 1 });
      const snapshot = await bench.backup('store');
      await writeSnapshot(bench.repository, { ...snapshot, complete: false, more_problems: 1 });
      const known = await readKnownVersions(bench.repository, snapshot, {
        databases: [],
        isWanted: () => true,
        isRevocation: () => false,
        history: { revisions: () => Promise.resolve(new Set()), content: () => Promise.resolve('') },
      });
      assert.deepEqual([...known.unknown.keys()], ['key']);
    } finally {
      await bench.close();
    }
  });
});
