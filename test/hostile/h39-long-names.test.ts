// H39.8: an id has a path in the database of the backup, and none in a copy with a longer name.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { hashOnly } from '../../src/backup/attachment-reader.ts';
import { inlineStubs } from '../../src/backup/attachment-part.ts';
import { storeAttachment } from '../../src/backup/attachment-store.ts';
import { Damaged } from '../../src/backup/errors.ts';
import { leafOfText } from '../../src/backup/leaf.ts';
import { restoreDatabase } from '../../src/backup/restore-database.ts';
import { type CouchTransfer } from '../../src/couch/transfer.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';

/** The longest name, which takes the most bytes in a path. */
const LONGEST = `a${'+'.repeat(237)}`;
const MIB = 1024 * 1024;

async function* streamOf(bytes: Buffer): AsyncGenerator<Buffer> {
  await Promise.resolve();
  yield bytes;
}

describe('H39.8 documents that only a short name can hold', () => {
  let bench: BackupBench;

  before(async () => {
    bench = await startBackupBench();
  });
  after(() => bench.close());

  it('are written by their path into a database with the longest name – PUT /db/doc', async () => {
    // With the attachment and the revision, it is as long as a path may be that the backup reads.
    const id = 'i'.repeat(7000 - '//a?rev=1-x'.length);
    const data = randomBytes(100_000).toString('base64');
    await bench.ask('PUT', '/s');
    const doc = { _id: id, _rev: '1-x', _attachments: { a: { content_type: 'application/x', data } } };
    const { body } = await bench.ask('POST', '/s/_bulk_docs', { docs: [doc], new_edits: false });
    assert.deepEqual(body, []);
    const snapshot = await bench.backup('s');
    assert.deepEqual([snapshot.problems, snapshot.counts.attachments], [[], 1]);
    const written: string[] = [];
    const couch: CouchTransfer = {
      ...{ read: bench.couch.read.bind(bench.couch), close: () => Promise.resolve() },
      ask(request, maxBytes) {
        if (request.contentType?.startsWith('multipart/') === true) written.push(request.path);
        return bench.couch.ask(request, maxBytes);
      },
    };
    const context = { repository: bench.repository, couch, onEvent: () => undefined };
    assert.deepEqual((await restoreDatabase(context, snapshot, LONGEST)).problems, []);
    assert.deepEqual(
      written.map((path) => path.endsWith(`/${id}?new_edits=false`)),
      [true],
    );
    assert.deepEqual((await bench.check(snapshot, LONGEST)).differences, []);
  });

  it('refuses attachments that are too large for JSON, as soon as they are', async () => {
    const { repository } = bench;
    const content = Buffer.alloc(33 * MIB);
    const { sha256, length } = await storeAttachment(repository, streamOf(gzipSync(content)));
    const unpacked = await hashOnly(streamOf(content));
    const stub = { content_type: 'x', digest: '', revpos: 1, length: 1, stub: true };
    const leaf = leafOfText(JSON.stringify({ _id: 'd', _rev: '1-x', _attachments: { a: stub } }));
    const form = { encoding: 'gzip', content: unpacked.sha256, bytes: length } as const;
    await assert.rejects(
      inlineStubs(repository, { leaf, hash: '', attachments: new Map([['a', { sha256, form }]]) }),
      Damaged,
    );
  });
});
