// The backup commands as an operator runs them: processes, exit codes, signals and files.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fillDatabase, startBackupBench, type BackupBench } from '../support/backup.ts';
import { startProgram, temporaryFolder } from '../support/program.ts';
import { until } from '../support/until.ts';

interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

describe('the backup commands', () => {
  const folder = temporaryFolder();
  const keyFile = join(folder.path, 'key');
  const repository = join(folder.path, 'repository');
  let bench: BackupBench;

  before(async () => {
    writeFileSync(keyFile, `${'k'.repeat(48)}\n`);
    bench = await startBackupBench();
    await fillDatabase(bench, 'command-source', 20);
  });
  after(async () => {
    await bench.close();
    folder.remove();
  });

  const environment = (more: Readonly<Record<string, string>>): Record<string, string> => ({
    COUCHGATE_BACKUP_REPOSITORY: repository,
    COUCHGATE_BACKUP_KEY_FILE: keyFile,
    COUCHGATE_COUCHDB_NODES: bench.backend.urls.join(','),
    COUCHGATE_JWT_SECRET: bench.backend.jwtSecretBase64,
    COUCHGATE_JWT_KID: bench.backend.kid,
    ...more,
  });

  async function run(
    words: readonly string[],
    more: Readonly<Record<string, string>> = {},
  ): Promise<Finished> {
    const program = startProgram(environment(more), words);
    const code = await program.ended;
    return { code, out: program.stdout(), err: program.stderr() };
  }

  const lines = ({ out }: Finished): readonly Record<string, unknown>[] =>
    out
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  it('makes a full snapshot, then incremental ones – backup – 0', async () => {
    const first = await run(['backup', '--databases', 'command-*']);
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /Created the repository .*, encrypted\.\n/);
    assert.match(first.out, /command-source: snapshot \S+ \(full\), \d+ documents/);
    await bench.ask('PUT', '/command-source/_design%2Fclosed', { _rev: '1-abc', _deleted: true });
    await bench.ask('PUT', '/command-source/doc-1', { _rev: '1-aaa', changed: 'later' });
    const second = await run(['backup', '--databases', 'command-source', '--json']);
    assert.equal(second.code, 0, second.err);
    const snapshot = lines(second).find(({ type }) => type === 'snapshot')?.['snapshot'];
    assert.equal((snapshot as { full: boolean }).full, false);
    const listed = await run(['snapshots', '--json']);
    assert.deepEqual(
      lines(listed).map(({ database, complete }) => [database, complete]),
      [
        ['command-source', true],
        ['command-source', true],
      ],
    );
  });

  it('shows no name and no document without the key', () => {
    for (const file of readdirSync(repository, { recursive: true, encoding: 'utf8' })) {
      const path = join(repository, file);
      assert.doesNotMatch(file, /command|source/);
      if (!statSync(path).isFile()) continue;
      const text = readFileSync(path, 'latin1');
      assert.equal(
        !text.includes('command-source') && !text.includes('changed') && !text.includes('_revisions'),
        true,
      );
    }
  });

  it('lists the versions of a document, compares and restores one – find, diff, restore --doc – 0', async () => {
    const found = lines(await run(['find', 'command-source', 'doc-1', '--json']));
    assert.deepEqual(
      found.map(({ leaves }) => (leaves as { rev: string }[])[0]?.rev.split('-')[0]),
      ['2', '1'],
    );
    const oldest = (found[1]?.['first'] as { snapshot: string }).snapshot;
    const diff = await run(['diff', 'command-source', 'doc-1', '--from', oldest]);
    assert.match(diff.out, /- "n": 1\n/);
    assert.match(diff.out, /\+ "changed": "later"\n/);
    const refused = await run(['restore', 'command-source', '--doc', 'doc-1', '--snapshot', oldest]);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /Nothing was changed/);
    const restored = await run([
      'restore',
      'command-source',
      '--doc',
      'doc-1',
      '--snapshot',
      oldest,
      '--yes',
    ]);
    assert.equal(restored.code, 0, restored.err);
    const { body } = await bench.ask('GET', '/command-source/doc-1');
    const { _rev, ...document } = body as Record<string, unknown>;
    assert.match(String(_rev), /^3-/);
    assert.deepEqual(document, { _id: 'doc-1', n: 1, half: 1.5, text: 'ü' });
  });

  it('restores into a new database that only the owner may read – restore – 0', async () => {
    const { code, out, err } = await run(['restore', 'command-source', '--to', 'command-new']);
    assert.equal(code, 0, err);
    assert.match(out, /everything written before .*, nothing written after/);
    assert.match(out, /Only the owner has access/);
    const { body } = await bench.ask('GET', '/command-new/_security');
    assert.doesNotMatch(JSON.stringify(body), /cloudant|names":\["/);
    const again = await run(['restore', 'command-source', '--to', 'command-new']);
    assert.equal(again.code, 1);
    assert.match(again.err, /exists already; nothing was changed/);
  });

  it('overwrites only after the name was typed or --yes, and keeps the state before', async () => {
    await bench.ask('PUT', '/command-source/only-now', { kept: true });
    const asked = await run(['restore', 'command-source', '--overwrite']);
    assert.equal(asked.code, 1);
    assert.equal((await bench.ask('GET', '/command-source/only-now')).status, 200);
    const done = await run(['restore', 'command-source', '--overwrite', '--yes']);
    assert.equal(done.code, 0, done.err);
    assert.equal((await bench.ask('GET', '/command-source/only-now')).status, 404);
    const found = lines(await run(['find', 'command-source', 'only-now', '--json']));
    assert.equal(found.length, 1);
  });

  it('proves that a snapshot can be restored, and records it – verify --restore – 0', async () => {
    const verified = await run(['verify', '--restore', 'command-source']);
    assert.equal(verified.code, 0, verified.out + verified.err);
    assert.match(verified.out, /can be restored: \d+ revisions and \d+ attachments are equal/);
    const listed = lines(await run(['snapshots', 'command-source', '--json']));
    assert.match(String(listed.at(-1)?.['verified_at']), /^20/);
    const names = (await bench.ask('GET', '/_all_dbs')).body as string[];
    assert.deepEqual(
      names.filter((name) => name.startsWith('couchgate-verify-')),
      [],
    );
    const data = await run(['verify', '--read-data']);
    assert.equal(data.code, 0, data.out);
    assert.match(data.out, /no damage \(all data were read\)/);
  });

  it('removes what the policy does not keep, and its data with --prune – forget – 0', async () => {
    const empty = await run(['forget', '--keep-last', '0']);
    assert.equal(empty.code, 1);
    assert.match(empty.err, /The policy keeps nothing/);
    const dry = await run(['forget', '--keep-last', '1', '--dry-run']);
    assert.match(dry.out, /remove .*\n[^]*keep .*last 1 of 1/);
    const before = lines(await run(['snapshots', '--json'])).length;
    const done = await run(['forget', '--keep-last', '1', '--prune']);
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, new RegExp(`${before - 1} of ${before} snapshots were removed`));
    assert.match(done.out, /files with .* were removed/);
    const verified = await run(['verify', '--read-data']);
    assert.equal(verified.code, 0, verified.out);
    assert.match(verified.out, /^1 snapshots/m);
  });

  it('says in one sentence what is wrong, with its exit code', async () => {
    const other = join(folder.path, 'other-key');
    writeFileSync(other, 'x'.repeat(40));
    const cases: [readonly string[], Record<string, string>, number, RegExp][] = [
      [
        ['snapshots'],
        { COUCHGATE_BACKUP_KEY_FILE: other },
        12,
        /^The key file is not the one of this repository\.\n$/,
      ],
      [
        ['snapshots'],
        { COUCHGATE_BACKUP_KEY_FILE: '' },
        12,
        /encrypted with a key file; set backup_key_file/,
      ],
      [['snapshots', '--repository', folder.path], {}, 10, /is not a backup repository/],
      [['backup', '--repository', folder.path], {}, 10, /holds other files/],
      [['snapshots'], { COUCHGATE_BACKUP_REPOSITORY: '' }, 10, /No repository: set backup_repository/],
      [['backup', '--databases', 'no-such'], {}, 1, /The database no-such does not exist\.\n$/],
      [['restore', 'no-such'], {}, 1, /no snapshot of no-such/],
      [['restore', 'command-source', '--to', '_users'], {}, 2, /system database/],
      [['restore', 'command-source', '--time', '2001-01-01'], {}, 1, /no snapshot of command-source before/],
      [['backup'], { COUCHGATE_COUCHDB_NODES: '' }, 2, /no CouchDB/],
      [
        ['backup', '--databases', '_users', '--repository', join(folder.path, 'plain')],
        { COUCHGATE_BACKUP_KEY_FILE: '' },
        1,
        /^_users holds credentials; it is backed up into an encrypted/,
      ],
    ];
    for (const [words, more, code, sentence] of cases) {
      const result = await run(words, more);
      assert.equal(result.code, code, `${words.join(' ')}: ${result.err}`);
      assert.match(result.err, sentence);
      assert.equal(result.out.includes('    at '), false);
    }
  });

  it('refuses a newer format – snapshots – 10', async () => {
    const newer = join(folder.path, 'newer');
    const program = await run(['backup', '--databases', 'command-new', '--repository', newer]);
    assert.equal(program.code, 0);
    const config = join(newer, 'couchgate-backup.json');
    writeFileSync(config, readFileSync(config, 'utf8').replace('"version": 1', '"version": 2'));
    const { code, err } = await run(['snapshots', '--repository', newer]);
    assert.equal(code, 10);
    assert.match(err, /has format 2; this Couchgate reads up to format 1/);
  });

  it('ends in order on SIGTERM, refuses a second backup meanwhile, and continues – 130, 11, 0', async () => {
    await bench.ask('PUT', '/command-large');
    for (let at = 0; at < 8; at += 1)
      await bench.ask('POST', '/command-large/_bulk_docs', {
        docs: Array.from({ length: 500 }, (_, n) => ({ _id: `d${at}-${n}`, text: 'x'.repeat(800) })),
      });
    const own = join(folder.path, 'large');
    const words = ['backup', '--databases', 'command-large', '--repository', own];
    const program = startProgram(environment({}), words);
    await until(() => readdirSync(folder.path).includes('large') && readdirSync(own).includes('lock'));
    const second = await run(words);
    if (second.code !== 0) {
      assert.equal(second.code, 11, second.err);
      assert.match(second.err, /is locked by backup \(process \d+ on .*\) since .*, last sign of life/);
    }
    program.child.kill('SIGTERM');
    const code = await program.ended;
    assert.ok(code === 130 || code === 0, program.stderr());
    const next = await run(words);
    assert.equal(next.code, 0, next.err);
    const verified = await run(['verify', '--restore', '--repository', own]);
    assert.equal(verified.code, 0, verified.out + verified.err);
    assert.match(verified.out, /4000 revisions/);
  });
});
