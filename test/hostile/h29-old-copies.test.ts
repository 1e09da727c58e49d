// H29: a store that had another name, or that went back to an old copy, gives no access back; and no copy of
// a store leaves for the second cluster.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { backupDatabases, chooseDatabases } from '../../src/backup/backup-databases.ts';
import { type IndexedLeaf } from '../../src/backup/index-file.ts';
import {
  backupInstance,
  listInstances,
  removeInstances,
  secondCluster,
  type InstanceSection,
} from '../../src/backup/instance.ts';
import { takeLock, type Lock } from '../../src/backup/lock.ts';
import { newestOf } from '../../src/backup/newest-version.ts';
import { openOrCreateRepository, type Repository } from '../../src/backup/repository.ts';
import { restoreStore, type StoreRestoreOutcome } from '../../src/backup/restore-store.ts';
import { runJob } from '../../src/backup/run-job.ts';
import { type CouchTransfer } from '../../src/couch/transfer.ts';
import { openAdmin, type Admin } from '../../src/setup/admin.ts';
import { embeddedBackend, startBackend, type Backend } from '../support/backend.ts';
import { transferTo } from '../support/backup.ts';
import { startCouchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';

type Document = Readonly<Record<string, unknown>> & { readonly _id: string; readonly _rev: string };

const SECRET = { type: 'key-file', bytes: Buffer.from('k'.repeat(40)) } as const;
const USER = '/_users/org.couchdb.user:ann';

describe('H29 old copies of a store', () => {
  const started = closedAfterSuite();
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-h29-copies-'));
  let backend: Backend;
  let couch: CouchTransfer;
  let admin: Admin;
  let repository: Repository;
  let lock: Lock;
  let rotated: Credentials;
  let revoked: Credentials;
  let first: InstanceSection;
  let second: InstanceSection;
  let newKey: Document;
  let newUser: Document;

  before(async () => {
    await started({ close: () => rmSync(folder, { recursive: true, force: true }) });
    backend = await started(startBackend());
    couch = await started(transferTo(backend));
    admin = openAdmin({ url: backend.urls[0] ?? '', credentials: backend.owner });
    ({ repository } = await openOrCreateRepository(join(folder, 'repository'), SECRET));
    lock = await takeLock(repository, 'test');
    await started({ close: () => lock.release() });
    const couchgate = await startCouchgate({ backend });
    [rotated, revoked] = [await couchgate.key(), await couchgate.key()];
    await couchgate.database('h29-data', { [rotated.name]: ['_reader'], [revoked.name]: ['_reader'] });
    await admin.ask('PUT', '/_users');
    const user = { name: 'ann', type: 'user', roles: [] };
    await admin.ask('PUT', USER, { ...user, password: 'first' });
    const oldKey = await read(`/couchgate/key:${rotated.name}?revs=true`);
    const oldUser = await read(`${USER}?revs=true`);
    first = await section('couchgate');
    const path = `/_api/v2/api_keys/${rotated.name}/rotate`;
    await couchgate.ask('POST', path, { as: couchgate.owner, body: { overlap_seconds: 0 } });
    await admin.ask('PUT', USER, { ...user, password: 'second', _rev: oldUser._rev });
    newKey = await read(`/couchgate/key:${rotated.name}`);
    newUser = await read(USER);
    second = await section('couchgate');
    await couchgate.close();
    // The volume of the node goes back to an older copy, and a backup runs.
    for (const [database, copy] of [
      ['couchgate', oldKey],
      ['_users', oldUser],
    ] as const) {
      await admin.ask('DELETE', `/${database}`);
      await admin.ask('PUT', `/${database}`);
      await admin.ask('POST', `/${database}/_bulk_docs`, { new_edits: false, docs: [copy] });
    }
    await section('couchgate');
  });

  async function read(path: string): Promise<Document> {
    const { status, body } = await admin.ask('GET', path);
    assert.equal(status, 200, path);
    return body as Document;
  }

  const section = (store: string): Promise<InstanceSection> => {
    const context = { repository, lock, couch, onEvent: () => undefined };
    return backupInstance(context, { store, configFolder: folder });
  };

  const put = (of: InstanceSection, store: string): Promise<StoreRestoreOutcome> =>
    restoreStore({ repository, couch }, of, { store, overwriteUsers: [], dryRun: false });

  const content = ({ _rev, ...rest }: Document): object => rest;

  it('bring no older password back than a snapshot has, whatever came last', async () => {
    assert.notDeepEqual(content(await read(`/couchgate/key:${rotated.name}`)), content(newKey));
    // The live copy is older: it is replaced by what follows it.
    await put(second, 'couchgate');
    assert.deepEqual(content(await read(`/couchgate/key:${rotated.name}`)), content(newKey));
    assert.deepEqual(content(await read(USER)), content(newUser));
    // The store is lost, and the old section is chosen.
    for (const chosen of [second, first]) {
      await admin.ask('DELETE', '/couchgate');
      const outcome = await put(chosen, 'couchgate');
      assert.equal(outcome.keys.restored, 2, JSON.stringify(outcome));
      assert.deepEqual(content(await read(`/couchgate/key:${rotated.name}`)), content(newKey));
    }
  });

  it('know what was revoked while the store had another name', async () => {
    await put(first, 'h29-other');
    const settings = { storeDatabase: 'h29-other' };
    const couchgate = await startCouchgate({ backend, settings });
    const path = `/_api/v2/api_keys/${revoked.name}`;
    assert.equal((await couchgate.ask('GET', '/h29-data', { as: revoked })).status, 200);
    assert.equal((await couchgate.ask('DELETE', path, { as: couchgate.owner })).status < 300, true);
    await section('h29-other');
    await couchgate.close();
    // The setting went back, or the store was lost: each name knows of the revocation.
    for (const store of ['h29-other', 'couchgate']) {
      await admin.ask('DELETE', `/${store}`);
      const outcome = await put(first, store);
      assert.deepEqual(outcome.keys.refused, [{ id: revoked.name, reason: 'it is revoked' }]);
      assert.equal(outcome.keys.restored, 1);
      assert.equal((await admin.ask('GET', `/${store}/key:${revoked.name}`)).status, 404);
      assert.deepEqual(content(await read(`/${store}/key:${rotated.name}`)), content(newKey));
    }
  });

  it('know what was revoked under a name whose instance sections are forgotten', async () => {
    // A new store, without the revocation.
    await admin.ask('PUT', '/h29-third');
    await section('h29-third');
    const forgotten = (await listInstances(repository)).filter(({ store }) => store === 'h29-other');
    assert.notEqual(forgotten.length, 0);
    await removeInstances(repository, lock, forgotten);
    for (const store of ['h29-third', 'couchgate']) {
      await admin.ask('DELETE', `/${store}`);
      const outcome = await put(first, store);
      assert.deepEqual(outcome.keys.refused, [{ id: revoked.name, reason: 'it is revoked' }], store);
    }
    // Nor does the second cluster get it.
    for (const store of ['couchgate', 'h29-third'])
      assert.equal((await secondCluster(repository, couch, store)?.withheld())?.includes('h29-other'), true);
  });

  it('never reach the second cluster, under any name that the store had', async () => {
    // A test process has one real cluster.
    const other = await started(embeddedBackend());
    const target = await started(transferTo(other));
    const databases = ['h29-data', 'couchgate', 'h29-other'];
    const context = { repository, lock, couch, onEvent: () => undefined };
    const run = await backupDatabases(
      { ...context, target: secondCluster(repository, target, 'h29-other') },
      databases,
    );
    assert.equal(run.exitCode, 0, JSON.stringify(run.databases));
    const there = openAdmin({ url: other.urls[0] ?? '', credentials: other.owner });
    const statuses = databases.map(async (name) => (await there.ask('GET', `/${name}`)).status);
    assert.deepEqual(await Promise.all(statuses), [200, 404, 404]);
    const options = { store: 'couchgate', isEncrypted: false };
    await assert.rejects(chooseDatabases(couch, ['couchgate'], options), /into an encrypted repository only/);
    // The job of a request names it.
    for (const [instance, name] of [
      [false, 'couchgate_history'],
      [true, '_users'],
    ] as const)
      await assert.rejects(
        runJob({ settings: { storeDatabase: 'couchgate', instance } } as Parameters<typeof runJob>[0], {
          kind: 'backup',
          databases: [name],
        }),
        /are backed up with the instance section only/,
      );
  });

  it('are not guessed: of two histories without a link, none is the newest', async () => {
    const leaf = (rev: string, deleted = false): IndexedLeaf =>
      ({ rev, deleted, hash: rev, attachments: [] }) as unknown as IndexedLeaf;
    const branches: Readonly<Record<string, readonly string[]>> = {
      '3-c': ['2-b', '1-a'],
      '2-b': ['1-a'],
      '4-d': ['3-c', '2-b', '1-a'],
      '2-y': ['1-x'],
    };
    const same: Readonly<Record<string, string>> = { '1-x': 'old', '2-b': 'old' };
    const history = {
      revisions: ({ rev }: IndexedLeaf) => Promise.resolve(new Set([rev, ...(branches[rev] ?? [])])),
      content: ({ rev }: IndexedLeaf) => Promise.resolve(same[rev] ?? rev),
    };
    const newest = async (...states: readonly (readonly IndexedLeaf[])[]) =>
      (await newestOf(states, history))?.rev;
    assert.equal(await newest([leaf('3-c')], [leaf('1-a')], [leaf('2-b')]), '3-c');
    // A deletion follows; it does not lose against an older state that is not deleted.
    assert.equal(await newest([leaf('4-d', true)], [leaf('3-c')]), '4-d');
    assert.equal(await newest([leaf('3-c')], [leaf('2-z')]), undefined);
    assert.equal(await newest([leaf('3-c', true)], [leaf('2-z')]), undefined);
    // A conflict that CouchDB itself has decided.
    assert.equal(await newest([leaf('2-b')], [leaf('2-b'), leaf('2-z')]), '2-z');
    // A copy that was restored as a new document, and what followed it.
    assert.equal(await newest([leaf('2-b')], [leaf('1-x')]), '2-b');
    assert.equal(await newest([leaf('2-b')], [leaf('1-x')], [leaf('2-y')]), '2-y');
    assert.equal(await newest([leaf('3-c')], [leaf('1-x')], [leaf('2-y')]), undefined);
    assert.equal(await newest([leaf('2-b', true)], [leaf('1-x', true)], [leaf('2-y')]), undefined);
  });
});
