// Purges of a cluster: one copy answers for each range, and may lag behind. What it lacks was not purged.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { backupDatabase } from '../../src/backup/backup-database.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { purgeCounts } from '../../src/backup/purge-counts.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { findVersions } from '../../src/backup/versions.ts';
import { ANSWER_TOO_LARGE, unavailable } from '../../src/couch/failure.ts';
import { type CouchTransfer, type TransferRequest } from '../../src/couch/transfer.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';
import { packed } from '../support/packed-sequence.ts';

/** `purge_seq` with the number of purges of one copy of each range. */
const purges = (...copies: readonly (readonly [node: string, count: number])[]): string =>
  packed(...copies.map(([node, count]) => ({ node, count })));

interface Lag {
  readonly purgeSeq: string;
  /** Documents that the feed from its beginning does not name. */
  readonly unnamed?: readonly string[];
  /** Documents that no copy has. */
  readonly gone?: readonly string[];
  readonly isMinority?: boolean;
}

describe('a backup of a cluster whose copies differ', () => {
  let bench: BackupBench;

  before(async () => {
    bench = await startBackupBench();
  });
  after(() => bench.close());

  async function backupThrough(
    database: string,
    change: (request: TransferRequest, answer: unknown) => unknown,
  ): Promise<Snapshot> {
    const couch: CouchTransfer = {
      ...bench.couch,
      async ask(request, maxBytes) {
        const { status, bytes } = await bench.couch.ask(request, maxBytes);
        const changed = change(request, JSON.parse(bytes.toString()));
        return { status, bytes: Buffer.from(JSON.stringify(changed)) };
      },
      read: (request) => bench.couch.read(request),
    };
    const { repository } = bench;
    const lock = await takeLock(repository, 'test');
    try {
      const onEvent = (event: (typeof bench.events)[number]): void => void bench.events.push(event);
      return await backupDatabase({ repository, lock, couch, onEvent }, database);
    } finally {
      await lock.release();
    }
  }

  /** A backup, and how often it read the feed from its beginning. */
  async function backupBehind(
    database: string,
    lag: Lag,
  ): Promise<Snapshot & { readonly wholeFeeds: number }> {
    const { purgeSeq, unnamed = [], gone = [], isMinority = false } = lag;
    let wholeFeeds = 0;
    const snapshot = await backupThrough(database, ({ path }, answer) => {
      if (path === `/${database}`) return { ...(answer as object), purge_seq: purgeSeq };
      if (path === '/_membership' && isMinority) return { ...(answer as object), all_nodes: [] };
      const { results } = answer as { readonly results?: readonly { readonly id: string }[] };
      if (path.endsWith('&since=0')) {
        wholeFeeds += 1;
        return { ...(answer as object), results: results?.filter(({ id }) => !unnamed.includes(id)) };
      }
      if (!path.includes('/_bulk_get?')) return answer;
      const docs = [{ error: { rev: 'undefined', error: 'not_found', reason: 'missing' } }];
      return { results: results?.map((one) => (gone.includes(one.id) ? { id: one.id, docs } : one)) };
    });
    return { ...snapshot, wholeFeeds };
  }

  const fill = async (database: string, documents: number): Promise<void> => {
    await bench.ask('PUT', `/${database}`);
    const docs = Array.from({ length: documents }, (_, n) => ({ _id: `doc-${n}`, n }));
    await bench.ask('POST', `/${database}/_bulk_docs`, { docs });
  };

  it('reads the purges of each copy from purge_seq', () => {
    assert.deepEqual(purgeCounts(purges(['a@x', 3], ['b@x', 400])), {
      'a@x 0-2147483647': 3,
      'b@x 2147483648-4294967295': 400,
    });
    // As CouchDB 3.5 wrote it, compressed.
    const real =
      '0-g1AAAABheJzLYWBgYMpgTmEQS08sSTXWTUozMDNIdDA0MtczAELDHJB8HguQZGgAUv-BICuRgZCGRIakeojKLAB7Choe';
    assert.deepEqual(purgeCounts(real), {
      'gate3-bf060a@127.0.0.1 0-2147483647': 0,
      'gate3-bf060a@127.0.0.1 2147483648-4294967295': 0,
    });
    for (const other of ['', '0', '12', '0-abc', '0-g2wAAAABagA', '5-embedded'])
      assert.equal(purgeCounts(other), undefined, other);
  });

  it('keeps what another copy has than that of the feed, and drops what none has', async () => {
    await fill('purge-lag', 20);
    const first = await backupBehind('purge-lag', { purgeSeq: purges(['a@x', 0], ['a@x', 0]) });
    assert.deepEqual([first.counts.documents, first.wholeFeeds], [20, 1]);
    const behind = { purgeSeq: purges(['b@x', 1], ['a@x', 0]), unnamed: ['doc-3', 'doc-5', 'doc-7'] };
    const second = await backupBehind('purge-lag', { ...behind, gone: ['doc-5'] });
    assert.deepEqual([second.complete, second.counts.documents], [true, 19]);
    const newest = async (id: string): Promise<number | undefined> =>
      (await findVersions(bench.repository, 'purge-lag', id))[0]?.leaves.length;
    assert.deepEqual(await Promise.all(['doc-3', 'doc-5', 'doc-7'].map(newest)), [1, 0, 1]);
  });

  it('looks for purged documents only if a copy has counted one', async () => {
    await fill('purge-copies', 3);
    const wholeFeeds: number[] = [];
    for (const purgeSeq of [
      purges(['a@x', 0], ['a@x', 0]),
      purges(['b@x', 0], ['c@x', 0]),
      purges(['b@x', 1], ['a@x', 0]),
      purges(['a@x', 1], ['a@x', 0]),
      purges(['b@x', 1], ['b@x', 0]),
      purges(['a@x', 1], ['c@x', 0]),
    ])
      wholeFeeds.push((await backupBehind('purge-copies', { purgeSeq })).wholeFeeds);
    // The first backup reads all; then each copy that has counted the purge is a reason to look once.
    assert.deepEqual(wholeFeeds.slice(1), [0, 1, 1, 0, 0]);
  });

  it('drops nothing while too few nodes are up, and looks again with the next backup', async () => {
    await fill('purge-minority', 5);
    await backupBehind('purge-minority', { purgeSeq: purges(['a@x', 0]) });
    const purged = { purgeSeq: purges(['a@x', 1]), unnamed: ['doc-1'], gone: ['doc-1'] };
    const during = await backupBehind('purge-minority', { ...purged, isMinority: true });
    assert.equal(during.counts.documents, 5);
    const later = await backupBehind('purge-minority', purged);
    assert.equal(later.counts.documents, 4);
  });

  for (const named of [['1-a'], []])
    it(`keeps the newest revision of a large document, of which a copy names ${named[0] ?? 'none'}`, async () => {
      const database = `purge-large-${named.length}`;
      await bench.ask('PUT', `/${database}`);
      const write = (doc: object) =>
        bench.ask('POST', `/${database}/_bulk_docs`, { docs: [{ _id: 'big', ...doc }], new_edits: false });
      await write({ _rev: '1-a' });
      await bench.backup(database);
      await write({ _rev: '2-b', _revisions: { start: 2, ids: ['b', 'a'] } });
      const snapshot = await backupThrough(database, ({ method, path, body }, answer) => {
        if (path.includes('filter=_doc_ids'))
          return { results: named.map((rev) => ({ id: 'big', changes: [{ rev }] })) };
        if (path.includes('/_bulk_get?') && typeof body === 'string' && body.includes('{"id":"big"}'))
          throw unavailable({ node: 'n', method, reached: 'sent', reason: ANSWER_TOO_LARGE });
        return answer;
      });
      const [version] = await findVersions(bench.repository, database, 'big');
      assert.deepEqual([snapshot.complete, version?.leaves.map(({ rev }) => rev)], [true, ['2-b']]);
    });
});
