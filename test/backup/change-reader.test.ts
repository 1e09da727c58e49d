// The feed is read ahead, and what was read is never overwritten by an older read.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ChangeReader, type ChangeReaderDeps } from '../../src/backup/change-reader.ts';
import type { DocumentReader, WantedDocument } from '../../src/backup/document-reader.ts';
import { BESIDE_CLIENTS, FULL_SPEED, rest } from '../../src/backup/pace.ts';
import type { ChangesPage, DatabaseSource } from '../../src/backup/source.ts';
import { newBackup } from '../support/change-reader.ts';

const page = (since: string, ...ids: string[]): ChangesPage => ({
  rows: ids.map((id) => ({ id, revs: ['1-a'] })),
  since,
  pending: 0,
  isLast: ids.length === 0,
});

/** Runs a reader over `pages`. `hold` delays the read of a group. */
async function readAll(
  pages: Readonly<Record<string, ChangesPage>>,
  hold: (ids: readonly string[], reads: number) => Promise<void>,
  changed: Partial<ChangeReaderDeps> = {},
) {
  const added: string[] = [];
  const batches: string[] = [];
  let reads = 0;
  const source = {
    changes: (since: string) => Promise.resolve(pages[since] ?? page(since)),
  } as unknown as DatabaseSource;
  const reader = {
    async read(wanted: readonly WantedDocument[]) {
      reads += 1;
      const number = reads;
      const ids = wanted.map(({ id }) => id);
      await hold(ids, number);
      return ids.map((id) => ({ id, leaves: [], bytes: number }));
    },
  } as unknown as DocumentReader;
  const backup = newBackup((documents) =>
    added.push(...documents.map(({ id, bytes }) => `${id} of read ${bytes}`)),
  );
  const changes = new ChangeReader(
    {
      ...{ ...backup, source, reader },
      onBatch: (since) => {
        batches.push(since);
        return Promise.resolve();
      },
      ...changed,
    },
    '0',
  );
  const result = await changes.read([]).catch((error: unknown) => error);
  return { added, batches, result };
}

describe('reading a feed', () => {
  it('keeps the later of two reads of a document, also if the earlier one takes longer', async () => {
    const pages = { 0: page('1', 'a'), 1: page('2', 'b', 'a') };
    const { added } = await readAll(pages, async (_, number) => {
      for (let turn = 0; number === 1 && turn < 20; turn += 1) await new Promise(setImmediate);
    });
    assert.equal(added.filter((one) => one.startsWith('a ')).at(-1), 'a of read 2');
  });

  it('does not pass a page before its documents are stored', async () => {
    const pages = { 0: page('1', 'a'), 1: page('2', 'b') };
    const failed = await readAll(pages, (ids) =>
      ids[0] === 'a' ? Promise.reject(new Error('no')) : Promise.resolve(),
    );
    assert.match(String(failed.result), /no/);
    assert.deepEqual(failed.batches, [], 'nothing is recorded after a failure');
    const { batches } = await readAll(pages, () => Promise.resolve());
    assert.equal(batches.at(-1), '2');
  });

  it('records only what was read before a cancellation', async () => {
    const controller = new AbortController();
    const pages = { 0: page('1', 'a'), 1: page('2', 'b'), 2: page('3', 'c') };
    const { batches, result, added } = await readAll(
      pages,
      (ids) => {
        if (ids[0] === 'b') controller.abort();
        return Promise.resolve();
      },
      { signal: controller.signal, pace: { ...FULL_SPEED, concurrency: 1 } },
    );
    assert.equal(result, false);
    assert.deepEqual(added.length, Number(batches.at(-1)), 'one document for each page that was passed');
  });

  it('asks for a small part at a time beside clients, and rests until it is cancelled', async () => {
    const ids = Array.from({ length: 300 }, (_, at) => `d${String(at).padStart(3, '0')}`);
    const sizes: number[] = [];
    let running = 0;
    const hold = async (group: readonly string[]): Promise<void> => {
      sizes.push(group.length);
      running += 1;
      assert.equal(running, 1);
      await new Promise(setImmediate);
      running -= 1;
    };
    const { added } = await readAll({ 0: page('1', ...ids) }, hold, { pace: BESIDE_CLIENTS });
    assert.equal(added.length, ids.length);
    assert.deepEqual(sizes.slice(0, 4), [4, 4, 8, 16]);
    const controller = new AbortController();
    const pause = rest(BESIDE_CLIENTS, 600_000, controller.signal);
    let isOver = false;
    void pause.then(() => (isOver = true));
    await new Promise(setImmediate);
    assert.equal(isOver, false);
    controller.abort();
    await pause;
  });
});
