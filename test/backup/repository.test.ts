// The files of a repository: which are Couchgate's, and who may create it.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openBox, sealBox } from '../../src/backup/box.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { prune } from '../../src/backup/prune.ts';
import { openOrCreateRepository, openRepository } from '../../src/backup/repository.ts';
import { listVerifications } from '../../src/backup/snapshot.ts';
import { verifyRepository } from '../../src/backup/verify.ts';

describe('a repository', () => {
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-repository-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('passes over files that a file server or a program for synchronization makes', async () => {
    const { repository } = await openOrCreateRepository(join(folder, 'foreign'), undefined);
    for (const part of ['snapshots', 'partial', 'verified']) {
      mkdirSync(join(repository.folder, part));
      writeFileSync(join(repository.folder, part, '.nfs000000000001'), 'x');
    }
    const lock = await takeLock(repository, 'test');
    assert.deepEqual(await prune(repository, lock), { files: 0, bytes: 0 });
    await lock.release();
    assert.equal((await listVerifications(repository)).size, 0);
    assert.deepEqual((await verifyRepository(repository, { readData: true })).damages, []);
  });

  it('is created once, and opened by all others that create it at the same time', async () => {
    const shared = join(folder, 'shared');
    const secret = { type: 'passphrase', text: 'correct horse battery' } as const;
    const opened = await Promise.all([1, 2, 3].map(() => openOrCreateRepository(shared, secret)));
    assert.equal(opened.filter(({ created }) => created).length, 1);
    const sealed = await Promise.all(
      opened.map(({ repository }) => sealBox(Buffer.from(repository.id), 'partial', repository.cipher)),
    );
    const { id, cipher } = await openRepository(shared, secret);
    for (const box of sealed) assert.equal(String(await openBox(box, 'partial', cipher, 'box')), id);
  });

  it('is not created in a folder with other files', async () => {
    const foreign = join(folder, 'other');
    mkdirSync(join(foreign, 'photos'), { recursive: true });
    await assert.rejects(openOrCreateRepository(foreign, undefined), /holds other files \("photos"\)/);
  });
});
