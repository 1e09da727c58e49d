// H38: whoever can write to the folder of a repository sends nobody to another place, and lets nobody wait.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { storeAttachment } from '../../src/backup/attachment-store.ts';
import { sealBox } from '../../src/backup/box.ts';
import { Chain } from '../../src/backup/chain.ts';
import { createEncryption, openEncryption, type EncryptionHeader } from '../../src/backup/cipher.ts';
import { Damaged, WrongKey } from '../../src/backup/errors.ts';
import { forgetByPolicy } from '../../src/backup/forget.ts';
import { INDEX_MAGIC } from '../../src/backup/index-file.ts';
import { listInstances } from '../../src/backup/instance.ts';
import { leafOfText } from '../../src/backup/leaf.ts';
import { LeafWriter } from '../../src/backup/leaf-writer.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { prune } from '../../src/backup/prune.ts';
import { openOrCreateRepository, openRepository, type Repository } from '../../src/backup/repository.ts';
import {
  listSnapshots,
  newSnapshotId,
  writeBox,
  writeSnapshot,
  type Snapshot,
} from '../../src/backup/snapshot.ts';
import { verifyRepository } from '../../src/backup/verify.ts';

const FOLDER = mkdtempSync(join(tmpdir(), 'couchgate-h38-'));
const HASH = 'ab'.repeat(32);
/** Nothing may wait: a pipe without a writer would block for ever. */
const LIMIT = { timeout: 60_000 };
after(() => rmSync(FOLDER, { recursive: true }));

describe('H38 a hostile repository', () => {
  let repository: Repository;
  let snapshot: Snapshot;
  let victim: string;
  let count = 0;

  beforeEach(async () => {
    count += 1;
    victim = join(FOLDER, `victim-${count}`);
    mkdirSync(victim);
    ({ repository } = await openOrCreateRepository(join(FOLDER, `repository-${count}`), undefined));
    const writer = new LeafWriter(repository);
    const leaf = leafOfText('{"_id":"a","_rev":"1-a"}');
    await writer.add([{ id: 'a', leaves: [{ leaf, hash: leaf.bareHash ?? '', attachments: [] }] }]);
    const index = await (await writer.endBatch()).finish();
    assert.ok(index !== undefined, 'index is missing');
    snapshot = {
      ...{
        format: 1,
        database: 'fruit',
        started: '2026-01-01T00:00:00.000Z',
        finished: '2026-01-01T00:00:01.000Z',
      },
      id: newSnapshotId(repository, 'fruit', new Date('2026-01-01')),
      ...{ full: true, parent: null, complete: true, instance_start_time: '1', since: '1', purge_seq: '0' },
      ...{ index: [index], problems: [], security: {} },
      properties: { q: 1, n: 1, partitioned: false, revs_limit: 1000, purged_infos_limit: 1000 },
      counts: { documents: 1, deleted: 0, leaves: 1, attachments: 0 },
    };
    await writeSnapshot(repository, snapshot);
  });

  const at = (...names: readonly string[]): string => join(repository.folder, ...names);

  /** Files that are older than every lease, with names of Couchgate and others. */
  function fillVictim(): readonly string[] {
    const names = ['letters.txt', HASH, 'a'.repeat(24), '00000000-0000-4000-8000-000000000000'];
    for (const name of names) {
      writeFileSync(join(victim, name), 'precious');
      utimesSync(join(victim, name), new Date(2020, 1), new Date(2020, 1));
    }
    return names.sort();
  }

  async function pruned(): Promise<unknown> {
    const lock = await takeLock(repository, 'test');
    try {
      return await prune(repository, lock).catch((error: unknown) => error);
    } finally {
      await lock.release();
    }
  }

  for (const folder of ['tmp', 'readers', 'packs', 'index', 'attachments', 'packs/ab'])
    it(`removes nothing in another folder – ${folder} is a link – forget --prune`, LIMIT, async () => {
      const names = fillVictim();
      const moved = at(`${folder}-moved`);
      if (existsSync(at(folder))) renameSync(at(folder), moved);
      if (folder === 'tmp') {
        // The lock needs the folder; it is made a link after that.
        mkdirSync(at('tmp'));
        const lock = await takeLock(repository, 'test');
        rmSync(at('tmp'), { recursive: true });
        symlinkSync(victim, at('tmp'));
        const outcome = await prune(repository, lock).catch((error: unknown) => error);
        assert.ok(outcome instanceof Damaged, String(outcome));
        await lock.release();
      } else {
        mkdirSync(join(at(folder), '..'), { recursive: true });
        symlinkSync(victim, at(folder));
        const outcome = await pruned();
        assert.ok(outcome instanceof Damaged, String(outcome));
      }
      assert.deepEqual(readdirSync(victim).sort(), names);
    });

  it('removes no file that Couchgate did not make – forget --prune', LIMIT, async () => {
    const foreign = ['tmp', 'readers', 'packs', 'packs/ab', 'index', 'attachments'].map((folder) => {
      mkdirSync(at(folder), { recursive: true });
      const path = at(folder, 'letters.txt');
      writeFileSync(path, 'precious');
      utimesSync(path, new Date(2020, 1), new Date(2020, 1));
      return path;
    });
    const unused = at('packs', 'ab', HASH);
    writeFileSync(unused, 'of a crash');
    assert.deepEqual(await pruned(), { files: 1, bytes: 10 });
    assert.equal(existsSync(unused), false);
    for (const path of foreign) assert.ok(existsSync(path), path);
  });

  async function damages(): Promise<readonly string[]> {
    const found = await verifyRepository(repository, { readData: true });
    return found.damages.map(({ reason }) => reason);
  }

  const PLACES: Readonly<Record<string, (path: string) => void>> = {
    'a pipe': (path) => execFileSync('mkfifo', [path]),
    'a link to a pipe': (path) => {
      execFileSync('mkfifo', [join(victim, 'pipe')]);
      symlinkSync(join(victim, 'pipe'), path);
    },
    'a link to a file': (path) => {
      writeFileSync(join(victim, 'file'), 'x');
      symlinkSync(join(victim, 'file'), path);
    },
    'a folder': (path) => mkdirSync(path),
  };
  for (const [title, make] of Object.entries(PLACES)) {
    for (const folder of ['snapshots', 'packs', 'index'])
      it(`is named as damaged – a file of ${folder} is ${title}`, LIMIT, async () => {
        const [name = ''] = readdirSync(at(folder), { recursive: true, encoding: 'utf8' }).filter(
          (one) => one.length > 10,
        );
        rmSync(at(folder, name));
        make(at(folder, name));
        const found = await damages();
        assert.ok(found.length > 0, 'no damage is found');
      });
    it(`ends with a sentence – the lock is ${title}`, LIMIT, async () => {
      make(at('lock'));
      await assert.rejects(takeLock(repository, 'test'), Damaged);
    });
    it(`ends with a sentence – the configuration is ${title}`, LIMIT, async () => {
      rmSync(at('couchgate-backup.json'));
      make(at('couchgate-backup.json'));
      await assert.rejects(openRepository(repository.folder, undefined), /couchgate-backup.json/);
    });
  }

  /** Puts an index file with any content under its right name. */
  async function putIndex(directory: unknown, block = '["a",[]]'): Promise<Snapshot['index']> {
    const box = await sealBox(Buffer.from(block), 'index', undefined);
    const place = { offset: INDEX_MAGIC.length, bytes: box.length };
    const text = JSON.stringify(directory, (_, value: unknown) =>
      value === 'HERE' ? place.offset : value === 'BYTES' ? place.bytes : value,
    );
    const trailer = Buffer.alloc(16);
    trailer.writeBigUInt64BE(BigInt(INDEX_MAGIC.length + box.length));
    INDEX_MAGIC.copy(trailer, 8);
    const bytes = Buffer.concat([
      INDEX_MAGIC,
      box,
      await sealBox(Buffer.from(text), 'directory', undefined),
      trailer,
    ]);
    const name = createHash('sha256').update(bytes).digest('hex');
    mkdirSync(at('index', name.slice(0, 2)), { recursive: true });
    writeFileSync(repository.pathOf('index', name), bytes);
    return [{ name, entries: 1 }];
  }

  const BLOCKS = [['a', 'HERE', 'BYTES', 1]];
  const leaf = (...changed: readonly unknown[]): string => {
    const line = ['1-a', 0, HASH, 0, 8, 100, 0];
    for (const [place, value] of changed.entries()) if (value !== undefined) line[place] = value as string;
    return JSON.stringify(['a', [line]]);
  };
  const INDEXES: Readonly<Record<string, readonly [directory: unknown, block?: string]>> = {
    'a pack outside of the repository': [{ packs: ['../../../victim'], blocks: BLOCKS, entries: 1 }, leaf()],
    'a pack without a name': [{ packs: [''], blocks: BLOCKS, entries: 1 }, leaf()],
    'a block behind the end': [{ packs: [], blocks: [['a', 8, 2 ** 40, 1]], entries: 1 }],
    'a block before the beginning': [{ packs: [], blocks: [['a', -8, 10, 1]], entries: 1 }],
    'no directory': [null],
    'no blocks': [{ packs: [], entries: 1 }],
    'a text in the place of a number': [
      { packs: [HASH], blocks: BLOCKS, entries: 1 },
      leaf(undefined, undefined, undefined, '0'),
    ],
    'a pack that it does not name': [{ packs: [], blocks: BLOCKS, entries: 1 }, leaf()],
    'a frame of terabytes': [
      { packs: [HASH], blocks: BLOCKS, entries: 1 },
      leaf(...Array.from<undefined>({ length: 5 }), 2 ** 50),
    ],
    'a hash that is none': [
      { packs: [HASH], blocks: BLOCKS, entries: 1 },
      leaf(undefined, undefined, '../x'),
    ],
    'leaves that are none': [{ packs: [], blocks: BLOCKS, entries: 1 }, '["a",{"length":2}]'],
    'an attachment outside of the repository': [
      { packs: [HASH], blocks: BLOCKS, entries: 1 },
      leaf(...Array.from<undefined>({ length: 7 }), [['n', '../../victim', 'md5-', 1, 1]]),
    ],
  };
  /** The index itself can be read; what it refers to cannot. */
  const READABLE = new Set(['a frame of terabytes', 'a pack without a name']);
  for (const [title, [directory, block]] of Object.entries(INDEXES))
    it(`is named as damaged – an index with ${title} – verify and prune`, LIMIT, async () => {
      // The pack is there, but it is not what the index says.
      mkdirSync(at('packs', 'ab'), { recursive: true });
      writeFileSync(at('packs', 'ab', HASH), 'x'.repeat(200));
      await writeSnapshot(repository, { ...snapshot, index: await putIndex(directory, block) });
      const found = await damages();
      assert.ok(
        found.some((reason) => /The repository is damaged/.test(reason)),
        found.join('\n'),
      );
      // What cannot be read keeps everything.
      if (!READABLE.has(title)) assert.ok((await pruned()) instanceof Damaged, 'must be a Damaged');
    });

  const wrong = (change: object): unknown => ({ ...snapshot, ...change });
  const MANIFESTS: Readonly<Record<string, () => unknown>> = {
    'no object': () => [],
    'another format': () => wrong({ format: 2 }),
    'a time that is none': () => wrong({ started: 'yesterday\u001b[2J' }),
    'an end that is none': () => wrong({ finished: '2026-13-41T99:99:99Z' }),
    'no counts': () => wrong({ counts: null }),
    'a count that is a text': () => wrong({ counts: { ...snapshot.counts, documents: '1\u001b[2J' } }),
    'added bytes that are a text': () => wrong({ added_bytes: '1\u001b[2J' }),
    'no properties': () => wrong({ properties: undefined }),
    'an index outside of the repository': () =>
      wrong({ index: [{ name: '../../../etc/passwd', entries: 1 }] }),
    'an index that is no list': () => wrong({ index: { 0: {} } }),
    'problems that are none': () => wrong({ problems: [null] }),
    'a database that is no text': () => wrong({ database: { toString: 1 } }),
  };
  for (const [title, manifest] of Object.entries(MANIFESTS))
    it(`leaves out and names a manifest – ${title} – list, forget, verify`, LIMIT, async () => {
      const id = newSnapshotId(repository, 'fruit', new Date('2026-01-02'));
      const value = manifest();
      await writeBox(
        repository,
        'snapshots',
        id,
        'snapshot',
        Array.isArray(value) ? value : { ...(value as object), id },
      );
      const named: string[] = [];
      const listed = await listSnapshots(repository, undefined, (reason) => named.push(reason));
      assert.deepEqual(
        listed.map((one) => one.id),
        [snapshot.id],
      );
      assert.equal(named.length, 1);
      await assert.rejects(forgetByPolicy(repository, { last: 1 }), Damaged);
      assert.notEqual((await damages()).length, 0);
      assert.ok((await pruned()) instanceof Damaged, 'must be a Damaged');
    });

  it('refuses a section of another form', async () => {
    const id = '20260101T000000000Z-instance-aaaaaa';
    const section = {
      format: 1,
      id,
      started: 'x',
      finished: 'x',
      complete: true,
      store: 's',
      snapshots: {},
      files: [],
      problems: [],
    };
    await writeBox(repository, 'instance', id, 'instance', section);
    await assert.rejects(listInstances(repository), Damaged);
  });

  it('reads a lock whose pid is a path as one of an unknown process', LIMIT, async () => {
    const record = { id: '', host: 'h', pid: '../../../pipe', process_start: '', command: 'c', since: '' };
    writeFileSync(at('lock'), JSON.stringify(record));
    await assert.rejects(takeLock(repository, 'test'), /locked by unknown \(process 0/);
  });

  it('takes no more memory and time for a passphrase than Couchgate allows', async () => {
    const secret = { type: 'passphrase', text: 'correct horse battery' } as const;
    const { header } = await createEncryption(secret);
    for (const scrypt of [
      { N: 2 ** 20, r: 32, p: 1 },
      { N: 2 ** 21, r: 8, p: 1 },
      { N: 2 ** 14, r: 8, p: 1000 },
      { N: 3, r: 8, p: 1 },
      { N: -2, r: 8, p: 1 },
      { N: '65536', r: 8, p: 1 },
      { N: 65536, r: 0.5, p: 1 },
    ])
      await assert.rejects(openEncryption({ ...header, scrypt } as EncryptionHeader, secret), WrongKey);
    await openEncryption(header, secret);
  });

  it('is read as before if nothing is wrong', async () => {
    await storeAttachment(
      repository,
      (async function* () {
        yield Buffer.from('x');
        await Promise.resolve();
      })(),
    );
    assert.deepEqual(await damages(), []);
    const chain = await Chain.open(repository, snapshot.index);
    assert.equal((await chain.lookup('a'))?.leaves.length, 1);
    assert.equal(readFileSync(at('couchgate-backup.json'), 'utf8').includes(repository.id), true);
  });
});
