// A backup that is killed loses at most its last batch: the next one continues, and nothing is missing.
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openRepository } from '../../src/backup/repository.ts';
import { restoreDatabase } from '../../src/backup/restore-database.ts';
import { checkRestored } from '../../src/backup/check-restored.ts';
import { listSnapshots } from '../../src/backup/snapshot.ts';
import { verifyRepository } from '../../src/backup/verify.ts';
import { fillDatabase, startBackupBench, type BackupBench } from '../support/backup.ts';
import { startProgram, temporaryFolder } from '../support/program.ts';

/** A measurement uses 20. */
const KILLS = Number(process.env['COUCHGATE_KILL_MOMENTS'] ?? 3);
const MAX_RUNS = 60;
const DATABASE = 'killed';

describe('a backup that is killed', () => {
  let bench: BackupBench;
  const folder = temporaryFolder();
  const repository = join(folder.path, 'repository');

  before(async () => {
    bench = await startBackupBench();
    await mkdir(repository);
    await fillDatabase(bench, DATABASE, 300);
    // Several batches, and many small files.
    for (let n = 0; n < 24; n += 1) await bench.ask('PUT', `/${DATABASE}/large-${n}`, large());
    for (let n = 0; n < 40; n += 1)
      await bench.ask('PUT', `/${DATABASE}/file-${n}`, {
        _attachments: { f: { content_type: 'text/plain', data: randomBytes(300).toString('base64') } },
      });
  });
  after(async () => {
    await bench.close();
    folder.remove();
  });

  const large = (): object => ({ text: randomBytes(768 * 1024).toString('base64') });

  /** Runs a backup, and kills it at the n-th change in the folder of the repository. */
  async function backup(killAt = Infinity) {
    const program = startProgram(
      {
        COUCHGATE_COUCHDB_NODES: bench.backend.urls.join(','),
        COUCHGATE_JWT_SECRET: bench.backend.jwtSecretBase64,
        COUCHGATE_JWT_KID: bench.backend.kid,
      },
      ['backup', '--json', '--databases', DATABASE, '--repository', repository],
    );
    let moments = 0;
    const watcher = watch(repository, { recursive: true }, () => {
      moments += 1;
      if (moments >= killAt) program.child.kill('SIGKILL');
    });
    const code = await program.ended;
    watcher.close();
    return { code, moments, stdout: program.stdout(), stderr: program.stderr() };
  }

  it(`continues, and loses nothing – kill -9 at ${KILLS} random moments`, async (t) => {
    let killed = 0;
    let resumed = 0;
    let lastMoment = 100;
    for (let turn = 0; killed < KILLS && turn < MAX_RUNS; turn += 1) {
      const { code, moments, stdout, stderr } = await backup(randomInt(1, lastMoment));
      assert.ok(code === null || code === 0, `exit code ${code}: ${stderr}`);
      if (code === null) killed += 1;
      else lastMoment = Math.max(2, moments);
      if (stdout.includes('"resumed":true')) resumed += 1;
      await bench.ask('PUT', `/${DATABASE}/added-${turn}`, large());
      // A revision that the last batch may have.
      const { body } = await bench.ask('GET', `/${DATABASE}/large-0`);
      await bench.ask('PUT', `/${DATABASE}/large-0`, { ...(body as object), turn });
    }
    t.diagnostic(`${killed} were killed, ${resumed} continued after a batch`);
    assert.equal(killed, KILLS);
    assert.equal((await backup()).code, 0);
    const opened = await openRepository(repository, undefined);
    const outcome = await verifyRepository(opened, { readData: true });
    assert.deepEqual(outcome.damages, []);
    const context = { repository: opened, couch: bench.couch, onEvent: () => undefined };
    const snapshots = await listSnapshots(opened, DATABASE);
    const last = snapshots.at(-1);
    assert.equal(last?.complete, true);
    assert.equal((await restoreDatabase(context, last, 'killed-restored')).problems.length, 0);
    const { differences } = await checkRestored(context, last, 'killed-restored');
    assert.deepEqual(differences, []);
    // The snapshot is the live database.
    const live = await checkRestored(context, last, DATABASE);
    assert.deepEqual(live.differences, []);
  });
});
