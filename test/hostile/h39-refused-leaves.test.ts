// H39.4: a document of a writer cannot be written into the target, or its revision makes the answer invalid. The
// restore names it, and writes all others.
import assert from 'node:assert/strict';
import { type ServerResponse } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { restoreDatabase, type RestoreOutcome } from '../../src/backup/restore-database.ts';
import { type Snapshot } from '../../src/backup/snapshot.ts';
import { startBackupBench, transferTo, type BackupBench } from '../support/backup.ts';
import { answerJson, startScriptedNode, type Received } from '../support/scripted-node.ts';

/** Too large for a request with others. */
const FILE = Buffer.from('x'.repeat(70_000)).toString('base64');
const isReal = process.env['COUCHDB_HOME'] !== undefined;

describe('H39.4 documents that a restore cannot write', () => {
  let bench: BackupBench;
  let snapshot: Snapshot;
  let restores = 0;

  before(async () => {
    bench = await startBackupBench();
    await bench.ask('PUT', '/source');
    const _attachments = { a: { content_type: 'application/x', data: FILE } };
    const docs = [
      ...Array.from({ length: 9 }, (_, n) => ({ _id: `plain-${n}`, n })),
      { _id: 'odd' },
      { _id: 'odd-file', _attachments },
      { _id: 'file', _attachments },
      { _id: '_design/app', views: {} },
    ];
    await bench.ask('POST', '/source/_bulk_docs', { docs });
    snapshot = await bench.backup('source');
    assert.deepEqual([snapshot.problems, snapshot.counts.leaves], [[], 13]);
  });
  after(() => bench.close());

  /** Restores through a node that passes requests on, but those that `answer` answers. */
  async function restore(
    answer: (request: Received, res: ServerResponse, pass: () => Promise<unknown>) => boolean,
  ): Promise<RestoreOutcome> {
    const node = await startScriptedNode((request, res) => {
      const { method, url: path, body, headers } = request;
      const contentLength = Buffer.byteLength(body);
      const sent = {
        ...{ method: method as 'GET' | 'PUT', path, repeatable: true, contentLength },
        ...(body === '' ? {} : { body: () => [Buffer.from(body)] as unknown as AsyncIterable<Buffer> }),
        ...(headers['content-type'] === undefined ? {} : { contentType: headers['content-type'] }),
      };
      const pass = () => bench.couch.ask(sent);
      if (answer(request, res, pass)) return;
      void pass().then(({ status, bytes }) => {
        res.writeHead(status, { 'content-type': 'application/json' }).end(bytes);
      });
    });
    const couch = transferTo({ ...bench.backend, urls: [node.url] }, 50);
    try {
      const context = { repository: bench.repository, couch, onEvent: () => undefined };
      return await restoreDatabase(context, snapshot, `target-${(restores += 1)}`);
    } finally {
      await couch.close();
      await node.close();
    }
  }

  /** As CouchDB answers a document whose revision is `1-a\r\nb`. */
  const splitAnswer = (res: ServerResponse): void =>
    void res.socket?.end('HTTP/1.1 201 Created\r\nETag: "1-a\r\nb"\r\nContent-Length: 0\r\n\r\n');

  const leavesIn = async (): Promise<number> => {
    const { body } = await bench.ask('GET', `/target-${restores}`);
    return (body as { readonly doc_count: number }).doc_count;
  };

  it('takes a leaf for written that is there after an answer that is not valid HTTP – PUT /db/doc', async () => {
    const { problems } = await restore(({ method, url }, res, pass) => {
      const isOdd = method === 'PUT' && url.includes('/odd-file?');
      if (isOdd) void pass().then(() => splitAnswer(res));
      return isOdd;
    });
    assert.deepEqual(problems, []);
    assert.deepEqual((await bench.check(snapshot, `target-${restores}`)).differences, []);
  });

  it('names a leaf that is not there after such an answer, and goes on', async () => {
    const { problems } = await restore(({ method, url }, res) => {
      const isOdd = method === 'PUT' && url.includes('/odd-file?');
      if (isOdd) splitAnswer(res);
      return isOdd;
    });
    assert.deepEqual(problems, [
      { id: 'odd-file', reason: 'CouchDB sent an answer that is not valid HTTP.' },
    ]);
    assert.equal(await leavesIn(), 12);
  });

  for (const how of ['500', 'broken off', 'no JSON'] as const)
    it(`names the documents at which CouchDB fails, and goes on – ${how}`, async () => {
      const { problems } = await restore(({ method, url, body }, res) => {
        const isOdd =
          method === 'PUT' ? url.includes('/odd-file?') : /_bulk_docs/.test(url) && /"odd"/.test(body);
        if (isOdd && how === '500') answerJson(res, 500, { error: 'badmatch', reason: 'text of a document' });
        else if (isOdd && how === 'broken off') res.destroy();
        else if (isOdd) res.writeHead(method === 'PUT' ? 400 : 201).end('<html>');
        return isOdd;
      });
      assert.deepEqual(problems.map(({ id }) => id).sort(), ['odd', 'odd-file']);
      assert.doesNotMatch(JSON.stringify(problems), /text of a document/);
      assert.equal(await leavesIn(), 11);
    });

  it('blames no document if CouchDB writes nothing', async () => {
    const cut = restore(({ method, url }, res) => {
      const isWrite = /_bulk_docs/.test(url) || (method === 'PUT' && /target-\d+\/_revs_limit/.test(url));
      const isRefused = isWrite && hasBegun;
      hasBegun ||= /_purged_infos_limit/.test(url);
      if (isRefused) answerJson(res, 500, { error: 'disk', reason: 'full' });
      return isRefused;
    });
    let hasBegun = false;
    await assert.rejects(cut, /CouchDB (?:cannot be reached at present|did not answer)/);
  });

  it('restores a revision with a line end', { skip: !isReal && 'needs CouchDB' }, async () => {
    const a = { content_type: 'text/plain', data: Buffer.from('x'.repeat(3000)).toString('base64') };
    await bench.ask('PUT', '/lines');
    const docs = [
      { _id: 'odd', _rev: '1-a\r\nb', _attachments: { a } },
      { _id: '_design/app', _rev: '1-a' },
    ];
    await bench.ask('POST', '/lines/_bulk_docs', { docs, new_edits: false });
    const lines = await bench.backup('lines');
    assert.deepEqual((await bench.restore(lines, 'lines-back')).problems, []);
    assert.deepEqual((await bench.check(lines, 'lines-back')).differences, []);
  });
});
