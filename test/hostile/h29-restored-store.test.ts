// H29: `restore --store` never un-revokes a key, brings no older password back, and lowers no revision.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { exportInstance, writeInstanceExport } from '../../src/backup/instance-export.ts';
import { backupDatabase } from '../../src/backup/backup-database.ts';
import { forgetByPolicy, removeForgotten } from '../../src/backup/forget.ts';
import {
  backupInstance,
  chooseInstance,
  listInstances,
  type InstanceSection,
} from '../../src/backup/instance.ts';
import { takeLock, type Lock } from '../../src/backup/lock.ts';
import { openOrCreateRepository, type Repository } from '../../src/backup/repository.ts';
import { restoreStore, type StoreRestoreOutcome } from '../../src/backup/restore-store.ts';
import { verifyRepository } from '../../src/backup/verify.ts';
import { type CouchTransfer } from '../../src/couch/transfer.ts';
import { openAdmin, type Admin } from '../../src/setup/admin.ts';
import { transferTo } from '../support/backup.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';

const SECRET = { type: 'key-file', bytes: Buffer.from('k'.repeat(40)) } as const;
const SECOND = 'h29-second-store';

describe('H29 a restored store', () => {
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-h29-store-'));
  let couchgate: Couchgate;
  let couch: CouchTransfer;
  let admin: Admin;
  let repository: Repository;
  let lock: Lock;
  let plain: Credentials;
  let rotated: Credentials;
  let revoked: Credentials;
  let newPassword: string;
  let old: InstanceSection;

  before(async () => {
    couchgate = await startCouchgate();
    couch = transferTo(couchgate.backend);
    admin = openAdmin({ url: couchgate.backend.urls[0] ?? '', credentials: couchgate.owner });
    [plain, rotated, revoked] = [await couchgate.key(), await couchgate.key(), await couchgate.key()];
    const grants = Object.fromEntries([plain, rotated, revoked].map(({ name }) => [name, ['_reader']]));
    await couchgate.database('h29-kept', grants);
    await couchgate.database('h29-moved', grants);
    await putUser('ann', 'first-password');
    await putUser('bob', 'bobs-password');
    await owner('PUT', '/_api/v2/prefix_grants/wide', {
      principal: plain.name,
      databases: 'h29-p*',
      roles: ['_reader'],
    });
    await admin.ask('PUT', '/_replicator');
    const job = { source: 'http://user:secret@127.0.0.1:9/a', target: 'http://127.0.0.1:9/b' };
    await admin.ask('PUT', '/_replicator/job', job);
    writeFileSync(join(couchgate.configFolder, 'cors.yaml'), 'enable_cors: false\n');
    ({ repository } = await openOrCreateRepository(join(folder, 'repository'), SECRET));
    lock = await takeLock(repository, 'test');
    old = await section();

    const rotation = { body: { overlap_seconds: 0 } };
    newPassword = (
      (await owner('POST', `/_api/v2/api_keys/${rotated.name}/rotate`, rotation.body)) as { password: string }
    ).password;
    await owner('DELETE', `/_api/v2/api_keys/${revoked.name}`);
    await owner('DELETE', '/_api/v2/prefix_grants/wide');
    await putUser('ann', 'second-password');
    await removeDocument('/_users/org.couchdb.user:bob');
    await removeDocument('/_replicator/job');
  });
  after(async () => {
    await lock.release();
    await couch.close();
    await couchgate.close();
    rmSync(folder, { recursive: true });
  });

  async function owner(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await couchgate.ask(method, path, { as: couchgate.owner, body });
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  async function putUser(name: string, password: string): Promise<void> {
    const path = `/_users/org.couchdb.user:${name}`;
    const { _rev } = (await admin.ask('GET', path)).body as { _rev?: string };
    const body = { name, password, type: 'user', roles: [], ...(_rev === undefined ? {} : { _rev }) };
    assert.equal((await admin.ask('PUT', path, body)).status < 300, true);
  }

  async function removeDocument(path: string): Promise<void> {
    const { _rev = '' } = (await admin.ask('GET', path)).body as { _rev?: string };
    assert.equal((await admin.ask('DELETE', `${path}?rev=${_rev}`)).status < 300, true);
  }

  function section(): Promise<InstanceSection> {
    const { configFolder } = couchgate;
    const context = { repository, lock, couch, onEvent: () => undefined };
    return backupInstance(context, { store: 'couchgate', configFolder });
  }

  function put(store: string, overwriteUsers: readonly string[] = []): Promise<StoreRestoreOutcome> {
    return restoreStore({ repository, couch }, old, { store, overwriteUsers, dryRun: false });
  }

  async function read(through: Couchgate, as: Credentials, database = 'h29-kept'): Promise<number> {
    return (await through.ask('GET', `/${database}`, { as })).status;
  }

  const refusalOf = (outcome: StoreRestoreOutcome, kind: keyof StoreRestoreOutcome, id: string) =>
    outcome[kind].refused.find((one) => one.id === id)?.reason;

  it('is backed up into an encrypted repository only', async () => {
    const open = await openOrCreateRepository(join(folder, 'open'), undefined);
    const context = { repository: open.repository, lock, couch, onEvent: () => undefined };
    await assert.rejects(
      backupInstance(context, { store: 'couchgate', configFolder: folder }),
      /holds credentials; it is backed up into an encrypted repository only/,
    );
    assert.deepEqual(await open.repository.list('snapshots'), []);
  });

  it('leaves the present keys, passwords and users as they are', async () => {
    const stored = (await admin.ask('GET', `/couchgate/key:${rotated.name}`)).body;
    const outcome = await put('couchgate');
    assert.deepEqual((await admin.ask('GET', `/couchgate/key:${rotated.name}`)).body, stored);
    assert.equal(refusalOf(outcome, 'keys', revoked.name), 'it is revoked');
    assert.deepEqual([outcome.keys.restored, outcome.keys.kept, outcome.users.restored], [0, 2, 0]);
    assert.match(refusalOf(outcome, 'users', 'bob') ?? '', /was deleted later/);
    assert.equal(outcome.permissions.restored, 0);
    assert.deepEqual(
      [
        await read(couchgate, rotated),
        await read(couchgate, { ...rotated, password: newPassword }),
        await read(couchgate, revoked),
        await read(couchgate, plain),
        await read(couchgate, { name: 'ann', password: 'first-password' }),
      ],
      [401, 200, 401, 200, 401],
    );
  });

  it('starts no job and widens no grant: those are exported for the owner alone', async () => {
    const path = join(folder, 'export.json');
    await writeInstanceExport(path, await exportInstance(repository, old));
    const content = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown[]> & {
      replicator: { docs: { _id: string }[] };
    };
    assert.deepEqual(
      content.replicator.docs.map(({ _id }) => _id),
      ['job'],
    );
    assert.equal(content['prefix_grants']?.length, 1);
    assert.deepEqual(content['files'], [{ name: 'cors.yaml', text: 'enable_cors: false\n' }]);
    assert.equal(statSync(path).mode & 0o077, 0);
    await assert.rejects(writeInstanceExport(path, await exportInstance(repository, old)), /EEXIST|exists/);
    assert.equal((await admin.ask('GET', '/_replicator/job')).status, 404);
    assert.equal(
      (await couchgate.ask('GET', '/_api/v2/prefix_grants/wide', { as: couchgate.owner })).status,
      404,
    );
  });

  it('takes the newest revocation, password and deletion of the repository after a loss', async () => {
    await section();
    // Later than every backup: the revision in force is higher than that of any record.
    await couchgate.grant('h29-moved', { [plain.name]: ['_reader'] });
    assert.equal((await admin.ask('DELETE', '/_users')).status < 300, true);
    assert.equal((await admin.ask('PUT', '/_users')).status < 300, true);
    const outcome = await put(SECOND);
    assert.match(JSON.stringify((await admin.ask('GET', `/${SECOND}/_security`)).body), /"_admin"/);
    assert.equal(refusalOf(outcome, 'keys', revoked.name), 'it is revoked');
    assert.match(refusalOf(outcome, 'permissions', 'h29-moved') ?? '', /its revision \d+ is lower than \d+/);
    assert.match(refusalOf(outcome, 'users', 'bob') ?? '', /was deleted later/);
    assert.deepEqual(
      [
        outcome.revocations.restored,
        outcome.keys.restored,
        outcome.permissions.restored,
        outcome.users.restored,
      ],
      [1, 2, 1, 1],
    );
    const { backend } = couchgate;
    const second = await startCouchgate({ backend, settings: { storeDatabase: SECOND } });
    try {
      assert.deepEqual(
        [
          await read(second, plain),
          await read(second, rotated),
          await read(second, { ...rotated, password: newPassword }),
          await read(second, revoked),
          await read(second, { name: 'bob', password: 'bobs-password' }),
          await read(second, plain, 'h29-moved'),
          await read(second, { ...rotated, password: newPassword }, 'h29-moved'),
        ],
        [200, 401, 200, 401, 401, 200, 403],
      );
      const session = (name: string, password: string) =>
        second.ask('POST', '/_session', { body: { name, password } });
      assert.equal((await session('ann', 'first-password')).status, 401);
      assert.equal((await session('ann', 'second-password')).status, 200);
    } finally {
      await second.close();
    }
    // A user that is named gets the version of the section.
    assert.equal((await put(SECOND, ['bob'])).users.restored, 1);
    await assert.rejects(put(SECOND, ['nobody-known']), /has no user/);
  });

  it('keeps the snapshots of a section that stays', async () => {
    const context = { repository, lock, couch, onEvent: () => undefined };
    const later = await backupDatabase(context, 'couchgate');
    const [oldest, newest] = await listInstances(repository);
    assert.equal(oldest?.id, old.id);
    const plan = await forgetByPolicy(repository, { last: 1 });
    assert.deepEqual(
      plan.sections.map(({ id }) => id),
      [old.id],
    );
    const removed = plan.snapshots.map(({ id }) => id);
    assert.equal(
      Object.values(old.snapshots).every((id) => removed.includes(id)),
      true,
    );
    assert.equal(
      Object.values(newest?.snapshots ?? {}).every((id) => !removed.includes(id)),
      true,
    );
    assert.equal(removed.includes(later.id), false);
    await removeForgotten(repository, lock, plan);
    assert.equal((await chooseInstance(repository, {})).id, newest?.id);
    assert.deepEqual((await verifyRepository(repository, { readData: false })).damages, []);
  });
});
