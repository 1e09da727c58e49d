// H39.10: a writer who writes all the time must not hold up the backup of a database, nor of those after it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ChangeReader } from '../../src/backup/change-reader.ts';
import type { DocumentReader, WantedDocument } from '../../src/backup/document-reader.ts';
import { FULL_SPEED } from '../../src/backup/pace.ts';
import { dropPurged } from '../../src/backup/purged-documents.ts';
import { DatabaseSource } from '../../src/backup/source.ts';
import type { CouchTransfer } from '../../src/couch/transfer.ts';
import { documentPages } from '../../src/export/document-pages.ts';
import { newBackup } from '../support/change-reader.ts';

/** A database of three documents, to which `written` are added before each answer. */
function growing(written: number): Pick<CouchTransfer, 'ask'> {
  let total = 3;
  return {
    async ask({ path, body = '{}' }) {
      await nextTurn();
      total += written;
      const { searchParams: query } = new URL(path, 'http://couch');
      const { start_key: start = '0' } = JSON.parse(body as string) as { readonly start_key?: string };
      const from = Number(query.get('since') ?? start);
      const limit = Math.min(total - from, Number(query.get('limit')));
      const results = Array.from({ length: limit }, (_, at) => {
        const id = String(from + at);
        return { id, changes: [{ rev: '1-a' }], doc: { _id: id } };
      });
      const answer = { results, rows: results, last_seq: from + limit, pending: total - from - limit };
      return { status: 200, bytes: Buffer.from(JSON.stringify(answer)) };
    },
  };
}

function deps(written: number) {
  const read = new Set<string>();
  const batches: string[] = [];
  const reader = {
    read(wanted: readonly WantedDocument[]) {
      for (const { id } of wanted) read.add(id);
      return Promise.resolve(wanted.map(({ id }) => ({ id, leaves: [], bytes: 1 })));
    },
  } as unknown as DocumentReader;
  const source = new DatabaseSource(growing(written) as CouchTransfer, 'fruit');
  const onBatch = (since = ''): Promise<void> => Promise.resolve(void batches.push(since));
  return { ...newBackup(), source, reader, onBatch, read, batches };
}

describe('a database that is written all the time', { timeout: 60_000 }, () => {
  it('is backed up to the end that the feed had when it was asked for', async () => {
    const changes = deps(1);
    assert.equal(await new ChangeReader(changes, '0').read([]), true);
    assert.deepEqual([...changes.read].sort(), ['0', '1', '2', '3']);
    assert.equal(changes.batches.at(-1), '4', 'the next run continues there');
  });

  it('fails if it is written as fast as it is read, and what was read stays', async () => {
    const changes = deps(FULL_SPEED.changes);
    await assert.rejects(new ChangeReader(changes, '0').read([]), /fruit is written as fast as it is read/);
    assert.ok(Number(changes.batches.at(-1)) > 100_000, changes.batches.at(-1));
  });

  for (const written of [1, FULL_SPEED.changes])
    it(`is compared with the chain after a purge – ${written} changes with each page`, async () => {
      assert.deepEqual(await dropPurged(deps(written)), { removed: 0, isDone: true });
    });

  for (const deleted of [true, false])
    it(`is exported to its end – deleted=${deleted}`, async () => {
      const source = { couch: growing(1), database: 'fruit', signal: AbortSignal.timeout(60_000) };
      const ids: unknown[] = [];
      for await (const { documents } of documentPages(source, { deleted, design: true, conflicts: false }))
        ids.push(...documents.map(({ _id: id }) => id));
      assert.deepEqual(ids, ['0', '1', '2', '3']);
    });
});
