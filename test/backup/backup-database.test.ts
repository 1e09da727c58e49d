// Snapshots over the life of a database: increments, what cannot be read, purge, re-creation, damage.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { backupDatabase } from '../../src/backup/backup-database.ts';
import { Cancelled } from '../../src/backup/errors.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { readPartial } from '../../src/backup/snapshot.ts';
import { findVersions } from '../../src/backup/versions.ts';
import { verifyRepository } from '../../src/backup/verify.ts';
import { type CouchTransfer, type TransferRequest } from '../../src/couch/transfer.ts';
import { fillDatabase, startBackupBench, type BackupBench } from '../support/backup.ts';
import { until } from '../support/until.ts';

describe('a backup', () => {
  let bench: BackupBench;

  before(async () => {
    bench = await startBackupBench();
  });
  after(() => bench.close());

  const bytesOf = (folder: string): number =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .map((name) => statSync(join(folder, name)))
      .filter((entry) => entry.isFile())
      .reduce((sum, { size }) => sum + size, 0);

  /** Bytes of the files that are named by their content. */
  const contentBytes = (): number =>
    ['packs', 'index', 'attachments'].reduce((sum, name) => {
      const folder = join(bench.repository.folder, name);
      return sum + (existsSync(folder) ? bytesOf(folder) : 0);
    }, 0);

  /** Runs one backup through a client that changes what CouchDB answers. */
  async function backupThrough(
    database: string,
    answer: (request: TransferRequest, bytes: Buffer) => Buffer,
  ) {
    const couch: CouchTransfer = {
      ...bench.couch,
      async ask(request, maxBytes) {
        const real = await bench.couch.ask(request, maxBytes);
        return { status: real.status, bytes: answer(request, real.bytes) };
      },
      read: (request) => bench.couch.read(request),
    };
    const { repository } = bench;
    const lock = await takeLock(repository, 'test');
    try {
      return await backupDatabase({ repository, lock, couch, onEvent: () => undefined }, database);
    } finally {
      await lock.release();
    }
  }

  it('adds kilobytes if nothing changed, and reads only what changed', async () => {
    await fillDatabase(bench, 'life-increments', 300);
    const empty = contentBytes();
    const first = await bench.backup('life-increments');
    assert.equal(first.added_bytes, contentBytes() - empty);
    assert.deepEqual([first.full, first.complete], [true, true]);
    const size = bytesOf(bench.repository.folder);
    const second = await bench.backup('life-increments');
    assert.deepEqual([second.full, second.counts, second.index], [false, first.counts, first.index]);
    assert.equal(bytesOf(bench.repository.folder) - size < 8192, true);
    assert.equal(second.added_bytes, 0);
    await bench.ask('DELETE', '/life-increments/_design%2Fclosed?rev=1-abc');
    await bench.ask('PUT', '/life-increments/doc-7', { _rev: '1-aaa', n: 'changed' });
    bench.events.length = 0;
    const third = await bench.backup('life-increments');
    const read = bench.events.flatMap((event) => (event.type === 'progress' ? [event.documents] : []));
    assert.equal(Math.max(...read), 2);
    await bench.restore(third, 'life-increments-3');
    assert.deepEqual((await bench.check(third, 'life-increments-3')).differences, []);
    await bench.restore(first, 'life-increments-1');
    assert.deepEqual((await bench.check(first, 'life-increments-1')).differences, []);
    const versions = await findVersions(bench.repository, 'life-increments', 'doc-7');
    assert.deepEqual(
      versions.map(({ leaves, snapshots }) => [leaves[0]?.rev[0], snapshots]),
      [
        ['2', 1],
        ['1', 2],
      ],
    );
  });

  it('stores equal attachments once', () => {
    const folder = join(bench.repository.folder, 'attachments');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.length > 2,
    );
    // Six attachments, two of them equal.
    assert.equal(files.length, 5);
  });

  it('names what cannot be read, and reads it with the next backup', async () => {
    await fillDatabase(bench, 'life-errors', 10);
    const broken = await backupThrough('life-errors', (request, bytes) => {
      if (!request.path.includes('_bulk_get')) return bytes;
      const { results } = JSON.parse(bytes.toString()) as { results: { id: string; docs: object[] }[] };
      const error = { error: { id: 'doc-3', rev: 'undefined', error: 'internal_fabric_error', reason: 'x' } };
      const changed = results
        .filter(({ id }) => id !== 'doc-4')
        .map((result) => (result.id === 'doc-3' ? { id: result.id, docs: [error] } : result));
      return Buffer.from(JSON.stringify({ results: changed }));
    });
    assert.equal(broken.complete, false);
    assert.deepEqual(broken.problems, [
      { id: 'doc-3', reason: 'internal_fabric_error: x' },
      { id: 'doc-4', reason: 'CouchDB returned no result' },
    ]);
    const next = await bench.backup('life-errors');
    assert.deepEqual([next.full, next.complete, next.problems], [false, true, []]);
    await bench.restore(next, 'life-errors-restored');
    assert.deepEqual((await bench.check(next, 'life-errors-restored')).differences, []);
  });

  it('does not lose a leaf that CouchDB leaves out of a document', async () => {
    const broken = await backupThrough('life-errors', (_request, bytes) => bytes);
    assert.equal(broken.complete, true);
    await fillDatabase(bench, 'life-leaves', 0);
    const partly = await backupThrough('life-leaves', (request, bytes) => {
      if (!request.path.includes('_bulk_get')) return bytes;
      const { results } = JSON.parse(bytes.toString()) as { results: { id: string; docs: unknown[] }[] };
      for (const result of results) if (result.id === 'conflict') result.docs.length = 1;
      return Buffer.from(JSON.stringify({ results }));
    });
    const leaves = (await findVersions(bench.repository, 'life-leaves', 'conflict'))[0]?.leaves ?? [];
    assert.ok(!partly.complete || leaves.length === 3, JSON.stringify(partly.problems));
  });

  it('makes a new full backup of a database that was deleted and made again', async () => {
    await bench.ask('PUT', '/life-again');
    await bench.ask('PUT', '/life-again/old', { n: 1 });
    const first = await bench.backup('life-again');
    // instance_start_time counts seconds.
    await until(async () => {
      await bench.ask('DELETE', '/life-again');
      await bench.ask('PUT', '/life-again');
      const { body } = await bench.ask('GET', '/life-again');
      return (body as { instance_start_time: string }).instance_start_time !== first.instance_start_time;
    });
    await bench.ask('PUT', '/life-again/new', { n: 2 });
    await bench.ask('PUT', '/life-again/newer', { n: 3 });
    const second = await bench.backup('life-again');
    assert.deepEqual([first.full, second.full, second.parent], [true, true, null]);
    assert.equal(second.counts.documents, 2);
    const versions = await findVersions(bench.repository, 'life-again', 'old');
    assert.deepEqual(
      versions.map(({ leaves }) => leaves.length),
      [0, 1],
    );
  });

  it('drops purged documents from the next snapshot', async (t) => {
    if (bench.backend.kind === 'embedded') {
      t.skip('the embedded node cannot purge');
      return;
    }
    await fillDatabase(bench, 'life-purge', 10);
    const first = await bench.backup('life-purge');
    const purged = await bench.ask('POST', '/life-purge/_purge', {
      'doc-2': ['1-aaa'],
      files: ['1-eee'],
      conflict: ['2-bbb'],
    });
    assert.equal(purged.status, 201);
    const second = await bench.backup('life-purge');
    assert.equal(second.full, false);
    assert.equal(second.counts.documents, first.counts.documents - 2);
    assert.equal(second.counts.leaves, first.counts.leaves - 3);
    await bench.restore(second, 'life-purge-restored');
    assert.deepEqual((await bench.check(second, 'life-purge-restored')).differences, []);
    assert.deepEqual(
      (await findVersions(bench.repository, 'life-purge', 'doc-2')).map(({ leaves }) => leaves.length),
      [0, 1],
    );
  });

  it('ends after a cancellation, and continues there', async () => {
    await fillDatabase(bench, 'life-cancel', 2000);
    const before = contentBytes();
    const controller = new AbortController();
    controller.abort();
    await assert.rejects(bench.backup('life-cancel', controller.signal), Cancelled);
    assert.notEqual(await readPartial(bench.repository, 'life-cancel'), undefined);
    bench.events.length = 0;
    const snapshot = await bench.backup('life-cancel');
    assert.equal(
      bench.events.some((event) => event.type === 'start' && event.resumed),
      true,
    );
    assert.equal(snapshot.added_bytes, contentBytes() - before, 'both parts of the run');
    assert.equal(await readPartial(bench.repository, 'life-cancel'), undefined);
    await bench.restore(snapshot, 'life-cancel-restored');
    assert.deepEqual((await bench.check(snapshot, 'life-cancel-restored')).differences, []);
  });

  it('continues from the snapshot before a damaged one', async () => {
    await bench.ask('PUT', '/life-damaged');
    await bench.ask('PUT', '/life-damaged/one', {});
    const first = await bench.backup('life-damaged');
    await bench.ask('PUT', '/life-damaged/two', {});
    const second = await bench.backup('life-damaged');
    const path = join(bench.repository.folder, 'snapshots', second.id);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, 20));
    bench.events.length = 0;
    const third = await bench.backup('life-damaged');
    assert.deepEqual([third.parent, third.counts.documents], [first.id, 2]);
    assert.equal(
      bench.events.some((event) => event.type === 'notice' && event.message.includes('damaged')),
      true,
    );
    writeFileSync(path, bytes);
  });

  it('leaves a repository without damage', async () => {
    const { damages } = await verifyRepository(bench.repository, { readData: true });
    assert.deepEqual(damages, []);
  });
});
