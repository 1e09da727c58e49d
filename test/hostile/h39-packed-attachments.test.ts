// H39.5: an attachment can be read within JSON only, for which CouchDB unpacks it in memory. It is not read if it
// may unpack to more than a node has.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { backupDatabase } from '../../src/backup/backup-database.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { InvalidAnswer, type CouchTransfer } from '../../src/couch/transfer.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';

describe('H39.5 attachments that unpack to much', () => {
  let bench: BackupBench;

  before(async () => {
    bench = await startBackupBench();
  });
  after(() => bench.close());

  /**
   * Backs up a document with the attachments `a` and `b`, whose answers are not valid HTTP. `described` is what
   * CouchDB says of the length of `a`.
   */
  async function backup(database: string, described: string) {
    await bench.ask('PUT', `/${database}`);
    await bench.ask('PUT', `/${database}/good`, { good: true });
    const file = (text: string) => ({
      content_type: 'application/x',
      data: Buffer.from(text).toString('base64'),
    });
    await bench.ask('PUT', `/${database}/bad`, { _attachments: { a: file('content'), b: file('x') } });
    let unpacked = 0;
    const couch: CouchTransfer = {
      close: () => Promise.resolve(),
      ask: async (request, maxBytes) => {
        if (request.path.includes('attachments=true')) unpacked += 1;
        const answer = await bench.couch.ask(request, maxBytes);
        return { ...answer, bytes: Buffer.from(answer.bytes.toString().replace('"length":7', described)) };
      },
      read: () => Promise.reject(new InvalidAnswer('CouchDB sent an answer that is not valid HTTP.')),
    };
    const { repository } = bench;
    const lock = await takeLock(repository, 'test');
    try {
      const context = { repository, lock, couch, onEvent: () => undefined };
      const { problems, counts } = await backupDatabase(context, database);
      return { unpacked, problems: problems.map(({ id, reason }) => `${id}: ${reason}`), counts };
    } finally {
      await lock.release();
    }
  }

  const gzip = (bytes: string) => `"length":7,"encoding":"gzip","encoded_length":${bytes}`;

  const refused = [
    ['of 32 KiB', gzip('32768')],
    ['of an unknown size', gzip('null')],
    ['of no size', '"length":7,"encoding":"gzip"'],
  ] as const;

  for (const [at, [what, described]] of refused.entries())
    it(`names a document whose gzip ${what} CouchDB would have to unpack`, async () => {
      const { unpacked, problems, counts } = await backup(`refused-${at}`, described);
      assert.equal(unpacked, 0);
      assert.equal(counts.documents, 1);
      assert.equal(problems.length, 1);
      assert.match(problems[0] ?? '', /^bad: .*no valid HTTP; within JSON, CouchDB might unpack more/);
    });

  it('reads a gzip of 16 KiB, which unpacks to 16 MiB at most, once', async () => {
    const { unpacked, problems, counts } = await backup('read', gzip('16384'));
    assert.deepEqual([unpacked, problems, counts.attachments], [1, [], 2]);
  });
});
