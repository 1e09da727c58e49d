// Sets up backups for tests: a CouchDB, a repository in a temporary folder, and databases with everything
// that a backup must keep.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backupDatabase } from '../../src/backup/backup-database.ts';
import { checkRestored, type CheckOutcome } from '../../src/backup/check-restored.ts';
import { type BackupSecret } from '../../src/backup/cipher.ts';
import { type BackupEvent } from '../../src/backup/events.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { openOrCreateRepository, type Repository } from '../../src/backup/repository.ts';
import { restoreDatabase, type RestoreOutcome } from '../../src/backup/restore-database.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { createTransfer, type CouchTransfer } from '../../src/couch/transfer.ts';
import { openAdmin, type Admin, type AdminAnswer } from '../../src/setup/admin.ts';
import { startBackend, type Backend } from './backend.ts';
import { ownToken } from './own-couch.ts';

export interface BackupBench {
  readonly backend: Backend;
  readonly couch: CouchTransfer;
  readonly admin: Admin;
  readonly repository: Repository;
  /** Every event so far. */
  readonly events: BackupEvent[];
  ask(method: 'GET' | 'PUT' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<AdminAnswer>;
  backup(database: string, signal?: AbortSignal): Promise<Snapshot>;
  restore(snapshot: Snapshot, database: string): Promise<RestoreOutcome>;
  check(snapshot: Snapshot, database: string): Promise<CheckOutcome>;
  close(): Promise<void>;
}

/** Creates the client of a backup, as the owner. */
export function transferTo(backend: Backend, patienceMs = 60_000): CouchTransfer {
  return createTransfer({
    pickNode: (tried) => backend.urls.map((url) => ({ url })).find(({ url }) => !tried.has(url)),
    authorization: () => ownToken(backend),
    connectTimeoutMs: 1000,
    patienceMs,
  });
}

export async function startBackupBench(
  options: { readonly nodes?: 1 | 3; readonly secret?: BackupSecret } = {},
): Promise<BackupBench> {
  const backend = await startBackend({ nodes: options.nodes ?? 1 });
  const folder = await mkdtemp(join(tmpdir(), 'couchgate-repository-'));
  const couch = transferTo(backend);
  const admin = openAdmin({ url: backend.urls[0] ?? '', credentials: backend.owner });
  const { repository } = await openOrCreateRepository(join(folder, 'repository'), options.secret);
  const events: BackupEvent[] = [];
  const onEvent = (event: BackupEvent): void => void events.push(event);
  return {
    ...{ backend, couch, admin, repository, events },
    ask: (method, path, body) => admin.ask(method, path, body),
    async backup(database, signal) {
      const lock = await takeLock(repository, 'test');
      try {
        const context = { repository, lock, couch, onEvent, ...(signal === undefined ? {} : { signal }) };
        return await backupDatabase(context, database);
      } finally {
        await lock.release();
      }
    },
    restore: (snapshot, database) => restoreDatabase({ repository, couch, onEvent }, snapshot, database),
    check: (snapshot, database) => checkRestored({ repository, couch, onEvent }, snapshot, database),
    async close() {
      await couch.close();
      await backend.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Ids that a parser on the way may change. */
export const DIFFICULT_IDS = [
  '.',
  '..',
  '\0',
  'a\0b',
  'a/b',
  '../x',
  '%2F',
  'é',
  '\u{1f600}',
  '\uffff',
  '+ ?#&',
  'constructor',
];

/** Plain documents in one request. */
const AT_ONCE = 1000;

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/**
 * Creates a database with `documents` plain documents, difficult ids, conflicts, tombstones, attachments, and
 * a design document whose validation function refuses every change.
 */
export async function fillDatabase(bench: BackupBench, database: string, documents = 50): Promise<void> {
  const path = `/${database}`;
  await bench.ask('PUT', path);
  const leaf = (id: string, rev: string, ...older: string[]) => {
    const [start, hash] = rev.split('-') as [string, string];
    return { _id: id, _rev: rev, _revisions: { start: Number(start), ids: [hash, ...older] } };
  };
  const attachment = (text: string, type = 'text/plain') => ({
    content_type: type,
    data: base64(text),
    revpos: 1,
  });
  for (let at = 0; at < documents; at += AT_ONCE) {
    const plain = Array.from({ length: Math.min(AT_ONCE, documents - at) }, (_, more) => {
      const n = at + more;
      return { ...leaf(`doc-${n}`, '1-aaa'), n, half: n + 0.5, text: 'ü'.repeat(n % 7) };
    });
    const { status, body } = await bench.ask('POST', `${path}/_bulk_docs`, { docs: plain, new_edits: false });
    if (status !== 201 || JSON.stringify(body) !== '[]') throw new Error(JSON.stringify(body));
  }
  const docs = [
    ...DIFFICULT_IDS.map((id) => ({
      ...leaf(id, '2-bbb', 'aaa'),
      id,
      nested: { b: [1, { c: null }], a: '\u2028"\\' },
    })),
    { ...leaf('conflict', '2-aaa', 'root'), side: 'a' },
    { ...leaf('conflict', '2-bbb', 'root'), side: 'b' },
    { ...leaf('conflict', '3-ccc', 'ccb', 'root'), _deleted: true },
    { ...leaf('tombstone', '3-ddd', 'ddc', 'ddb'), _deleted: true, kept: 'a field' },
    {
      ...leaf('files', '1-eee'),
      _attachments: {
        'a.txt': attachment('hello '.repeat(100)),
        'dir/ü.bin': attachment('\0\x01binary', 'image/x'),
      },
    },
    {
      ...leaf('same-file', '1-eee'),
      _attachments: { 'copy.txt': attachment('hello '.repeat(100)), empty: attachment('') },
    },
    { ...leaf('..', '2-fff', 'aaa'), conflict: true, _attachments: { '.': attachment('dot') } },
    {
      ...leaf('big-file', '1-eee'),
      _attachments: { 'big.bin': attachment('0123456789abcdef'.repeat(20_000), 'application/x') },
    },
    {
      ...leaf('_design/closed', '1-abc'),
      validate_doc_update: 'function () { throw { forbidden: "closed" }; }',
    },
  ];
  for (const doc of docs) {
    const { status, body } = await bench.ask('POST', `${path}/_bulk_docs`, { docs: [doc], new_edits: false });
    if (status !== 201 || JSON.stringify(body) !== '[]')
      throw new Error(`${doc._id}: ${JSON.stringify(body)}`);
  }
}
