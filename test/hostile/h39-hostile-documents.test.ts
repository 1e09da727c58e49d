// H39.2: a document of a writer cannot be read, or is very large. The others, and the databases after it, are
// in the backup.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { backupDatabases, type DatabaseOutcome } from '../../src/backup/backup-databases.ts';
import { takeLock } from '../../src/backup/lock.ts';
import { Patience } from '../../src/backup/patience.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { InvalidAnswer, type CouchTransfer, type TransferRequest } from '../../src/couch/transfer.ts';
import { startBackupBench, transferTo, type BackupBench } from '../support/backup.ts';
import { answerJson, startScriptedNode, type Received } from '../support/scripted-node.ts';

/** Stands for the limit of an answer, so that small documents are too large. */
const LIMIT = 16 * 1024;
/** Stands for what fits into memory. */
const LARGEST = 30_000;

describe('H39.2 documents that a backup cannot read', () => {
  let bench: BackupBench;

  before(async () => {
    bench = await startBackupBench();
  });
  after(() => bench.close());

  /** Makes databases with one document `good`, and `docs` in the first one. */
  async function fill(name: string, docs: readonly object[]): Promise<readonly string[]> {
    const names = [`${name}-a`, `${name}-b`];
    for (const database of names) {
      await bench.ask('PUT', `/${database}`);
      await bench.ask('PUT', `/${database}/good`, { good: true });
    }
    const { body } = await bench.ask('POST', `/${name}-a/_bulk_docs`, { docs, new_edits: false });
    assert.equal(JSON.stringify(body), '[]');
    return names;
  }

  const leaf = (rev: string, characters: number, id = 'bad') => ({
    _id: id,
    _rev: rev,
    text: rev.repeat(characters / rev.length),
  });

  /** Backs up through a client that `fail` may let fail. */
  async function run(
    databases: readonly string[],
    fail: (request: TransferRequest) => Error | undefined = () => undefined,
  ): Promise<readonly DatabaseOutcome[]> {
    const guarded = <T>(request: TransferRequest, work: () => Promise<T>): Promise<T> => {
      const failure = fail(request);
      return failure === undefined ? work() : Promise.reject(failure);
    };
    const couch: CouchTransfer = {
      ask: (request, maxBytes = Infinity) => {
        const limit = maxBytes <= 32 * 1024 * 1024 ? LIMIT : Math.min(maxBytes, LARGEST);
        return guarded(request, () => bench.couch.ask(request, limit));
      },
      read: (request) => guarded(request, () => bench.couch.read(request)),
      close: () => Promise.resolve(),
    };
    const { repository } = bench;
    const lock = await takeLock(repository, 'test');
    try {
      const context = { repository, lock, couch, onEvent: () => undefined };
      return (await backupDatabases(context, databases)).databases;
    } finally {
      await lock.release();
    }
  }

  function snapshotIn(outcome: DatabaseOutcome | undefined): Snapshot {
    assert.ok(outcome !== undefined && 'snapshot' in outcome, JSON.stringify(outcome));
    return outcome.snapshot;
  }

  it('reads leaves that are too large together one by one', async () => {
    const revs = Array.from({ length: 12 }, (_, n) => `1-${String(n).padStart(4, '0')}`);
    const names = await fill('large', [...revs.map((rev) => leaf(rev, 6000)), leaf('1-x', 12_000, 'large')]);
    const [first, second] = await run(names);
    const snapshot = snapshotIn(first);
    assert.deepEqual(snapshot.problems, []);
    assert.equal(snapshot.counts.leaves, 14);
    snapshotIn(second);
    assert.deepEqual((await bench.restore(snapshot, 'large-back')).problems, []);
    assert.deepEqual((await bench.check(snapshot, 'large-back')).differences, []);
    // What did not change is not stored again.
    const { body } = await bench.ask('GET', '/large-a/bad');
    await bench.ask('PUT', '/large-a/bad', { ...(body as object), text: 'short' });
    const next = snapshotIn((await run(names.slice(0, 1)))[0]);
    assert.deepEqual([next.problems, next.counts.leaves], [[], 14]);
    assert.equal((next.added_bytes ?? 0) > 0, true);
    assert.deepEqual((await bench.restore(next, 'large-again')).problems, []);
    assert.deepEqual((await bench.check(next, 'large-again')).differences, []);
  });

  it('names a document whose revision is too large', async () => {
    const names = await fill('huge', [leaf('1-x', 40_000)]);
    const [first, second] = await run(names);
    const { problems, counts } = snapshotIn(first);
    assert.deepEqual([problems.map(({ id }) => id), counts.documents], [['bad'], 1]);
    assert.equal(snapshotIn(second).counts.documents, 1);
  });

  const asksFor = ({ body }: Pick<TransferRequest, 'body'>): boolean =>
    typeof body === 'string' && body.includes('"bad"');

  it('names a document at which reading fails unexpectedly', async () => {
    const names = await fill('unexpected', [leaf('1-x', 10)]);
    const tooLong = Object.assign(new Error('Cannot create a string'), { code: 'ERR_STRING_TOO_LONG' });
    const [first, second] = await run(names, (request) => (asksFor(request) ? tooLong : undefined));
    const { problems, counts } = snapshotIn(first);
    assert.deepEqual([problems.map(({ id }) => id), counts.documents], [['bad'], 1]);
    assert.equal(snapshotIn(second).counts.documents, 1);
    // The next run reads it: it is in no change of the feed any more.
    assert.deepEqual(snapshotIn((await run(names))[0]).problems, []);
  });

  /** Backs up through a node that destroys the connection, or answers 500, if `fails` says so. */
  async function runThrough(
    database: string,
    how: 500 | 'broken off',
    fails: (request: Received) => boolean,
  ): Promise<DatabaseOutcome | undefined> {
    const node = await startScriptedNode((request, res) => {
      if (fails(request)) {
        if (how === 500) {
          answerJson(res, 500, { error: 'badmatch', reason: 'text of a document' });
          return;
        }
        res.writeHead(200, { 'content-length': 1000 }).write('{"results":[');
        return void setImmediate(() => res.destroy());
      }
      const { method, url: path, body } = request;
      const sent = { method: method as 'GET' | 'POST', path, ...(body === '' ? {} : { body }) };
      void bench.couch.ask({ ...sent, repeatable: true }).then(({ status, bytes }) => {
        res.writeHead(status, { 'content-type': 'application/json' }).end(bytes);
      });
    });
    const couch = transferTo({ ...bench.backend, urls: [node.url] }, 50);
    const { repository } = bench;
    const lock = await takeLock(repository, 'test');
    const context = { repository, lock, couch, onEvent: () => undefined, patience: new Patience(0) };
    try {
      return (await backupDatabases(context, [database])).databases[0];
    } finally {
      await lock.release();
      await couch.close();
      await node.close();
    }
  }

  for (const how of [500, 'broken off'] as const)
    it(`names a document at which CouchDB fails – POST /db/_bulk_get – ${how}`, async () => {
      const plain = Array.from({ length: 9 }, (_, n) => leaf('1-x', 10, `plain-${n}`));
      const [database = ''] = await fill(`failing-${how === 500 ? how : 'early'}`, [
        ...plain,
        leaf('1-x', 10),
      ]);
      const { problems, counts } = snapshotIn(await runThrough(database, how, asksFor));
      assert.deepEqual([problems.map(({ id }) => id), counts.documents], [['bad'], 10]);
      assert.match(problems[0]?.reason ?? '', /^CouchDB fails at it \(POST to .* failed/);
      assert.doesNotMatch(problems[0]?.reason ?? '', /text of a document/);
      assert.deepEqual(snapshotIn((await run([database]))[0]).problems, []);
    });

  it('blames no document if CouchDB answers no read of documents', async () => {
    const [database = ''] = await fill('away', []);
    const outcome = await runThrough(database, 500, ({ url }) => url.includes('_bulk_get'));
    assert.match(JSON.stringify(outcome), /"failure":"CouchDB cannot be reached at present/);
  });

  it('goes on with the next database after a fault of one', async () => {
    const names = await fill('fault', []);
    const [first, second] = await run(names, ({ path }) =>
      path.startsWith('/fault-a/_changes') ? new Error('a fault with text of a document') : undefined,
    );
    assert.match(JSON.stringify(first), /"failure":"Something failed unexpectedly \(Error\)\."/);
    assert.equal(snapshotIn(second).counts.documents, 1);
  });

  it('reads an attachment only once if its answer is not valid HTTP', async () => {
    const content = { content_type: 'application/x', data: 'eA==' };
    const names = await fill('invalid', [{ _id: 'bad', _rev: '1-x', _attachments: { a: content } }]);
    let reads = 0;
    const [first] = await run(names.slice(0, 1), ({ path, body }) => {
      if (path.includes('attachments=true')) return new InvalidAnswer('not HTTP');
      if (body !== undefined || !path.includes('/bad/a')) return undefined;
      reads += 1;
      return new InvalidAnswer('not HTTP');
    });
    const { problems } = snapshotIn(first);
    assert.deepEqual(
      problems.map(({ id }) => id),
      ['bad'],
    );
    assert.equal(reads, 1);
  });

  const isReal = process.env['COUCHDB_HOME'] !== undefined;

  it(
    'reads attachments that a path or an answer cannot have',
    { skip: !isReal && 'needs CouchDB' },
    async () => {
      const file = (type: string, text = 'x') => ({
        content_type: type,
        data: Buffer.from(text).toString('base64'),
        revpos: 1,
      });
      const one = (id: string, name: string, type = 'application/x', rev = '1-x') => ({
        _id: id,
        _rev: rev,
        _attachments: { [name]: file(type) },
      });
      const z = 'z'.repeat(20_000);
      const docs = [
        one('no-name', ''),
        one(z, 'a'),
        { ...one(`${z}-text`, 'a'), _attachments: { a: file('text/plain', 'text '.repeat(30_000)) } },
        one('long-revision', 'a', 'text/plain', `1-${z}`),
        one('long-name', 'é'.repeat(2000)),
        one('long-type', 'a', z.repeat(15)),
        one('split', 'a', 'text/plain\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n'),
      ];
      const names = await fill('odd', docs);
      const { repository, couch } = bench;
      const lock = await takeLock(repository, 'test');
      const outcome = await backupDatabases({ repository, lock, couch, onEvent: () => undefined }, names);
      await lock.release();
      const snapshot = snapshotIn(outcome.databases[0]);
      assert.deepEqual(snapshot.problems, []);
      assert.deepEqual((await bench.restore(snapshot, 'odd-back')).problems, []);
      assert.deepEqual((await bench.check(snapshot, 'odd-back')).differences, []);
    },
  );
});
