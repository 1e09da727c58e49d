// H39.7: CouchDB makes the answer of a `_bulk_get` in memory. Wherever a writer puts large documents, or many
// leaves, a backup and a check read few of them together.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { backupDatabase } from '../../src/backup/backup-database.ts';
import { checkRestored } from '../../src/backup/check-restored.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { BESIDE_CLIENTS } from '../../src/backup/pace.ts';
import { type CouchTransfer } from '../../src/couch/transfer.ts';
import { startBackupBench, transferTo, type BackupBench } from '../support/backup.ts';
import { startScriptedNode } from '../support/scripted-node.ts';

const SMALL = 400;
const LARGE = 150;
const LARGE_BYTES = 100_000;
/** A group grows only if the documents before had none or few: so many of them are never together. */
const MOST_LARGE = 45;
const LEAVES = 40;

describe('H39.7 large documents behind many small ones', () => {
  let bench: BackupBench;

  before(async () => {
    bench = await startBackupBench();
    await bench.ask('PUT', '/behind');
    const text = 'x'.repeat(LARGE_BYTES);
    const docs = [
      ...Array.from({ length: SMALL }, (_, n) => ({ _id: `a${n}` })),
      ...Array.from({ length: LARGE }, (_, n) => ({ _id: `b${n}`, text })),
    ];
    for (let at = 0; at < docs.length; at += 50)
      await bench.ask('POST', '/behind/_bulk_docs', { docs: docs.slice(at, at + 50) });
    await bench.ask('PUT', '/leaves');
    const leaves = Array.from({ length: LEAVES }, (_, n) => ({ _id: 'many', _rev: `1-${100 + n}`, n }));
    await bench.ask('POST', '/leaves/_bulk_docs', { docs: leaves, new_edits: false });
  });
  after(() => bench.close());

  /** A client that notes how many leaves each answer has, and how many bytes. */
  function watched(): {
    readonly couch: CouchTransfer;
    readonly answers: { leaves: number; bytes: number }[];
  } {
    const answers: { leaves: number; bytes: number }[] = [];
    const couch: CouchTransfer = {
      read: (request) => bench.couch.read(request),
      close: () => Promise.resolve(),
      async ask(request, maxBytes) {
        const answer = await bench.couch.ask(request, maxBytes);
        if (request.path.includes('/_bulk_get?')) {
          const { results } = JSON.parse(answer.bytes.toString()) as {
            readonly results: readonly { readonly docs: readonly unknown[] }[];
          };
          const leaves = results.reduce((sum, { docs }) => sum + docs.length, 0);
          answers.push({ leaves, bytes: answer.bytes.length });
        }
        return answer;
      },
    };
    return { couch, answers };
  }

  async function backup(database: string, couch: CouchTransfer, pace = BESIDE_CLIENTS) {
    const { repository } = bench;
    const lock = await takeLock(repository, 'test');
    try {
      const context = { repository, lock, couch, onEvent: () => undefined, pace: { ...pace, restRatio: 0 } };
      return await backupDatabase(context, database);
    } finally {
      await lock.release();
    }
  }

  it('reads few of them together – POST /db/_bulk_get', async () => {
    const read = watched();
    const snapshot = await backup('behind', read.couch);
    assert.equal(snapshot.counts.documents, SMALL + LARGE);
    const checked = watched();
    const context = { repository: bench.repository, couch: checked.couch, onEvent: () => undefined };
    assert.deepEqual((await checkRestored(context, snapshot, 'behind')).differences, []);
    for (const { answers } of [read, checked]) {
      const largest = Math.max(...answers.map(({ bytes }) => bytes));
      assert.ok(largest < MOST_LARGE * LARGE_BYTES, `${largest} bytes`);
    }
  });

  it('reads few leaves of a document together – POST /db/_bulk_get', async () => {
    const { couch, answers } = watched();
    const snapshot = await backup('leaves', couch);
    assert.deepEqual([snapshot.problems, snapshot.counts.leaves], [[], LEAVES]);
    assert.deepEqual(
      answers.filter(({ leaves }) => leaves > 4),
      [],
    );
  });

  it('reads documents in small parts after two connections broke – POST /db/_bulk_get', async () => {
    const broken: number[] = [];
    const node = await startScriptedNode(({ method, url, body }, res) => {
      const { docs = [] } = (body === '' ? {} : JSON.parse(body)) as { readonly docs?: readonly unknown[] };
      if (docs.length > 4) {
        broken.push(docs.length);
        res.destroy();
        return;
      }
      const request = { method: method as 'GET' | 'POST', path: url, repeatable: true };
      void bench.couch.ask({ ...request, ...(body === '' ? {} : { body }) }).then(({ status, bytes }) => {
        res.writeHead(status, { 'content-type': 'application/json' }).end(bytes);
      });
    });
    const couch = transferTo({ ...bench.backend, urls: [node.url] }, 5000);
    try {
      await bench.ask('PUT', '/parts');
      const docs = Array.from({ length: 40 }, (_, n) => ({ _id: `c${n}` }));
      await bench.ask('POST', '/parts/_bulk_docs', { docs });
      const { problems, counts } = await backup('parts', couch);
      assert.deepEqual([problems, counts.documents], [[], 40]);
      // Groups of 4, 4, 8, 16 documents, and what is left; two of 8 are read after a broken one.
      assert.deepEqual(broken, [8, 8, 16, 16, 8, 8]);
    } finally {
      await couch.close();
      await node.close();
    }
  });
});
