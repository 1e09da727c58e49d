// The copies of a cluster differ: a snapshot has what any copy has that can be read, and says which cannot.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { backupDatabase, type BackupContext } from '../../src/backup/backup-database.ts';
import { CopyPasses } from '../../src/backup/copy-passes.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { overwriteDatabase } from '../../src/backup/overwrite-database.ts';
import { copiesIn } from '../../src/backup/packed-sequence.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { findVersions } from '../../src/backup/versions.ts';
import { type CouchTransfer } from '../../src/couch/transfer.ts';
import { startBackupBench, type BackupBench } from '../support/backup.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { packed } from '../support/packed-sequence.ts';

describe('the passes over the copies of a database', () => {
  const [low, high] = ['0-2147483647', '2147483648-4294967295'] as const;
  const on = (range: string, ...nodes: readonly string[]) => nodes.map((node) => `${node}@x ${range}`);
  const positions = (sequence = '') => copiesIn(sequence)?.map(({ copy, count }) => `${copy} ${count}`);

  it('read each connected copy once, from where it was read before', () => {
    const ranges = [
      { copies: on(low, 'a', 'b', 'c'), connected: on(low, 'a', 'b') },
      { copies: on(high, 'a', 'b', 'c'), connected: on(high, 'a', 'b') },
    ];
    const before = packed({ node: 'b@x', count: 7, file: 'f' });
    const passes = new CopyPasses(ranges, before);
    passes.ended(packed({ node: 'a@x', count: 5, file: 'f' }, { node: 'b@x', count: 6, file: 'f' }));
    assert.equal(passes.isEnough, false, 'one of three');
    const next = passes.next();
    assert.deepEqual(positions(next), [`b@x ${low} 7`, `a@x ${high} 0`]);
    passes.ended(next ?? '');
    assert.equal(passes.next(), undefined);
    assert.deepEqual([passes.isEnough, passes.unread], [true, [...on(low, 'c'), ...on(high, 'c')]]);
    assert.deepEqual(positions(passes.copies), [
      ...[`a@x ${low} 5`, `b@x ${low} 7`, `a@x ${high} 0`, `b@x ${high} 6`],
    ]);
  });
});

describe('a backup of copies that differ', { skip: withoutCouchdb }, () => {
  let bench: BackupBench;

  before(async () => {
    bench = await startBackupBench({ nodes: 3 });
    await setSync('3600000');
  });
  after(async () => {
    await setSync('500');
    await bench.close();
  });

  /** How often copies get what they lack from each other. */
  async function setSync(milliseconds: string): Promise<void> {
    for (const { name } of bench.backend.nodes) {
      const path = `/_node/${name}/_config/mem3/sync_frequency`;
      assert.equal((await bench.ask('PUT', path, milliseconds)).status, 200);
    }
  }

  async function createDatabase(database: string): Promise<void> {
    assert.equal((await bench.ask('PUT', `/${database}?q=1`)).status, 201);
    await bench.ask('POST', `/${database}/_bulk_docs`, { docs: [leaf('all', 'a')], new_edits: false });
  }

  /** Writes into the copy of one node alone, as if the others had been away. */
  async function writeOn(node: number, database: string, doc: object): Promise<void> {
    const { body } = await bench.ask('GET', `/_node/_local/_dbs/${database}`);
    const { shard_suffix: suffix } = body as { readonly shard_suffix: readonly number[] };
    const shard = `shards/00000000-ffffffff/${database}${String.fromCharCode(...suffix)}`;
    const path = `/_node/${bench.backend.nodes[node]?.name ?? ''}/${encodeURIComponent(shard)}/_bulk_docs`;
    const { status } = await bench.ask('POST', path, { docs: [doc], new_edits: false });
    assert.equal(status, 201);
  }

  const leaf = (id: string, ...ids: readonly string[]): object => {
    const start = ids.length;
    return { _id: id, _rev: `${start}-${ids[0] ?? ''}`, _revisions: { start, ids } };
  };

  /** The bench, of whose nodes CouchDB names these alone as connected. */
  const couchWith = (...nodes: readonly string[]): CouchTransfer => ({
    ...bench.couch,
    async ask(request, maxBytes) {
      if (request.path !== '/_membership') return bench.couch.ask(request, maxBytes);
      return { status: 200, bytes: Buffer.from(JSON.stringify({ all_nodes: nodes })) };
    },
    read: (request) => bench.couch.read(request),
  });

  async function withLock<T>(work: (context: Omit<BackupContext, 'couch'>) => Promise<T>): Promise<T> {
    const { repository } = bench;
    const lock = await takeLock(repository, 'test');
    return work({ repository, lock, onEvent: () => undefined }).finally(() => lock.release());
  }

  const backupThrough = (database: string, couch: CouchTransfer): Promise<Snapshot> =>
    withLock((context) => backupDatabase({ ...context, couch }, database));

  it('has what one copy alone has, and no older revision in its place', async () => {
    await createDatabase('copies');
    await writeOn(0, 'copies', leaf('first', 'a'));
    const first = await bench.backup('copies');
    assert.deepEqual([first.complete, first.unread, first.counts.documents], [true, undefined, 2]);
    const nodes = [0, 1, 2];
    for (const node of nodes) {
      await writeOn(node, 'copies', leaf(`late-${node}`, 'a'));
      await writeOn(node, 'copies', leaf('newer', ...['c', 'b', 'a'].slice(node)));
    }
    const asked: string[] = [];
    const second = await backupThrough('copies', {
      ...bench.couch,
      ask: (request, maxBytes) => (asked.push(request.path), bench.couch.ask(request, maxBytes)),
      read: (request) => bench.couch.read(request),
    });
    assert.deepEqual([second.full, second.complete, second.counts.documents], [false, true, 6]);
    const [newest] = await findVersions(bench.repository, 'copies', 'newer');
    assert.equal(newest?.leaves.map(({ rev }) => rev).join(), '3-c');
    // Two copies may agree on what a third one has replaced.
    assert.match(asked.filter((path) => path.includes('/_bulk_get?')).at(-1) ?? '', /&r=3$/);
    assert.deepEqual((await bench.backup('copies')).index, second.index, 'nothing is read again');
  });

  it('says what was not read, and overwrites nothing then', async () => {
    await createDatabase('copies-away');
    const snapshot = await bench.backup('copies-away');
    const served = copiesIn(snapshot.since)?.[0]?.copy.split(' ')[0] ?? '';
    const [other = '', third = ''] = bench.backend.nodes.map(({ name }) => name).filter((n) => n !== served);
    const two = await backupThrough('copies-away', couchWith(served, other));
    assert.deepEqual([two.complete, two.unread], [true, [`${third} 0-4294967295`]]);
    const one = await backupThrough('copies-away', couchWith(served));
    assert.deepEqual([one.complete, one.unread?.length], [false, 2]);
    const overwriting = withLock((context) =>
      overwriteDatabase({ ...context, couch: couchWith(served, other) }, snapshot),
    );
    await assert.rejects(overwriting, ({ message }: Error) => message.includes(`the copies on ${third}`));
    assert.equal((await bench.ask('GET', '/copies-away/all')).status, 200);
  });
});
