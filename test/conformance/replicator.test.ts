// CouchDB's own replicator, with Couchgate as source and as target, and the guarded endpoints that start it (H9).
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { withoutCouchdb } from '../support/cluster.ts';
import { freePort } from '../support/free-port.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { until } from '../support/until.ts';

interface Job {
  readonly state: string | null;
  readonly info: {
    readonly doc_write_failures?: number;
    readonly docs_written?: number;
    readonly error?: string;
  } | null;
}

const DOCUMENTS = 30;

describe("CouchDB's replicator", { skip: withoutCouchdb }, () => {
  let couchgate: Couchgate;
  let url: string;
  let lastJob = 0;

  before(async () => {
    // Couchgate must know its own address before it starts: it is what local names become.
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    couchgate = await startCouchgate({ settings: { listen: `127.0.0.1:${port}`, publicUrl: url } });
    await couchgate.database('source');
    const as = couchgate.owner;
    const docs: object[] = Array.from({ length: DOCUMENTS - 2 }, (_, n) => ({ _id: `doc-${n}`, n }));
    const data = Buffer.alloc(100_000, 'attachment ').toString('base64');
    // CouchDB packs text, and pushes a large attachment as it is stored.
    const large = Buffer.from(randomBytes(150_000).toString('hex')).toString('base64');
    docs.push({
      _id: 'with attachment',
      _attachments: {
        'a b.txt': { content_type: 'text/plain', data },
        large: { content_type: 'text/plain', data: large },
      },
    });
    docs.push({ _id: '_design/views', views: { all: { map: 'function (doc) { emit(doc._id); }' } } });
    await couchgate.ask('POST', '/source/_bulk_docs', { as, body: { docs } });
  });
  after(() => couchgate.close());

  async function keyWith(database: string, roles: readonly string[]): Promise<Credentials> {
    const key = await couchgate.key();
    const { body } = await couchgate.ask('GET', `/${database}/_security`, { as: couchgate.owner });
    const { cloudant = {} } = body as { readonly cloudant?: Readonly<Record<string, readonly string[]>> };
    await couchgate.grant(database, { ...cloudant, [key.name]: roles });
    return key;
  }

  const endpoint = (database: string, { name, password }: Credentials) => ({
    url: `${url}/${database}`,
    auth: { basic: { username: name, password } },
  });

  /** Writes a job as the owner and waits until CouchDB has an opinion of it. */
  async function replicate(
    source: Credentials,
    target: Credentials,
    database: string,
    from = 'source',
  ): Promise<Job> {
    const id = `job-${(lastJob += 1)}`;
    const body = { source: endpoint(from, source), target: endpoint(database, target) };
    const put = await couchgate.ask('PUT', `/_replicator/${id}`, { as: couchgate.owner, body });
    assert.equal(put.status, 201, JSON.stringify(put.body));
    let job: Job = { state: null, info: null };
    await until(async () => {
      const { body: found } = await couchgate.ask('GET', `/_scheduler/docs/_replicator/${id}`, {
        as: couchgate.owner,
      });
      job = found as Job;
      return ['completed', 'failed', 'crashing'].includes(String(job.state));
    }, 'the replication job ends');
    return job;
  }

  async function contentOf(database: string): Promise<string> {
    const path = `/${database}/_all_docs?include_docs=true&attachments=true`;
    const { body } = await couchgate.ask('GET', path, { as: couchgate.owner });
    return JSON.stringify((body as { readonly rows: unknown }).rows);
  }

  for (const [sourceRoles, targetRoles] of [
    [['_replicator'], ['_replicator', '_writer', '_design']],
    [
      ['_reader', '_writer'],
      ['_reader', '_writer', '_design'],
    ],
  ] as const) {
    it(`copies everything – source ${sourceRoles.join(' ')}, target ${targetRoles.join(' ')}`, async () => {
      const database = `copy${sourceRoles[0]}`;
      await couchgate.database(database);
      const job = await replicate(
        await keyWith('source', sourceRoles),
        await keyWith(database, targetRoles),
        database,
      );
      assert.deepEqual([job.state, job.info?.doc_write_failures], ['completed', 0], JSON.stringify(job));
      assert.equal(await contentOf(database), await contentOf('source'));
    });
  }

  it('copies ids that other programs take for steps in a path – ., .., NUL, slashes', async () => {
    const ids = ['.', '..', '../x', 'a\0b', '\0', '/', '//', '#', '?', '%', '%2e', ' ', '+', '_design/..'];
    await couchgate.database('odd');
    const text = { content_type: 'text/plain', data: Buffer.alloc(100_000, 'x').toString('base64') };
    const docs = ids.map((_id) => ({ _id, _attachments: { '..': text, 'a/./b': text, 'n\0': text } }));
    const as = couchgate.owner;
    const written = await couchgate.ask('POST', '/odd/_bulk_docs', { as, body: { docs } });
    assert.equal(written.status, 201);
    await couchgate.database('odd-copy');
    const roles = ['_reader', '_writer', '_design'];
    const [source, target] = [await keyWith('odd', roles), await keyWith('odd-copy', roles)];
    const job = await replicate(source, target, 'odd-copy', 'odd');
    assert.deepEqual([job.state, job.info?.doc_write_failures], ['completed', 0], JSON.stringify(job));
    assert.equal(await contentOf('odd-copy'), await contentOf('odd'));
  });

  it('copies all but design documents into a target without _design, and counts them', async () => {
    await couchgate.database('plain');
    const job = await replicate(
      await keyWith('source', ['_replicator']),
      await keyWith('plain', ['_replicator', '_writer']),
      'plain',
    );
    assert.deepEqual(
      [job.state, job.info?.doc_write_failures, job.info?.docs_written],
      ['completed', 1, DOCUMENTS - 1],
    );
    assert.equal((await couchgate.ask('GET', '/plain/_design/views', { as: couchgate.owner })).status, 404);
  });

  it('fails with a source key that may not keep its checkpoints – _reader alone', async () => {
    await couchgate.database('never');
    const job = await replicate(
      await keyWith('source', ['_reader']),
      await keyWith('never', ['_replicator', '_writer']),
      'never',
    );
    assert.notEqual(job.state, 'completed');
  });

  it('is closed to keys by default – POST /_replicate, PUT /_replicator/job – 403, CouchDB is not called', async () => {
    const key = await keyWith('source', ['_admin']);
    couchgate.recorder.take();
    const body = { source: endpoint('source', key), target: endpoint('source', key) };
    assert.equal((await couchgate.ask('POST', '/_replicate', { as: key, body })).status, 403);
    assert.equal((await couchgate.ask('PUT', '/_replicator/job', { as: key, body })).status, 403);
    assert.deepEqual(couchgate.recorder.take(), []);
  });

  it("copies between local databases with the caller's own rights, once granted – POST /_replicate", async () => {
    await couchgate.database('mine');
    const key = await keyWith('source', ['_replicator']);
    await couchgate.grant('mine', { [key.name]: ['_replicator', '_writer', '_design'] });
    await couchgate.grant('_replicator', { [key.name]: ['_replicator'] });
    const copied = await couchgate.ask('POST', '/_replicate', {
      as: key,
      body: { source: 'source', target: 'mine' },
    });
    assert.equal(copied.status, 200, JSON.stringify(copied.body));
    assert.equal(await contentOf('mine'), await contentOf('source'));

    await couchgate.database('others');
    const refused = await couchgate.ask('POST', '/_replicate', {
      as: key,
      body: { source: 'source', target: 'others' },
    });
    assert.notEqual(refused.status, 200);
    assert.equal(await contentOf('others'), '[]');
  });

  it("starts, lists and cancels a caller's own continuous replication – POST /_replicate", async () => {
    await couchgate.database('live');
    const key = await keyWith('source', ['_replicator']);
    await couchgate.grant('live', { [key.name]: ['_replicator', '_writer', '_design'] });
    await couchgate.grant('_replicator', { [key.name]: ['_replicator'] });
    const body = { source: 'source', target: 'live', continuous: true };
    const started = await couchgate.ask('POST', '/_replicate', { as: key, body });
    assert.equal(started.status, 202, JSON.stringify(started.body));
    await until(
      async () => (await contentOf('live')) === (await contentOf('source')),
      'everything is copied',
    );
    const cancelled = await couchgate.ask('POST', '/_replicate', {
      as: key,
      body: { ...body, cancel: true },
    });
    assert.equal(cancelled.status, 200, JSON.stringify(cancelled.body));
  });

  it("keeps a job its writer's own – PUT, DELETE /_replicator/job – 403", async () => {
    const [one, two] = [await couchgate.key(), await couchgate.key()];
    await couchgate.grant('_replicator', {
      [one.name]: ['_replicator', '_writer'],
      [two.name]: ['_replicator', '_writer'],
    });
    const body = { source: endpoint('source', one), target: endpoint('nowhere', one) };
    const put = await couchgate.ask('PUT', '/_replicator/own', { as: one, body });
    assert.equal(put.status, 201, JSON.stringify(put.body));
    const { rev } = put.body as { readonly rev: string };
    const read = await couchgate.ask('GET', '/_replicator/own', { as: two });
    assert.ok(!JSON.stringify(read.body).includes(one.password), 'credentials are shown to another');
    for (const [method, path] of [
      ['PUT', '/_replicator/own'],
      ['DELETE', `/_replicator/own?rev=${rev}`],
    ] as const) {
      const sent = { as: two, ...(method === 'PUT' ? { body: { ...body, _rev: rev } } : {}) };
      assert.equal((await couchgate.ask(method, path, sent)).status, 403);
    }
    await until(async () => {
      const { body: now } = await couchgate.ask('GET', '/_replicator/own', { as: one });
      const path = `/_replicator/own?rev=${(now as { readonly _rev: string })._rev}`;
      return (await couchgate.ask('DELETE', path, { as: one })).status === 200;
    }, 'its writer can delete it');
  });
});
