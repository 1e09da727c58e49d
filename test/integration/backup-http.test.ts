// Backups over HTTP: the owner watches, runs, verifies and restores them, and restores single documents.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startCouchgate, type Answer, type Couchgate } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

interface JobBody {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly by: string;
  readonly reason?: string;
  readonly exit_code?: number;
  readonly results: readonly {
    readonly database: string;
    readonly state: string;
    readonly snapshot?: string;
  }[];
}

interface VersionsBody {
  readonly live: { readonly rev: string; readonly deleted: boolean } | null;
  readonly versions: readonly {
    readonly snapshot: string;
    readonly rev: string;
    readonly deleted: boolean;
  }[];
}

describe('backups over HTTP', () => {
  const started = closedAfterSuite();
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-backup-http-'));
  let gate: Couchgate;

  before(async () => {
    await started({ close: () => rmSync(folder, { recursive: true, force: true }) });
    const settings = {
      backupRepository: join(folder, 'repository'),
      backupKey: 'a key of a test with more than 32 characters',
    };
    gate = await started(startCouchgate({ settings }));
    await gate.database('fruit');
    await put('fruit/apple', { colour: 'green', count: 7 });
    // `fetch` would take the id out of the path.
    const dots = await gate.ask('POST', '/fruit', { as: gate.owner, body: { _id: '..', dots: true } });
    assert.equal(dots.status, 201);
  });

  const asOwner = (method: string, path: string, body?: unknown): Promise<Answer> =>
    gate.ask(method, `/_api/v2/backup${path}`, { as: gate.owner, ...(body === undefined ? {} : { body }) });

  async function put(path: string, fields: Readonly<Record<string, unknown>>, rev?: string): Promise<string> {
    const body = rev === undefined ? fields : { _rev: rev, ...fields };
    const answer = await gate.ask('PUT', `/${path}`, { as: gate.owner, body });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    return (answer.body as { rev: string }).rev;
  }

  async function ended(job: Answer): Promise<JobBody> {
    assert.equal(job.status, 202, JSON.stringify(job.body));
    const { id } = job.body as JobBody;
    assert.equal(job.headers.get('location'), `/_api/v2/backup/jobs/${id}`);
    let last: JobBody | undefined;
    await until(async () => {
      last = (await asOwner('GET', `/jobs/${id}`)).body as JobBody;
      return !['queued', 'running'].includes(last.state);
    }, 'the end of the job');
    return last as JobBody;
  }

  async function backup(): Promise<string> {
    const job = await ended(await asOwner('POST', '/run', { databases: ['fruit'] }));
    assert.equal(job.state, 'done', JSON.stringify(job));
    return job.results[0]?.snapshot ?? '';
  }

  const versionsOf = async (id: string): Promise<VersionsBody> =>
    (await asOwner('GET', `/documents/fruit/${id}`)).body as VersionsBody;

  it('says that there is no repository before the first backup – GET /_api/v2/backup', async () => {
    const { status, body } = await asOwner('GET', '');
    assert.equal(status, 200);
    const { enabled, repository, reason } = body as Record<string, unknown>;
    assert.deepEqual([enabled, repository], [true, null]);
    assert.match(String(reason), /is not a backup repository/);
    assert.equal((await asOwner('GET', '/snapshots')).status, 409);
  });

  it('runs a backup as a job, and shows its snapshot in the list and in the status', async () => {
    const job = await ended(await asOwner('POST', '/run'));
    assert.deepEqual([job.state, job.kind, job.by, job.exit_code], ['done', 'backup', gate.owner.name, 0]);
    assert.deepEqual(
      job.results.map(({ database, state }) => [database, state]),
      [['fruit', 'done']],
    );
    const { body } = await asOwner('GET', '/snapshots?database=fruit');
    const { snapshots } = body as { snapshots: { id: string; counts: { documents: number } }[] };
    assert.deepEqual(
      snapshots.map(({ id }) => id),
      [job.results[0]?.snapshot],
    );
    assert.equal(snapshots[0]?.counts.documents, 2);
    const status = (await asOwner('GET', '')).body as {
      repository: { encrypted: boolean };
      last_success: string;
      last_job: { id: string };
      databases: { database: string; verified_at: string | null }[];
    };
    assert.equal(status.repository.encrypted, true);
    assert.equal(status.last_job.id, job.id);
    assert.deepEqual(
      status.databases.map(({ database, verified_at }) => [database, verified_at]),
      [['fruit', null]],
    );
    assert.equal(Date.parse(status.last_success) > 0, true);
  });

  it('verifies a snapshot, and shows when – POST /_api/v2/backup/verify', async () => {
    const job = await ended(await asOwner('POST', '/verify', { database: 'fruit' }));
    assert.equal(job.state, 'done', JSON.stringify(job));
    const { databases } = (await asOwner('GET', '')).body as { databases: { verified_at: string | null }[] };
    assert.equal(Date.parse(databases[0]?.verified_at ?? '') > 0, true);
  });

  it('restores into a new database of the owner alone, never over one – POST …/restore', async () => {
    const snapshot = await backup();
    const request = { database: 'fruit', snapshot, to: 'fruit-old' };
    assert.equal((await ended(await asOwner('POST', '/restore', request))).state, 'done');
    const copy = await gate.ask('GET', '/fruit-old/apple', { as: gate.owner });
    assert.equal((copy.body as { colour: string }).colour, 'green');
    const again = await ended(await asOwner('POST', '/restore', request));
    assert.deepEqual([again.state, again.exit_code], ['failed', 1]);
    assert.match(JSON.stringify(again.results), /exists already; nothing was changed/);
  });

  it('lists versions, shows one with what changed – GET …/documents/…', async () => {
    const snapshot = await backup();
    const { rev } = (await versionsOf('apple')).live ?? { rev: '' };
    await put('fruit/apple', { colour: 'red', count: 1 }, rev);
    const newer = await backup();
    const { versions, live } = await versionsOf('apple');
    assert.deepEqual(
      versions.map((version) => version.snapshot),
      [newer, snapshot],
    );
    assert.equal(live?.rev, versions[0]?.rev);
    const version = await asOwner('GET', `/documents/fruit/apple?snapshot=${snapshot}`);
    const { document, changes } = version.body as {
      document: { colour: string };
      changes: { path: string[]; before: string; after: string }[];
    };
    assert.equal(document.colour, 'green');
    assert.deepEqual(
      changes.map(({ path, before, after }) => [path.join('/'), before, after]),
      [
        ['colour', '"green"', '"red"'],
        ['count', '7', '1'],
      ],
    );
    const between = await asOwner('GET', `/documents/fruit/apple?snapshot=${snapshot}&to=${newer}`);
    assert.equal((between.body as { changes: unknown[] }).changes.length, 2);
  });

  it('restores a document on the revision that was shown, and says 409 with what changed since', async () => {
    const { versions, live } = await versionsOf('apple');
    const oldest = versions.at(-1);
    const changed = await put('fruit/apple', { colour: 'blue' }, live?.rev);
    const request = { snapshot: oldest?.snapshot, revision: live?.rev };
    const refused = await asOwner('POST', '/documents/fruit/apple/restore', request);
    assert.equal(refused.status, 409);
    const { rev, changes } = refused.body as { rev: string; changes: { path: string[]; after?: string }[] };
    assert.equal(rev, changed);
    assert.deepEqual(changes[0], { kind: 'changed', path: ['colour'], before: '"red"', after: '"blue"' });
    const restored = await asOwner('POST', '/documents/fruit/apple/restore', {
      ...request,
      revision: changed,
    });
    assert.equal(restored.status, 201, JSON.stringify(restored.body));
    const now = await gate.ask('GET', '/fruit/apple', { as: gate.owner });
    assert.equal((now.body as { colour: string }).colour, 'green');
    let change: unknown;
    await until(async () => {
      const lines = (await gate.accessLog()).filter(
        ({ operation }) => operation === 'backup-document-restore',
      );
      change = lines.find((line) => line['change'] !== undefined)?.['change'];
      return change !== undefined;
    }, 'the restore in the access log');
    assert.equal((change as { action: string }).action, 'restore document');
  });

  it('reads and restores a document whose id no path can have', async () => {
    const found = await asOwner('GET', '/documents/fruit?id=..');
    const { versions, live } = found.body as VersionsBody;
    const snapshot = versions[0]?.snapshot;
    assert.equal(live?.rev, versions[0]?.rev);
    const deletion = { docs: [{ _id: '..', _rev: live?.rev, _deleted: true }] };
    await gate.ask('POST', '/fruit/_bulk_docs', { as: gate.owner, body: deletion });
    const body = { id: '..', snapshot, revision: null };
    assert.equal((await asOwner('POST', '/documents/fruit', body)).status, 201);
    const keys = { as: gate.owner, body: { keys: ['..'] } };
    const { rows } = (await gate.ask('POST', '/fruit/_all_docs?include_docs=true', keys)).body as {
      rows: { doc: { dots: boolean } }[];
    };
    assert.equal(rows[0]?.doc.dots, true);
  });

  it('answers 404 for what the repository does not have, 400 for what it does not understand', async () => {
    const snapshot = await backup();
    assert.equal((await asOwner('GET', '/jobs/none')).status, 404);
    assert.equal((await asOwner('GET', '/documents/fruit/none')).status, 404);
    assert.equal((await asOwner('GET', '/documents/fruit/apple?snapshot=none')).status, 404);
    assert.equal((await asOwner('GET', '/documents/fruit/apple?snapshott=x')).status, 400);
    assert.equal((await asOwner('POST', '/restore', { database: 'fruit', snapshot, too: 'x' })).status, 400);
    assert.equal((await asOwner('POST', '/run', { databases: [] })).status, 400);
    const missing = await ended(await asOwner('POST', '/run', { databases: ['no-such'] }));
    assert.deepEqual([missing.state, missing.exit_code], ['failed', 1]);
    assert.match(missing.reason ?? '', /no-such does not exist/);
  });

  it('refuses a second job of the same kind while one is open – 409 names it', async () => {
    const [first, second] = await Promise.all([
      asOwner('POST', '/run', { databases: ['fruit'] }),
      until(
        async () => ((await asOwner('GET', '')).body as { running: unknown[] }).running.length > 0,
        'a job',
      ).then(() => asOwner('POST', '/run', { databases: ['fruit'] })),
    ]);
    await ended(first);
    assert.equal(second.status, 409);
    assert.match(JSON.stringify(second.body), new RegExp((first.body as JobBody).id));
  });
});
