// A snapshot and its restore: every leaf, attachment and property as it was.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { takeLock } from '../../src/backup/lock.ts';
import { prune } from '../../src/backup/prune.ts';
import { RepositoryInUse } from '../../src/backup/readers.ts';
import { restoreDatabase } from '../../src/backup/restore-database.ts';
import { type CouchTransfer } from '../../src/couch/transfer.ts';
import { DIFFICULT_IDS, fillDatabase, startBackupBench, type BackupBench } from '../support/backup.ts';

describe('restoring a snapshot', () => {
  let bench: BackupBench;

  before(async () => {
    bench = await startBackupBench({ secret: { type: 'passphrase', text: 'correct horse battery' } });
    await fillDatabase(bench, 'restore-source');
  });
  after(() => bench.close());

  it('brings back every leaf, attachment and property, in a database of the owner alone', async () => {
    const snapshot = await bench.backup('restore-source');
    assert.deepEqual(snapshot.problems, []);
    assert.equal(snapshot.full, true);
    const outcome = await bench.restore(snapshot, 'restore-target');
    assert.deepEqual(outcome.problems, []);
    const { differences, leaves, attachments } = await bench.check(snapshot, 'restore-target');
    assert.deepEqual(differences, []);
    assert.equal(leaves, 50 + DIFFICULT_IDS.length + 3 + 1 + 2 + 1 + 1 + 1);
    assert.equal(attachments, 6);
    const { body } = await bench.ask('GET', '/restore-target/_security');
    assert.deepEqual(body, (await bench.ask('GET', '/restore-target/_security')).body);
    const { admins, members, cloudant } = body as Record<
      string,
      { names?: string[]; roles?: string[] } | undefined
    >;
    assert.deepEqual([admins?.roles, members?.roles, cloudant], [['_admin'], ['_admin'], undefined]);
  });

  it('finds another content under the same revision', async () => {
    const snapshot = await bench.backup('restore-source');
    await bench.restore(snapshot, 'restore-changed');
    await bench.ask('DELETE', '/restore-changed/_design%2Fclosed?rev=1-abc');
    await bench.ask('PUT', '/restore-other');
    const { body } = await bench.ask('GET', '/restore-changed/doc-3?revs=true');
    const changed = { ...(body as object), n: 'changed' };
    await bench.ask('POST', '/restore-other/_bulk_docs', { docs: [changed], new_edits: false });
    const { differences } = await bench.check(snapshot, 'restore-other');
    assert.deepEqual(
      differences.filter(({ id }) => id === 'doc-3').map(({ reason }) => reason),
      ['revision 1-aaa has another content'],
    );
    assert.equal(
      differences.some(({ id, reason }) => id === 'doc-4' && reason === 'is not in the database'),
      true,
    );
  });

  it('keeps its data from being removed while it runs, and waits for no removal', async () => {
    const snapshot = await bench.backup('restore-source');
    const { repository } = bench;
    const lock = await takeLock(repository, 'test');
    try {
      const refusals: unknown[] = [];
      const couch: CouchTransfer = {
        async ask(request, maxBytes) {
          if (request.path.includes('_bulk_docs'))
            await prune(repository, lock, () => assert.fail('removed')).catch((error: unknown) =>
              refusals.push(error),
            );
          return bench.couch.ask(request, maxBytes);
        },
        read: (request) => bench.couch.read(request),
        close: () => Promise.resolve(),
      };
      await restoreDatabase({ repository, couch, onEvent: () => undefined }, snapshot, 'restore-read');
      assert.notEqual(refusals.length, 0);
      for (const refusal of refusals) {
        assert.ok(refusal instanceof RepositoryInUse, String(refusal));
        assert.equal(refusal.exitCode, 11);
        assert.match(refusal.message, /^restore \(process \d+ on .*\) reads the repository since/);
      }
      // A reader that died does not count.
      const dead = {
        id: 'x',
        host: hostname(),
        pid: 1,
        process_start: 'another',
        command: 'restore',
        since: '',
      };
      await writeFile(join(repository.folder, 'readers', randomUUID()), JSON.stringify(dead));
      await prune(repository, lock, () =>
        assert.rejects(bench.restore(snapshot, 'restore-refused'), {
          exitCode: 11,
          message: /^forget --prune \(process \d+ on .*\) removes data of the repository since/,
        }),
      );
      assert.equal((await bench.ask('GET', '/restore-refused')).status, 404);
      assert.deepEqual(await repository.list('readers'), []);
    } finally {
      await lock.release();
    }
    assert.deepEqual((await bench.check(snapshot, 'restore-read')).differences, []);
  });

  it('waits for a copy of a shard that counts too few documents at first', async () => {
    const snapshot = await bench.backup('restore-source');
    const { repository } = bench;
    let behind = 2;
    const couch: CouchTransfer = {
      ask: async (request, maxBytes) => {
        const answer = await bench.couch.ask(request, maxBytes);
        if (request.path !== '/restore-behind' || request.method !== 'GET' || behind === 0) return answer;
        behind -= 1;
        const info = JSON.parse(answer.bytes.toString()) as object;
        return { ...answer, bytes: Buffer.from(JSON.stringify({ ...info, doc_count: 1 })) };
      },
      read: (request) => bench.couch.read(request),
      close: () => Promise.resolve(),
    };
    await restoreDatabase({ repository, couch, onEvent: () => undefined }, snapshot, 'restore-behind');
    assert.equal(behind, 0);
  });

  it('never writes into a database that exists', async () => {
    const snapshot = await bench.backup('restore-source');
    await bench.ask('PUT', '/restore-taken');
    await assert.rejects(bench.restore(snapshot, 'restore-taken'), /exists already; nothing was changed/);
    const { body } = await bench.ask('GET', '/restore-taken');
    assert.equal((body as { doc_count: number }).doc_count, 0);
  });
});
