// H39.3: CouchDB keeps fields of an attachment as a client wrote them. The backup, and every one after it, can
// read what it has stored, and a run that did not end is dropped if it cannot be read.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { backupDatabase } from '../../src/backup/backup-database.ts';
import { type BackupEvent } from '../../src/backup/events.ts';
import { type IndexEntry, IndexReader, IndexWriter } from '../../src/backup/index-file.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { readPartial, type Snapshot } from '../../src/backup/snapshot.ts';
import { isStorable } from '../../src/backup/storable.ts';
import { leafOfText } from '../../src/backup/leaf.ts';
import { type CouchTransfer, type TransferRequest } from '../../src/couch/transfer.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';

const PACKED = gzipSync('hello hello hello');
const SHA = createHash('sha256').update('x').digest('hex');

describe('H39.3 what CouchDB says of attachments', () => {
  let bench: BackupBench;
  const events: BackupEvent[] = [];

  before(async () => {
    bench = await startBackupBench();
  });
  after(() => bench.close());

  /** Backs up through a client that changes the text of `_bulk_get`, or fails. */
  async function backup(database: string, change: (text: string, request: TransferRequest) => string) {
    const couch: CouchTransfer = {
      ...bench.couch,
      ask: async (request, maxBytes) => {
        const answer = await bench.couch.ask(request, maxBytes);
        return { ...answer, bytes: Buffer.from(change(answer.bytes.toString(), request)) };
      },
      read: (request) => bench.couch.read(request),
    };
    const { repository } = bench;
    const lock = await takeLock(repository, 'test');
    try {
      return await backupDatabase({ repository, lock, couch, onEvent: (one) => events.push(one) }, database);
    } finally {
      await lock.release();
    }
  }

  async function proveReadable(snapshot: Snapshot, name: string): Promise<void> {
    assert.deepEqual(snapshot.problems, []);
    assert.deepEqual((await bench.restore(snapshot, name)).problems, []);
    assert.deepEqual((await bench.check(snapshot, name)).differences, []);
  }

  /** A database with the document `bad`, which has the attachment `a`, and the document `good`. */
  async function fill(database: string, content: Buffer): Promise<void> {
    await bench.ask('PUT', `/${database}`);
    await bench.ask('PUT', `/${database}/good`, { good: true });
    const a = { content_type: 'application/x', data: content.toString('base64') };
    await bench.ask('PUT', `/${database}/bad`, { _attachments: { a } });
  }

  const odd = ['-1', '1.5', '1e18', '12345678901234567890', '"zz"', 'null', 'true', '{"a":1}'];

  for (const [at, value] of odd.entries())
    it(`stores an attachment whose revpos is ${value}`, async () => {
      const name = `revpos-${at}`;
      await fill(name, Buffer.from('hello'));
      const snapshot = await backup(name, (text) => text.replace('"revpos":1', `"revpos":${value}`));
      await proveReadable(snapshot, `${name}-back`);
    });

  for (const [at, value] of [...odd, undefined].entries())
    it(`stores a compressed attachment whose length is ${value ?? 'absent'}`, async () => {
      const name = `length-${at}`;
      await fill(name, PACKED);
      const length = value === undefined ? '' : `"length":${value},`;
      const described = `${length}"encoding":"gzip","encoded_length":${PACKED.length}`;
      const snapshot = await backup(name, (text) => text.replace(/"length":\d+/, described));
      assert.deepEqual([snapshot.problems, snapshot.counts.attachments], [[], 1]);
      assert.equal((await bench.restore(snapshot, `${name}-back`)).problems.length, 0);
      // The next run reads the index again, and changes of the document go on.
      const { body } = await bench.ask('GET', `/${name}/bad`);
      await bench.ask('PUT', `/${name}/bad`, { ...(body as object), more: true });
      assert.deepEqual((await backup(name, (text) => text)).problems, []);
    });

  it('stores and restores an attachment without a length', async () => {
    await fill('unknown', Buffer.from('hello'));
    const snapshot = await backup('unknown', (text) => text.replace(/"length":\d+/, '"length":"x"'));
    await proveReadable(snapshot, 'unknown-back');
  });

  it('stores no leaf that the reader of the index, or of the pack, would refuse', () => {
    const leaf = leafOfText('{"_id":"a","_rev":"1-a","_attachments":{"a":{"length":1}}}');
    const one = { name: 'a', sha256: SHA, digest: '', revpos: 1, length: 1 };
    const isAccepted = (change: object, hash = SHA) =>
      isStorable('a', [{ leaf, hash, attachments: [{ ...one, ...change }] }]);
    assert.equal(isAccepted({ revpos: -1 }), false);
    assert.equal(isAccepted({ length: 'x' }), false);
    // The content hash is that of another document.
    assert.equal(isAccepted({}), false);
    assert.equal(isStorable('a', [{ leaf, hash: SHA, attachments: [] }]), true);
  });

  it('divides long names into blocks: none is longer than a string can be', async () => {
    const place = { pack: '', offset: 0, length: 0, line: 0 };
    const attachment = { sha256: SHA, digest: '', revpos: 1, length: 1 };
    const entryOf = (n: number, id: string, name: string): IndexEntry => ({
      id: `${n}${id}`,
      leaves: [{ rev: '1-a', deleted: false, hash: SHA, place, attachments: [{ ...attachment, name }] }],
    });
    const long = 'x'.repeat(1024 * 1024);
    const entries = [1, 2, 3, 4, 5, 6, 7, 8].map((n) =>
      n % 2 === 0 ? entryOf(n, long, 'a') : entryOf(n, '', n === 5 ? long.repeat(6) : long),
    );
    const writer = new IndexWriter(bench.repository);
    for (const entry of entries) await writer.add(entry);
    const { name } = (await writer.finish()) ?? { name: '' };
    const reader = await IndexReader.open(bench.repository, name);
    const blocks: (readonly IndexEntry[])[] = [];
    for (let number = 0; number < reader.blocks; number += 1) blocks.push(await reader.block(number));
    // The fifth is longer than a block should be, and alone.
    assert.deepEqual(
      blocks.map((block) => block.length),
      [3, 1, 1, 3],
    );
    assert.deepEqual(blocks.flat(), entries);
    for (const entry of entries) assert.deepEqual(await reader.lookup(entry.id), entry);
    assert.equal(await reader.lookup('9'), undefined);
  });

  it('writes no snapshot that cannot be read', async () => {
    await fill('limit', Buffer.from('hello'));
    const cut = backup('limit', (text, { path }) => (path.endsWith('/_revs_limit') ? '1.5' : text));
    await assert.rejects(cut, /no snapshot record can hold/);
    await proveReadable(await backup('limit', (text) => text), 'limit-back');
  });

  it('drops a run that did not end if its index cannot be read', async () => {
    await fill('dropped', Buffer.from('hello'));
    const cut = backup('dropped', (text, { path }) => {
      if (path.endsWith('/_security')) throw new Error('the run ends here');
      return text;
    });
    await assert.rejects(cut, /the run ends here/);
    const partial = await readPartial(bench.repository, 'dropped');
    const [index] = partial?.index ?? [];
    assert.ok(index !== undefined, 'the run has stored an index');
    await writeFile(bench.repository.pathOf('index', index.name), 'CGINDX1\nnothing');
    await bench.ask('PUT', '/dropped/later', { later: true });
    const snapshot = await backup('dropped', (text) => text);
    assert.equal(snapshot.counts.documents, 3);
    const notices = events.flatMap((one) => (one.type === 'notice' ? [one.message] : []));
    assert.match(
      notices.join('\n'),
      /the run before this one, which did not end, cannot be continued: .*index/,
    );
    await proveReadable(snapshot, 'dropped-back');
  });
});
