// The backup commands as an operator runs them: each bad input gets one sentence and its exit code.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readLive, restoreDocument } from '../../src/backup/restore-document.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { openRepository } from '../../src/backup/repository.ts';
import { readSnapshot } from '../../src/backup/snapshot.ts';
import { leavesIn } from '../../src/backup/versions.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';
import { startProgram, temporaryFolder } from '../support/program.ts';

const DATABASE = 'commands';
const KEY = `${'k'.repeat(40)}\n`;

describe('the backup commands', () => {
  let bench: BackupBench;
  const folder = temporaryFolder();
  const repository = join(folder.path, 'repository');
  const keyFile = join(folder.path, 'key');

  before(async () => {
    bench = await startBackupBench();
    await bench.ask('PUT', `/${DATABASE}`);
    await bench.ask('PUT', `/${DATABASE}/doc`, { n: 1 });
    writeFileSync(keyFile, KEY, { mode: 0o600 });
    assert.equal((await run(['backup', '--databases', DATABASE])).code, 0);
  });
  after(async () => {
    await bench.close();
    folder.remove();
  });

  const environment = (env: Readonly<Record<string, string>> = {}) => ({
    COUCHGATE_COUCHDB_NODES: bench.backend.urls.join(','),
    COUCHGATE_JWT_SECRET: bench.backend.jwtSecretBase64,
    COUCHGATE_JWT_KID: bench.backend.kid,
    COUCHGATE_BACKUP_REPOSITORY: repository,
    COUCHGATE_BACKUP_KEY_FILE: keyFile,
    ...env,
  });

  async function run(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const program = startProgram(environment(env), words);
    const closed = once(program.child, 'close');
    const code = await program.ended;
    await closed;
    return { code, stdout: program.stdout(), stderr: program.stderr() };
  }

  /** The command ends with the code and one line on stderr that names the reason. */
  async function refused(
    code: number,
    reason: RegExp,
    words: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): Promise<void> {
    const result = await run(words, env);
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, reason);
    assert.equal(result.stderr.trim().split('\n').length, 1, result.stderr);
  }

  function otherFolder(
    name: string,
    files: Readonly<Record<string, string>>,
  ): Readonly<Record<string, string>> {
    const path = join(folder.path, name);
    mkdirSync(path, { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
    return { COUCHGATE_BACKUP_REPOSITORY: path };
  }

  it('refuse a folder without a repository – 10', () =>
    refused(10, /is not a backup repository/, ['snapshots'], otherFolder('empty', {})));

  it('refuse a folder with other files – 10, and write nothing', async () => {
    const env = otherFolder('foreign', { 'letter.txt': 'dear' });
    await refused(10, /holds other files \("letter.txt"\)/, ['backup', '--databases', DATABASE], env);
  });

  it('refuse a repository of a newer format – 10', async () => {
    const config = JSON.parse(readFileSync(join(repository, 'couchgate-backup.json'), 'utf8')) as object;
    const env = otherFolder('newer', { 'couchgate-backup.json': JSON.stringify({ ...config, version: 2 }) });
    for (const command of [['snapshots'], ['backup', '--databases', DATABASE], ['restore', DATABASE]])
      await refused(10, /has format 2; this Couchgate reads up to format 1/, command, env);
  });

  it('refuse another key, and no key – 12', async () => {
    const other = join(folder.path, 'other-key');
    writeFileSync(other, `${'x'.repeat(40)}\n`, { mode: 0o600 });
    await refused(12, /is not the one of this repository/, ['snapshots'], {
      COUCHGATE_BACKUP_KEY_FILE: other,
    });
    await refused(12, /is encrypted with a key file/, ['snapshots'], { COUCHGATE_BACKUP_KEY_FILE: '' });
  });

  it('refuse a repository that another process writes to – 11', async () => {
    const secret = { type: 'key-file', bytes: Buffer.from(KEY.trim()) } as const;
    const lock = await takeLock(await openRepository(repository, secret), 'a test');
    try {
      await refused(11, /is locked by a test \(process \d+/, ['backup', '--databases', DATABASE]);
    } finally {
      await lock.release();
    }
  });

  it('refuse a backup_target that is no second cluster – 2, and keep what is there – 3', async () => {
    const env = { COUCHGATE_BACKUP_TARGET_USER: bench.backend.owner.name };
    const url = bench.backend.urls[0] ?? '';
    const password = { COUCHGATE_BACKUP_TARGET_PASSWORD: bench.backend.owner.password };
    const words = ['backup', '--databases', DATABASE];
    const missing = await run(words, { ...env, COUCHGATE_BACKUP_TARGET: url });
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /backup_target_password is empty/);
    const same = await run(words, { ...env, ...password, COUCHGATE_BACKUP_TARGET: url });
    assert.match(same.stderr, /is one of couchdb_nodes/);
    const other = url.replace('127.0.0.1', 'localhost');
    const foreign = await run(words, { ...env, ...password, COUCHGATE_BACKUP_TARGET: other });
    assert.equal(foreign.code, 3, foreign.stderr);
    assert.match(foreign.stdout, /; backup_target does not have it: .* it was not touched/);
    assert.match(foreign.stdout, /0 of 1 databases are backed up completely/);
  });

  it('refuse a database that does not exist, and one that no snapshot has – 1', async () => {
    await refused(1, /The database nothing does not exist/, ['backup', '--databases', 'nothing']);
    await refused(1, /has no snapshot of nothing/, ['restore', 'nothing']);
    const others = await run(['backup', '--databases', 'nothing', '--databases', DATABASE]);
    assert.equal(others.code, 3, others.stderr);
    assert.match(
      others.stdout,
      /^commands: snapshot .*\nnothing: FAILED: The database nothing does not exist/m,
    );
    assert.match(others.stdout, /1 of 2 databases are backed up completely/);
  });

  it('refuse to restore over a database without its name – 1, and change nothing', async () => {
    await refused(1, /Nothing was changed/, ['restore', DATABASE, '--overwrite']);
    await refused(1, /exists already; nothing was changed/, ['restore', DATABASE, '--to', DATABASE]);
    assert.equal((await bench.ask('GET', `/${DATABASE}/doc`)).status, 200);
  });

  it('refuse to restore into a database that runs jobs or holds users – 2', async () => {
    for (const words of [
      [DATABASE, '--to', '_users'],
      [DATABASE, '--to', 'x/_replicator'],
      ['_users', '--doc', 'org.couchdb.user:ann'],
      ['couchgate', '--doc', 'key:x'],
    ]) {
      const { code, stderr } = await run(['restore', ...words]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /is a system database/);
    }
  });

  it('end with one sentence if the disk is full – 1', async (t) => {
    const disk = join(folder.path, 'disk');
    mkdirSync(disk);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]).status !== 0) {
      t.skip('needs the right to mount a small disk');
      return;
    }
    try {
      await bench.ask('PUT', `/${DATABASE}/large`, { text: randomBytes(500_000).toString('base64') });
      const env = { COUCHGATE_BACKUP_REPOSITORY: disk };
      const { code, stderr } = await run(['backup', '--databases', DATABASE], env);
      assert.equal(code, 1);
      assert.match(stderr, /Writing to the repository failed: the disk is full/);
      assert.match((await run(['snapshots'], env)).stdout, /There is no snapshot/);
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  it('do not restore a document that was changed since it was shown – 409 says what changed', async () => {
    const secret = { type: 'key-file', bytes: Buffer.from(KEY.trim()) } as const;
    const opened = await openRepository(repository, secret);
    const { code, stdout } = await run(['snapshots', DATABASE, '--json']);
    assert.equal(code, 0);
    const { id } = JSON.parse(stdout.split('\n')[0] ?? '') as { id: string };
    const [stored] = await leavesIn(opened, await readSnapshot(opened, id), 'doc');
    assert.ok(stored !== undefined, 'stored is missing');
    await bench.ask('PUT', `/${DATABASE}/doc`, { n: 2, _rev: stored.rev });
    const shown = await readLive(bench.couch, DATABASE, 'doc');
    await bench.ask('PUT', `/${DATABASE}/doc`, { n: 3, _rev: shown.rev });
    const context = { repository: opened, couch: bench.couch };
    const outcome = await restoreDocument(context, DATABASE, 'doc', stored, shown);
    assert.equal(outcome.outcome, 'conflict');
    assert.deepEqual('changes' in outcome ? outcome.changes : [], [
      { kind: 'changed', path: ['n'], before: '2', after: '3' },
    ]);
    assert.equal(((await bench.ask('GET', `/${DATABASE}/doc`)).body as { n: number }).n, 3);
    const current = ['restore', DATABASE, '--doc', 'doc', '--current', shown.rev ?? '', '--yes'];
    await refused(1, /The present revision is 3-.*nothing was changed/, current);
    const now = await readLive(bench.couch, DATABASE, 'doc');
    const right = await run(['restore', DATABASE, '--doc', 'doc', '--current', now.rev ?? '', '--yes']);
    assert.equal(right.code, 0, right.stderr);
    assert.equal(((await bench.ask('GET', `/${DATABASE}/doc`)).body as { n: number }).n, 1);
  });

  it('back up the instance section, and put the store back from it', async () => {
    await refused(
      1,
      /The instance section holds credentials/,
      ['backup', '--instance', '--databases', DATABASE],
      { COUCHGATE_BACKUP_REPOSITORY: join(folder.path, 'plain'), COUCHGATE_BACKUP_KEY_FILE: '' },
    );
    await bench.ask('PUT', '/couchgate');
    await bench.ask('PUT', '/couchgate/key:abcdefghijklmnopqrstuvwx', { digests: [] });
    const made = await run(['backup', '--instance', '--databases', DATABASE]);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /^instance section \S+-instance-\S+: couchgate, _users/m);
    await bench.ask('DELETE', '/couchgate');
    await refused(1, /Nothing was changed. Without a terminal, use --yes/, ['restore', '--store']);
    const dry = await run(['restore', '--store', '--dry-run']);
    assert.match(dry.stdout, /keys: 1 would be restored, 0 are there and stay, 0 do not come back/);
    assert.equal((await bench.ask('GET', '/couchgate')).status, 404);
    const out = join(folder.path, 'section.json');
    const restored = await run(['restore', '--store', '--yes', '--out', out]);
    assert.equal(restored.code, 0, restored.stderr);
    assert.match(restored.stdout, /0 replication documents, 0 prefix grants, .* are in /);
    assert.match(restored.stdout, /keys: 1 restored, 0 are there and stay, 0 do not come back/);
    assert.equal((await bench.ask('GET', '/couchgate/key:abcdefghijklmnopqrstuvwx')).status, 200);
    assert.match((await run(['snapshots'])).stdout, /-instance-\S+ {2}\S+ {2}instance section {2}complete/);
  });

  it('draw a progress bar on a terminal', async (t) => {
    if (spawnSync('script', ['--version']).error !== undefined) {
      t.skip('needs the program script');
      return;
    }
    const program = process.env['TESTED_PROGRAM'];
    const words = program === undefined || program === '' ? '--import tsx src/main.ts' : program;
    const command = `${process.execPath} ${words} backup --databases ${DATABASE}`;
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      env: { ...process.env, ...environment() },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 0, stdout);
    assert.match(stdout, /commands \[[^\]]+\] \d+\/\d+ documents/);
  });
});
