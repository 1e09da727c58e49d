// H29: a restored database is the owner's alone, whoever had access to the old one.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { backupDatabase } from '../../src/backup/backup-database.ts';
import { takeLock, type Lock } from '../../src/backup/lock.ts';
import { overwriteDatabase } from '../../src/backup/overwrite-database.ts';
import { openOrCreateRepository, type Repository } from '../../src/backup/repository.ts';
import { restoreDatabase } from '../../src/backup/restore-database.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { restore } from '../../src/cli/backup/restore.ts';
import { requireFlags, restoreSecurity } from '../../src/cli/backup/restore-security.ts';
import { type Widening } from '../../src/permissions/widening.ts';
import { openAdmin } from '../../src/setup/admin.ts';
import { type CouchTransfer } from '../../src/couch/transfer.ts';
import { embeddedBackend } from '../support/backend.ts';
import { transferTo } from '../support/backup.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { until } from '../support/until.ts';

describe('H29 a restored database', () => {
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-h29-'));
  let couchgate: Couchgate;
  let couch: CouchTransfer;
  let repository: Repository;
  let lock: Lock;
  let reader: Credentials;
  let snapshot: Snapshot;

  before(async () => {
    couchgate = await startCouchgate();
    couch = transferTo(couchgate.backend);
    reader = await couchgate.key();
    await couchgate.database('h29-source', { [reader.name]: ['_reader', '_admin'], nobody: ['_reader'] });
    await couchgate.ask('PUT', '/h29-source/secret', { as: couchgate.owner, body: { secret: true } });
    ({ repository } = await openOrCreateRepository(join(folder, 'repository'), undefined));
    lock = await takeLock(repository, 'test');
    snapshot = await backupDatabase({ repository, lock, couch, onEvent: () => undefined }, 'h29-source');
  });
  after(async () => {
    await lock.release();
    await couch.close();
    await couchgate.close();
    rmSync(folder, { recursive: true });
  });

  const statusOf = async (database: string, as?: Credentials): Promise<number> =>
    (await couchgate.ask('GET', `/${database}/secret`, as === undefined ? {} : { as })).status;

  it('is closed to everybody who could read the old one', async () => {
    assert.deepEqual([await statusOf('h29-source', reader), await statusOf('h29-source')], [200, 200]);
    assert.match(JSON.stringify(snapshot.security), /nobody/);
    await restoreDatabase({ repository, couch, onEvent: () => undefined }, snapshot, 'h29-new');
    assert.deepEqual(
      [
        await statusOf('h29-new', reader),
        await statusOf('h29-new'),
        await statusOf('h29-new', couchgate.owner),
      ],
      [403, 401, 200],
    );
  });

  it('is closed before the first document is written', async () => {
    const sent: string[] = [];
    const recording: CouchTransfer = {
      ask(request, maxBytes) {
        sent.push(`${request.method} ${request.path}`);
        return couch.ask(request, maxBytes);
      },
      read: (request) => couch.read(request),
      close: () => couch.close(),
    };
    await restoreDatabase({ repository, couch: recording, onEvent: () => undefined }, snapshot, 'h29-order');
    const closed = sent.indexOf('PUT /h29-order/_security');
    const written = sent.indexOf('POST /h29-order/_bulk_docs');
    assert.ok(closed !== -1 && written > closed, sent.join('\n'));
  });

  it('writes nothing if CouchDB does not keep it closed', async () => {
    const open = Buffer.from('{"admins":{"roles":["_admin"]},"members":{"names":[],"roles":[]}}');
    let isWritten = false;
    const broken: CouchTransfer = {
      async ask(request, maxBytes) {
        isWritten ||= request.path.includes('_bulk_docs');
        const answer = await couch.ask(request, maxBytes);
        return request.path === '/h29-open/_security' ? { status: 200, bytes: open } : answer;
      },
      read: (request) => couch.read(request),
      close: () => couch.close(),
    };
    await assert.rejects(
      restoreDatabase({ repository, couch: broken, onEvent: () => undefined }, snapshot, 'h29-open'),
      /could not be closed to everybody but server admins; it is empty/,
    );
    assert.equal(isWritten, false);
  });

  it('gets its grants back only if they are asked for, each width with its flag', async () => {
    const none = new Set<Widening>();
    assert.throws(
      () => requireFlags(snapshot, 'h29-granted', none),
      /Nothing was changed: .*needs --allow-admin; .*needs --allow-public\.$/,
    );
    const all = new Set<Widening>(['public', 'admin']);
    requireFlags(snapshot, 'h29-granted', all);
    await restoreDatabase({ repository, couch, onEvent: () => undefined }, snapshot, 'h29-granted');
    const owner = openAdmin({ url: couchgate.url, credentials: couchgate.owner });
    const say = (): void => undefined;
    for (const way of ['public', 'admin'] as const)
      await assert.rejects(
        restoreSecurity(snapshot, 'h29-granted', { couchgate: owner, allowed: new Set([way]), say }),
        /^Error: h29-granted is restored, but its grants are not; only the owner has access: nothing is changed/,
      );
    assert.deepEqual([await statusOf('h29-granted', reader), await statusOf('h29-granted')], [403, 401]);
    const names = await restoreSecurity(snapshot, 'h29-granted', { couchgate: owner, allowed: all, say });
    assert.equal(names, 2);
    assert.deepEqual([await statusOf('h29-granted', reader), await statusOf('h29-granted')], [200, 200]);
  });

  it('opens nothing behind a Couchgate of another CouchDB', async () => {
    const password = join(folder, 'password');
    writeFileSync(password, couchgate.owner.password);
    const other = await embeddedBackend(couchgate.owner);
    const restoreTo = async (target: string, url: string, ...more: readonly string[]) => {
      let said = '';
      const stream = { write: (text: string) => (said += text) };
      const env = { COUCHGATE_CONFIG: folder, COUCHGATE_URL: couchgate.url };
      const io = { env, stdin: Readable.from([]), stdout: stream, stderr: stream };
      const words = [
        'h29-source',
        '--url',
        url,
        '--password-file',
        password,
        '--repository',
        repository.folder,
      ];
      const flags = ['--security', '--allow-public', '--allow-admin', ...more];
      const code = await restore([...words, ...(target === '' ? [] : ['--to', target]), ...flags], io);
      return [code, said] as const;
    };
    // Live behind Couchgate, and closed there since the snapshot.
    await couchgate.database('h29-live', { nobody: [] });
    await couchgate.ask('PUT', '/h29-live/secret', { as: couchgate.owner, body: {} });
    const [code, reason] = await restoreTo('h29-live', other.urls[0] ?? '');
    assert.equal(code, 1);
    assert.match(reason, /This Couchgate has another database h29-live .* Nothing was changed\./);
    const [overwritten] = await restoreTo('', other.urls[0] ?? '', '--overwrite', '--yes');
    assert.equal(overwritten, 1);
    // Nobody has it before; afterwards only the other CouchDB has.
    const [late, why] = await restoreTo('h29-elsewhere', other.urls[0] ?? '');
    assert.equal(late, 1);
    assert.match(why, /h29-elsewhere is restored, but its grants are not; only the owner has access/);
    assert.deepEqual([await statusOf('h29-live', reader), await statusOf('h29-live')], [403, 401]);
    const [right, text] = await restoreTo('h29-right', couchgate.backend.urls[0] ?? '');
    assert.equal(right, 0, text);
    assert.deepEqual([await statusOf('h29-right', reader), await statusOf('h29-right')], [200, 200]);
    await other.close();
  });

  it('has no grants after it was overwritten', async () => {
    // instance_start_time counts seconds.
    await until(() => Date.now() / 1000 > Number(snapshot.instance_start_time) + 2);
    await overwriteDatabase({ repository, lock, couch, onEvent: () => undefined }, snapshot);
    await until(async () => (await statusOf('h29-source', reader)) === 403, 'the old grants are gone');
    assert.equal(await statusOf('h29-source'), 401);
    // The owner opens it again; nobody else gets access by that.
    const as = couchgate.owner;
    const { status } = await couchgate.ask('PUT', '/h29-source/_security', { as, body: { cloudant: {} } });
    assert.equal(status, 200);
    assert.deepEqual(
      [await statusOf('h29-source', as), await statusOf('h29-source', reader), await statusOf('h29-source')],
      [200, 403, 401],
    );
  });
});
