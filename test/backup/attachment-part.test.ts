// Attachments that CouchDB stores compressed come back byte for byte, on this cluster and on another one.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { diffWithLive, readLive, restoreDocument } from '../../src/backup/restore-document.ts';
import { restoreDatabase } from '../../src/backup/restore-database.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { leavesIn } from '../../src/backup/versions.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';

const isReal = process.env['COUCHDB_HOME'] !== undefined;
const DATABASE = 'encoded';
const TEXT = 'hello '.repeat(30_000);
const noise = randomBytes(90_000);

interface Stub {
  readonly encoding?: string;
  readonly length: number;
}
type Stubs = Readonly<Record<string, Stub>>;

describe('attachments that are stored compressed', { skip: !isReal && 'needs a real CouchDB' }, () => {
  let bench: BackupBench;
  let other: BackupBench;
  let snapshot: Snapshot;

  before(async () => {
    [bench, other] = await Promise.all([startBackupBench(), startBackupBench({ nodes: 3 })]);
    await bench.ask('PUT', `/${DATABASE}`);
    const at = (type: string, data: string | Buffer) => ({
      content_type: type,
      data: Buffer.from(data).toString('base64'),
    });
    await bench.ask('PUT', `/${DATABASE}/by-couchdb`, {
      _attachments: {
        'a.txt': at('text/plain', 'small text'),
        'b.txt': at('text/plain; charset=utf-8', TEXT),
        'c.json': at('application/json', JSON.stringify({ text: TEXT })),
        'd.bin': at('application/x', noise),
        'empty.txt': at('text/plain', ''),
      },
    });
    const put = async (path: string, body: Buffer, type: string, encoding?: string): Promise<void> => {
      const headers = {
        Authorization: basicOf(bench),
        'Content-Type': type,
        ...(encoding === undefined ? {} : { 'Content-Encoding': encoding }),
      };
      const { status } = await fetch(urlOf(bench, path), { method: 'PUT', headers, body });
      assert.ok(status === 201 || status === 202, `${path}: ${status}`);
    };
    await put('by-client/a.txt', gzipSync(TEXT), 'text/plain', 'gzip');
    await put('by-client-binary/a.bin', gzipSync(noise), 'application/x', 'gzip');
    await put('no-gzip/a.txt', Buffer.from('this is no gzip'), 'text/plain', 'gzip');
    await put('two-members/a.txt', Buffer.concat([gzipSync('one'), gzipSync('two')]), 'text/plain', 'gzip');
    // Small enough, packed, to be unpacked in a reader: 40 MB of zeros.
    await put('bomb/a.bin', gzipSync(Buffer.alloc(40_000_000)), 'application/x', 'gzip');
    const deleted = {
      _id: 'deleted',
      _rev: '2-b',
      _deleted: true,
      _attachments: { x: at('application/x', noise) },
    };
    const { body } = await bench.ask('POST', `/${DATABASE}/_bulk_docs`, {
      docs: [deleted],
      new_edits: false,
    });
    assert.equal(JSON.stringify(body), '[]');
    snapshot = await bench.backup(DATABASE);
  });
  after(() => Promise.all([bench.close(), other.close()]));

  const basicOf = ({ backend: { owner } }: BackupBench): string =>
    `Basic ${Buffer.from(`${owner.name}:${owner.password}`).toString('base64')}`;
  const urlOf = ({ backend }: BackupBench, path: string, database = DATABASE): string =>
    `${backend.urls[0] ?? ''}/${database}/${path}`;

  async function stubsOf(from: BackupBench, id: string, database: string): Promise<Stubs> {
    const path = `/${database}/${id}?att_encoding_info=true${id === 'deleted' ? '&rev=2-b' : ''}`;
    return ((await from.ask('GET', path)).body as { _attachments: Stubs })._attachments;
  }

  const IDS = ['by-couchdb', 'by-client', 'by-client-binary', 'no-gzip', 'two-members', 'bomb', 'deleted'];

  async function assertSame(restored: BackupBench, database: string): Promise<void> {
    for (const id of IDS) {
      const wanted = await stubsOf(bench, id, DATABASE);
      assert.deepEqual(await stubsOf(restored, id, database), wanted, id);
      for (const name of Object.keys(wanted)) {
        const query = id === 'deleted' ? '?rev=2-b' : '';
        const bytes = async (from: BackupBench, base: string): Promise<Buffer> => {
          const headers = { Authorization: basicOf(from), 'Accept-Encoding': 'identity' };
          const answer = await fetch(urlOf(from, `${id}/${name}${query}`, base), { headers });
          return Buffer.from(await answer.arrayBuffer());
        };
        // CouchDB cannot unpack it.
        if (id === 'no-gzip') continue;
        assert.ok((await bytes(restored, database)).equals(await bytes(bench, DATABASE)), `${id}/${name}`);
      }
    }
  }

  it('are in the backup, and come back with digest, encoding and revpos', async () => {
    assert.deepEqual(snapshot.problems, []);
    assert.equal((await stubsOf(bench, 'by-client', DATABASE))['a.txt']?.encoding, 'gzip');
    assert.equal((await stubsOf(bench, 'by-couchdb', DATABASE))['b.txt']?.encoding, 'gzip');
    const { problems } = await bench.restore(snapshot, 'encoded-back');
    assert.deepEqual(problems, []);
    await assertSame(bench, 'encoded-back');
    assert.deepEqual((await bench.check(snapshot, 'encoded-back')).differences, []);
  });

  it('come back on another cluster', async () => {
    const { repository } = bench;
    const context = { repository, couch: other.couch, onEvent: () => undefined };
    assert.deepEqual((await restoreDatabase(context, snapshot, DATABASE)).problems, []);
    await assertSame(other, DATABASE);
  });

  it('are compared with the live document, and restored with it, by their content', async () => {
    const { repository, couch } = bench;
    for (const id of ['by-couchdb', 'by-client', 'no-gzip']) {
      const before = await stubsOf(bench, id, DATABASE);
      const [stored] = await leavesIn(repository, snapshot, id);
      assert.ok(stored, 'stored is missing');
      const live = await readLive(couch, DATABASE, id);
      assert.deepEqual(await diffWithLive(repository, stored, live), [], id);
      const { outcome } = await restoreDocument({ repository, couch }, DATABASE, id, stored, live);
      assert.equal(outcome, 'restored');
      const digests = (stubs: Stubs) =>
        Object.entries(stubs).map(([name, stub]) => [name, { ...stub, revpos: 0 }]);
      assert.deepEqual(digests(await stubsOf(bench, id, DATABASE)), digests(before), id);
    }
  });

  it('are not read again by the next backup', async () => {
    const { body } = await bench.ask('GET', `/${DATABASE}/by-couchdb`);
    await bench.ask('PUT', `/${DATABASE}/by-couchdb`, { ...(body as object), changed: true });
    const next = await bench.backup(DATABASE);
    assert.deepEqual(next.problems, []);
    const [stored] = await leavesIn(bench.repository, next, 'by-couchdb');
    assert.deepEqual(
      stored?.attachments.map(({ name, form }) => [name, form?.encoding]),
      [
        ['a.txt', 'gzip'],
        ['b.txt', 'gzip'],
        ['c.json', 'gzip'],
        ['d.bin', undefined],
        ['empty.txt', 'gzip'],
      ],
    );
  });
});
