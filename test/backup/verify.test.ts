// Damage of a repository: each kind is named, and a restore brings back everything else.
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type BackupSecret } from '../../src/backup/cipher.ts';
import { Repository } from '../../src/backup/repository.ts';
import { restoreDatabase } from '../../src/backup/restore-database.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { verifyRepository } from '../../src/backup/verify.ts';
import { fillDatabase, startBackupBench, type BackupBench } from '../support/backup.ts';

const SECRETS: Readonly<Record<string, BackupSecret | undefined>> = {
  'without encryption': undefined,
  encrypted: { type: 'key-file', bytes: Buffer.from('k'.repeat(40)) },
};

for (const [title, secret] of Object.entries(SECRETS))
  describe(`damage of a repository ${title}`, () => {
    let bench: BackupBench;
    let snapshot: Snapshot;
    let copies = 0;

    before(async () => {
      bench = await startBackupBench(secret === undefined ? {} : { secret });
      await fillDatabase(bench, 'damage-source', 30);
      snapshot = await bench.backup('damage-source');
    });
    after(() => bench.close());

    /** A copy of the repository in which `damage` changes the first file of a folder. */
    function damaged(folder: string, damage: (path: string) => void): Repository {
      const { folder: from, id, cipher } = bench.repository;
      const to = `${from}-${++copies}`;
      cpSync(from, to, { recursive: true });
      const names = readdirSync(join(to, folder), { recursive: true, encoding: 'utf8' }).filter(
        (name) => name.length > 10,
      );
      damage(join(to, folder, names.sort()[0] ?? ''));
      return new Repository(to, id, cipher);
    }

    const flip =
      (at: number) =>
      (path: string): void => {
        const bytes = readFileSync(path);
        const position = at < 0 ? bytes.length + at : at;
        bytes[position] = (bytes[position] ?? 0) ^ 1;
        writeFileSync(path, bytes);
      };

    const DAMAGES: Readonly<
      Record<string, readonly [folder: string, (path: string) => void, found: 'structure' | 'data']>
    > = {
      'a flipped byte in the middle of a pack': ['packs', flip(300), 'data'],
      'a flipped byte at the end of a pack': ['packs', flip(-1), 'data'],
      'a truncated pack': ['packs', (path) => truncateSync(path, 200), 'structure'],
      'a missing pack': ['packs', (path) => rmSync(path), 'structure'],
      'a flipped byte in an index file': ['index', flip(100), 'structure'],
      'a missing index file': ['index', (path) => rmSync(path), 'structure'],
      'a flipped byte in an attachment': ['attachments', flip(-1), 'data'],
      'a truncated attachment': ['attachments', (path) => truncateSync(path, 6), 'data'],
      'a missing attachment': ['attachments', (path) => rmSync(path), 'structure'],
      'a flipped byte in a manifest': ['snapshots', flip(-1), 'structure'],
    };

    for (const [name, [folder, damage, found]] of Object.entries(DAMAGES)) {
      it(`is named – ${name}`, async () => {
        const repository = damaged(folder, damage);
        const structure = await verifyRepository(repository, { readData: false });
        assert.equal(structure.damages.length > 0, found === 'structure', JSON.stringify(structure));
        const data = await verifyRepository(repository, { readData: true });
        assert.notEqual(data.damages.length, 0);
        assert.match(data.damages[0]?.reason ?? '', /damaged|missing/);
      });

      it(`is never restored silently – ${name}`, async () => {
        if (folder === 'snapshots') return;
        const repository = damaged(folder, damage);
        const target = `damage-target-${copies}`;
        const { couch } = bench;
        const restored = await restoreDatabase(
          { repository, couch, onEvent: () => undefined },
          snapshot,
          target,
        ).then(
          ({ problems }) => problems,
          (error: unknown) => [{ id: '', reason: (error as Error).message }],
        );
        assert.notEqual(restored.length, 0);
        assert.match(restored[0]?.reason ?? '', /damaged/);
        const exists = await bench.ask('GET', `/${target}`);
        // Every document that is not named is there, with its content.
        if (exists.status === 200) {
          const { differences } = await bench.check(snapshot, target);
          const named = new Set(restored.map(({ id }) => id));
          assert.deepEqual(
            differences.filter(({ id }) => !named.has(id)),
            [],
          );
        }
      });
    }
  });
