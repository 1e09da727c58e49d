// Restores a document whose id is too long for the line of a request, as `restore --doc` and the dashboard do.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { restoreOne } from '../../src/backup/document-questions.ts';
import { diffWithLive, readLive, restoreDocument } from '../../src/backup/restore-document.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { leavesIn } from '../../src/backup/versions.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';

const DATABASE = 'long-ids';
const ID = 'ü/'.repeat(8000);
const CONTENT = { content_type: 'text/plain', data: Buffer.from('hello '.repeat(99)).toString('base64') };

describe('a document whose id no path can name', () => {
  let bench: BackupBench;
  let snapshot: Snapshot;

  before(async () => {
    bench = await startBackupBench();
    await bench.ask('PUT', `/${DATABASE}`);
    await write({ n: 1, _attachments: { 'a.txt': CONTENT } });
    snapshot = await bench.backup(DATABASE);
    assert.deepEqual(snapshot.problems, []);
  });
  after(() => bench.close());

  async function write(fields: object): Promise<string> {
    const { body } = await bench.ask('POST', `/${DATABASE}/_bulk_docs`, { docs: [{ _id: ID, ...fields }] });
    const [row] = body as { rev: string; error?: string }[];
    assert.equal(row?.error, undefined, JSON.stringify(body));
    return row?.rev ?? '';
  }

  const live = () => readLive(bench.couch, DATABASE, ID);

  async function restore(shown: Awaited<ReturnType<typeof live>>) {
    const { repository, couch } = bench;
    const [stored] = await leavesIn(repository, snapshot, ID);
    assert.ok(stored !== undefined, 'the snapshot has the document');
    const outcome = await restoreDocument({ repository, couch }, DATABASE, ID, stored, shown);
    return { outcome, differences: await diffWithLive(repository, stored, await live()) };
  }

  it('comes back as a new revision on the present one, with its attachments', async () => {
    const rev = await write({ n: 2, _rev: (await live()).rev });
    const { outcome, differences } = await restore(await live());
    assert.deepEqual([outcome.outcome, differences], ['restored', []]);
    assert.deepEqual(
      [rev, outcome.rev].map((one) => parseInt(one ?? '', 10)),
      [2, 3],
    );
    assert.equal((await live()).rev, outcome.rev);
  });

  it('stays as it is if somebody has changed it – the outcome says what', async () => {
    const shown = await live();
    const rev = await write({ n: 3, _rev: shown.rev, _attachments: { 'a.txt': CONTENT } });
    const { outcome } = await restore(shown);
    const changes = [{ kind: 'changed', path: ['n'], before: '1', after: '3' }];
    assert.deepEqual(outcome, { outcome: 'conflict', rev, changes });
    // The dashboard asks with the revision that it has shown.
    const question = { kind: 'restoreDocument', database: DATABASE, id: ID, snapshot: snapshot.id } as const;
    const asked = { ...question, revision: shown.rev ?? null };
    const { status, body } = await restoreOne({ repository: bench.repository, couch: bench.couch }, asked);
    assert.deepEqual([status, (body as { changes: unknown }).changes], [409, changes]);
  });

  it('comes back after its deletion', async () => {
    await write({ _rev: (await live()).rev, _deleted: true });
    const { outcome, differences } = await restore(await live());
    assert.deepEqual([outcome.outcome, differences], ['restored', []]);
  });
});
