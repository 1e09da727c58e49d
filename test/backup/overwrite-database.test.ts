// Overwriting a database: no write that was accepted is lost, and a failure says where the state before is.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { takeLock } from '../../src/backup/lock.ts';
import { overwriteDatabase, type OverwriteOutcome } from '../../src/backup/overwrite-database.ts';
import { readSnapshot, type Snapshot } from '../../src/backup/snapshot.ts';
import { type CouchTransfer, type TransferRequest } from '../../src/couch/transfer.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { openAdmin, type Admin } from '../../src/setup/admin.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';

const ANN = { name: 'ann', password: 'a password of a test' };
const SECURITY = {
  admins: { names: ['bob'], roles: ['keepers'] },
  members: { names: ['ann'], roles: ['readers'] },
};

describe('overwriting a database', () => {
  let bench: BackupBench;
  /** May read and write documents. */
  let ann: Admin;

  before(async () => {
    bench = await startBackupBench();
    await bench.ask('PUT', '/_users/org.couchdb.user:ann', { ...ANN, roles: [], type: 'user' });
    ann = openAdmin({ url: bench.backend.urls[0] ?? '', credentials: ANN });
  });
  after(() => bench.close());

  async function snapshotOf(database: string): Promise<Snapshot> {
    await bench.ask('PUT', `/${database}`);
    await bench.ask('PUT', `/${database}/_security`, SECURITY);
    assert.equal((await ann.ask('PUT', `/${database}/doc`, {})).status, 201);
    return bench.backup(database);
  }

  /** Overwrites the database; `act` runs before each request to CouchDB. */
  async function overwrite(
    snapshot: Snapshot,
    act: (request: TransferRequest) => Promise<void>,
  ): Promise<OverwriteOutcome> {
    const { repository } = bench;
    const couch: CouchTransfer = {
      async ask(request, maxBytes) {
        await act(request);
        return bench.couch.ask(request, maxBytes);
      },
      read: (request) => bench.couch.read(request),
      close: () => Promise.resolve(),
    };
    const lock = await takeLock(repository, 'test');
    try {
      return await overwriteDatabase({ repository, lock, couch, onEvent: () => undefined }, snapshot);
    } finally {
      await lock.release();
    }
  }

  const isClosing = ({ method, path }: TransferRequest): boolean =>
    method === 'PUT' && path.endsWith('/_security');

  async function assertUntouched(database: string): Promise<void> {
    assert.deepEqual((await bench.ask('GET', `/${database}/_security`)).body, SECURITY);
    assert.equal((await ann.ask('GET', `/${database}/doc`)).status, 200);
  }

  it('keeps what was written after the feed was read, and then accepts no further document', async () => {
    const snapshot = await snapshotOf('overwrite-late');
    const statuses: number[] = [];
    const { before: state } = await overwrite(snapshot, async ({ method, path }) => {
      // The first backup reads the security object after the last page of the feed.
      const isAfterFeed = path.endsWith('/_security') && statuses.length === 0;
      if (!isAfterFeed && method !== 'DELETE') return;
      const written = await ann.ask('PUT', `/overwrite-late/late-${statuses.length}`, {});
      statuses.push(written.status);
    });
    assert.deepEqual(statuses, [201, 403]);
    assert.ok(state !== undefined, 'the snapshot of the state before is missing');
    assert.deepEqual(state.security, SECURITY);
    await bench.restore(state, 'overwrite-before');
    assert.equal((await bench.ask('GET', '/overwrite-before/late-0')).status, 200);
    assert.equal((await bench.ask('GET', '/overwrite-late/doc')).status, 200);
    assert.equal((await bench.ask('GET', '/overwrite-late/late-0')).status, 404);
  });

  it('opens the database again if it cannot be backed up', async () => {
    const snapshot = await snapshotOf('overwrite-failed');
    let isClosed = false;
    const failing = overwrite(snapshot, (request) => {
      isClosed ||= isClosing(request);
      if (isClosed && request.path.includes('/_changes')) throw new Unavailable('CouchDB is away.');
      return Promise.resolve();
    });
    await assert.rejects(failing, /CouchDB is away/);
    await assertUntouched('overwrite-failed');
  });

  it('removes nothing while a server admin writes', async () => {
    const snapshot = await snapshotOf('overwrite-busy');
    let writes = 0;
    const failing = overwrite(snapshot, async ({ path }) => {
      if (!path.includes('&limit=1&')) return;
      writes += 1;
      await bench.ask('PUT', `/overwrite-busy/busy-${writes}`, {});
    });
    await assert.rejects(failing, /overwrite-busy was not overwritten: /);
    assert.equal(writes, 5);
    await assertUntouched('overwrite-busy');
  });

  it('names the snapshot of the state before if the answer to the removal is lost', async () => {
    const snapshot = await snapshotOf('overwrite-lost');
    let named = '';
    const failing = overwrite(snapshot, async (request) => {
      if (request.method !== 'DELETE') return;
      await bench.couch.ask(request);
      throw new Unavailable('The answer is lost.');
    });
    await assert.rejects(failing, ({ message }: Error) => {
      named = / its state before, with its grants, is snapshot (\S+)\. /.exec(message)?.[1] ?? message;
      return true;
    });
    assert.deepEqual((await readSnapshot(bench.repository, named)).security, SECURITY);
  });
});
