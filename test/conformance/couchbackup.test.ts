// IBM's couchbackup, unchanged: a backup with a key that only reads, a restore with one that only writes, and the same documents in both.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Couchgate, type Credentials, startCouchgate } from '../support/couchgate.ts';

interface Backup {
  backup(
    url: string,
    to: NodeJS.WritableStream,
    options: object,
    done: (error: Error | null) => void,
  ): unknown;
  restore(
    from: NodeJS.ReadableStream,
    url: string,
    options: object,
    done: (error: Error | null) => void,
  ): unknown;
}

// It has no types of its own.
const couchbackup = createRequire(import.meta.url)('@cloudant/couchbackup') as Backup;

describe('couchbackup', () => {
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-backup-'));
  const file = join(folder, 'backup.txt');
  let couchgate: Couchgate;
  let reader: Credentials;
  let restorer: Credentials;

  before(async () => {
    couchgate = await startCouchgate();
    [reader, restorer] = [await couchgate.key(), await couchgate.key()];
    await couchgate.database('source', { [reader.name]: ['_reader'] });
    await couchgate.database('target', { [restorer.name]: ['_writer', '_design'] });
    const as = couchgate.owner;
    const docs = Array.from({ length: 700 }, (_, n) => ({ _id: `doc-${n}`, n, text: 'ü'.repeat(n % 50) }));
    await couchgate.ask('POST', '/source/_bulk_docs', { as, body: { docs } });
    await couchgate.ask('PUT', '/source/_design/views', {
      as,
      body: { views: { all: { map: 'function (doc) { emit(doc._id); }' } } },
    });
    // A second revision, and a conflict: couchbackup keeps winning revisions alone, which the digest is therefore about.
    const { body } = await couchgate.ask('GET', '/source/doc-1', { as });
    await couchgate.ask('PUT', '/source/doc-1', { as, body: { ...(body as object), updated: true } });
    const conflict = {
      _id: 'doc-2',
      _rev: '1-abc',
      _revisions: { start: 1, ids: ['abc'] },
      conflicting: true,
    };
    await couchgate.ask('POST', '/source/_bulk_docs', { as, body: { docs: [conflict], new_edits: false } });
  });
  after(async () => {
    await couchgate.close();
    rmSync(folder, { recursive: true });
  });

  const urlFor = (database: string, { name, password }: Credentials): string =>
    couchgate.url.replace('://', `://${name}:${password}@`) + `/${database}`;

  const backup = (database: string, key: Credentials, to: string): Promise<void> =>
    new Promise((resolve, reject) => {
      couchbackup.backup(
        urlFor(database, key),
        createWriteStream(to),
        { parallelism: 2, log: `${to}.log` },
        (error) => (error === null ? resolve() : reject(error)),
      );
    });

  const restore = (database: string, key: Credentials): Promise<void> =>
    new Promise((resolve, reject) => {
      couchbackup.restore(
        // couchbackup 2.11 reads each chunk of bytes as a text of its own, and so breaks a letter between two of them.
        createReadStream(file, 'utf8'),
        urlFor(database, key),
        { parallelism: 2, bufferSize: 100 },
        (error) => (error === null ? resolve() : reject(error)),
      );
    });

  /** Digest over every document with its revision. */
  async function digestOf(database: string): Promise<string> {
    const path = `/${database}/_all_docs?include_docs=true`;
    const { body } = await couchgate.ask('GET', path, { as: couchgate.owner });
    const { rows } = body as { readonly rows: readonly unknown[] };
    assert.equal(rows.length, 701);
    return createHash('sha256').update(JSON.stringify(rows)).digest('hex');
  }

  it('backs up as _reader and restores as _writer and _design: equal digests', async () => {
    await backup('source', reader, file);
    await restore('target', restorer);
    assert.equal(await digestOf('target'), await digestOf('source'));
  });

  it('cannot back up a database that its key has no role on', async () => {
    await assert.rejects(backup('target', reader, join(folder, 'refused.txt')), { name: 'Forbidden' });
  });

  it('cannot restore as _reader', async () => {
    await couchgate.database('closed', { [reader.name]: ['_reader'] });
    await assert.rejects(restore('closed', reader), { name: 'Forbidden' });
    const { body } = await couchgate.ask('GET', '/closed', { as: couchgate.owner });
    assert.equal((body as { readonly doc_count: number }).doc_count, 0);
  });
});
