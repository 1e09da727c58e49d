// A backup through faults: killed at random moments, a full disk, a CouchDB node that dies. Nothing is lost
// silently, and the next backup is complete.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openRepository } from '../../src/backup/repository.ts';
import { listSnapshots } from '../../src/backup/snapshot.ts';
import { verifyRepository } from '../../src/backup/verify.ts';
import { fillDatabase, startBackupBench, type BackupBench } from '../support/backup.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { startProgram, temporaryFolder, type Program } from '../support/program.ts';
import { until } from '../support/until.ts';

const KILLS = Number(process.env['COUCHGATE_BACKUP_KILLS'] ?? 2);

describe('a backup through faults', () => {
  const folder = temporaryFolder();
  let bench: BackupBench;

  before(async () => {
    bench = await startBackupBench({ nodes: 3 });
    await bench.ask('PUT', '/faults');
    for (let at = 0; at < 12; at += 1)
      await bench.ask('POST', '/faults/_bulk_docs', {
        docs: Array.from({ length: 500 }, (_, n) => ({
          _id: `many-${at}-${n}`,
          text: randomBytes(300).toString('hex'),
        })),
      });
    // Its validation function refuses every later change.
    await fillDatabase(bench, 'faults', 20);
  });
  after(async () => {
    await bench.close();
    folder.remove();
  });

  const start = (repository: string): Program =>
    startProgram(
      {
        COUCHGATE_BACKUP_REPOSITORY: repository,
        COUCHGATE_COUCHDB_NODES: bench.backend.urls.join(','),
        COUCHGATE_JWT_SECRET: bench.backend.jwtSecretBase64,
        COUCHGATE_JWT_KID: bench.backend.kid,
      },
      ['backup', '--databases', 'faults', '--json'],
    );

  const bytesIn = (path: string): number =>
    existsSync(path)
      ? readdirSync(path, { recursive: true, encoding: 'utf8' }).reduce((sum, name) => {
          const entry = statSync(join(path, name), { throwIfNoEntry: false });
          return sum + (entry?.isFile() === true ? entry.size : 0);
        }, 0)
      : 0;

  /** The newest snapshot is complete, and its restore has every leaf and attachment. */
  async function requireEqual(path: string, target: string): Promise<void> {
    const repository = await openRepository(path, undefined);
    assert.deepEqual((await verifyRepository(repository, { readData: true })).damages, []);
    const snapshot = (await listSnapshots(repository, 'faults')).at(-1);
    assert.equal(snapshot?.complete, true);
    const { restoreDatabase } = await import('../../src/backup/restore-database.ts');
    const { checkRestored } = await import('../../src/backup/check-restored.ts');
    const context = { repository, couch: bench.couch, onEvent: () => undefined };
    assert.deepEqual((await restoreDatabase(context, snapshot, target)).problems, []);
    assert.deepEqual((await checkRestored(context, snapshot, target)).differences, []);
    const { body } = await bench.ask('GET', '/faults');
    const { doc_count: documents } = body as { doc_count: number };
    assert.equal(snapshot.counts.documents, documents);
  }

  it(`survives SIGKILL at ${KILLS} random moments: the next backup is complete – 0`, async () => {
    const repository = join(folder.path, 'killed');
    for (let at = 0; at < KILLS; at += 1) {
      const program = start(repository);
      // A random amount of written data, not a random time: machines differ in speed.
      const limit = bytesIn(repository) + Math.random() * 120_000;
      await until(() => bytesIn(repository) > limit || program.child.exitCode !== null, 'data are written');
      await program.end('SIGKILL');
      if (existsSync(join(repository, 'couchgate-backup.json')))
        assert.deepEqual(
          (await verifyRepository(await openRepository(repository, undefined), { readData: true })).damages,
          [],
        );
    }
    const last = start(repository);
    assert.equal(await last.ended, 0, last.stderr());
    await requireEqual(repository, 'faults-killed');
  });

  it('says that the disk is full, and goes on when there is room – 1, 0', async (t) => {
    const mount = join(folder.path, 'small');
    mkdirSync(mount);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=200k', 'tmpfs', mount]);
    if (mounted.status !== 0) {
      t.skip('needs the right to mount a tmpfs');
      return;
    }
    try {
      const repository = join(mount, 'repository');
      const full = start(repository);
      assert.equal(await full.ended, 1, full.stderr() + full.stdout());
      assert.match(full.stdout() + full.stderr(), /Writing to the repository failed: the disk is full\./);
      assert.deepEqual(await listSnapshots(await openRepository(repository, undefined)), []);
      assert.equal(spawnSync('mount', ['-o', 'remount,size=64m', mount]).status, 0);
      const next = start(repository);
      assert.equal(await next.ended, 0, next.stderr());
      await requireEqual(repository, 'faults-full');
    } finally {
      spawnSync('umount', ['-l', mount]);
    }
  });

  it('reads from the other nodes when one dies – 0', { skip: withoutCouchdb }, async () => {
    const repository = join(folder.path, 'node');
    const [, second] = bench.backend.nodes;
    assert.ok(second, 'second is missing');
    const program = start(repository);
    await until(
      () => bytesIn(join(repository, 'tmp')) > 0 || program.child.exitCode !== null,
      'the backup writes',
    );
    await second.kill();
    try {
      assert.equal(await program.ended, 0, program.stderr() + program.stdout());
    } finally {
      await second.start();
    }
    await requireEqual(repository, 'faults-node');
  });
});
