import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { AS_OWNER, basic, Client } from './client.ts';

const MEGABYTE = 1024 * 1024;
const JSON_TYPE = { ...AS_OWNER, 'content-type': 'application/json' };

describe('the embedded node: documents', () => {
  let client: Client;
  before(async () => {
    client = await Client.start();
    await client.ask('PUT', '/db');
  });
  after(() => client.node.close());

  it('writes, reads, refuses a conflict, deletes – /db/doc – 201, 200, 409, 200, 404', async () => {
    const first = await client.ask('PUT', '/db/doc', { body: { a: 1 } });
    assert.equal(first.headers.get('location'), `${client.node.url}/db/doc`);
    assert.equal((await client.ask('GET', '/db/doc')).headers.get('etag'), `"${String(first.at('rev'))}"`);
    assert.equal((await client.ask('PUT', '/db/doc', { body: { a: 2 } })).status, 409);
    assert.equal((await client.ask('DELETE', '/db/doc')).status, 409);
    assert.equal((await client.ask('DELETE', `/db/doc?rev=${String(first.at('rev'))}`)).status, 200);
    const gone = await client.ask('GET', '/db/doc');
    assert.deepEqual([gone.status, gone.at('reason')], [404, 'deleted']);
  });

  it('echoes the request id and makes one – X-Couch-Request-ID', async () => {
    const headers = { ...AS_OWNER, 'x-couch-request-id': 'abc-123' };
    assert.equal((await client.ask('GET', '/db', { headers })).headers.get('x-couch-request-id'), 'abc-123');
    assert.match((await client.ask('GET', '/db')).headers.get('x-couch-request-id') ?? '', /^[0-9a-f]{10}$/);
  });

  it('gunzips a body, within bounds – PUT /db/doc – 201, 413, 400, 415', async () => {
    const put = async (id: string, body: Uint8Array, encoding = 'gzip') =>
      (
        await client.ask('PUT', `/db/${id}`, {
          headers: { ...JSON_TYPE, 'content-encoding': encoding },
          body,
        })
      ).status;
    assert.equal(await put('gz', gzipSync('{"z":1}')), 201);
    assert.equal(await put('bomb', gzipSync(Buffer.alloc(80 * MEGABYTE, 32))), 413);
    assert.equal(await put('broken', Buffer.from('no gzip')), 400);
    assert.equal(await put('other', Buffer.from('{}'), 'br'), 415);
  });

  it('takes attachments of 32 MB and no more – PUT /db/doc/file – 201, 413', async () => {
    const data = Buffer.alloc(32 * MEGABYTE, 7);
    const put = await client.ask('PUT', '/db/large/file', { body: data });
    assert.equal(put.status, 201);
    const got = await fetch(`${client.node.url}/db/large/file`, { headers: AS_OWNER });
    assert.ok(Buffer.from(await got.arrayBuffer()).equals(data));
    const refused = await client.ask('PUT', '/db/larger/file', { body: Buffer.alloc(32 * MEGABYTE + 1) });
    assert.equal(refused.status, 413);
    const inline = { _attachments: { file: { data: Buffer.alloc(32 * MEGABYTE + 9).toString('base64') } } };
    assert.equal((await client.ask('PUT', '/db/inline', { body: inline })).status, 413);
  });

  it('never splits a response by a stored content type – GET /db/doc/file – one head', async () => {
    const type = 'text/plain\r\nX-Evil: 1';
    await client.ask('PUT', '/db/split', {
      body: { _attachments: { a: { content_type: type, data: 'YQ==' } } },
    });
    const answer = await client.ask('GET', '/db/split/a');
    assert.deepEqual([answer.status, answer.headers.get('x-evil')], [200, null]);
    const headers = { ...AS_OWNER, accept: 'multipart/mixed' };
    const mixed = await client.ask('GET', '/db/split?open_revs=all', { headers });
    assert.ok(!mixed.text.includes('\nX-Evil'));
  });

  it('hashes passwords – PUT /_users/org.couchdb.user:x – the password is gone, Basic and cookie work, then end', async () => {
    const id = '/_users/org.couchdb.user:jan';
    await client.ask('PUT', id, { body: { name: 'jan', type: 'user', roles: ['r'], password: 'first' } });
    const stored = await client.ask('GET', id);
    assert.equal(stored.at('password'), undefined);
    assert.equal(stored.at('password_scheme'), 'pbkdf2');
    const session = await client.ask('GET', '/_session', { headers: basic('jan', 'first') });
    assert.deepEqual(session.at('userCtx'), { name: 'jan', roles: ['r'] });
    const login = await client.ask('POST', '/_session', {
      headers: {},
      body: { name: 'jan', password: 'first' },
    });
    const cookie = { cookie: (login.headers.get('set-cookie') ?? '').split(';')[0] ?? '' };
    assert.equal((await client.ask('GET', '/_session', { headers: cookie })).at('userCtx', 'name'), 'jan');
    const changed = { name: 'jan', type: 'user', roles: [], password: 'second', _rev: stored.at('_rev') };
    assert.equal((await client.ask('PUT', id, { body: changed })).status, 201);
    assert.equal((await client.ask('GET', '/_session', { headers: basic('jan', 'first') })).status, 401);
    assert.equal((await client.ask('GET', '/_session', { headers: basic('jan', 'second') })).status, 200);
    assert.equal((await client.ask('GET', '/_session', { headers: cookie })).at('userCtx', 'name'), null);
  });

  it('says what it does not do – _purge, _update, _search, partitions – 501 with the reason', async () => {
    await client.ask('PUT', '/db/_design/d', { body: {} });
    const asked = [
      ['POST', '/db/_purge'],
      ['POST', '/db/_design/d/_update/u'],
      ['GET', '/db/_design/d/_search/s'],
      ['PUT', '/parted?partitioned=true'],
      ['GET', '/_utils/'],
    ] as const;
    for (const [method, path] of asked) {
      const answer = await client.ask(method, path);
      assert.deepEqual([answer.status, answer.at('error')], [501, 'not_implemented'], path);
      assert.match(String(answer.at('reason')), /embedded node/);
    }
  });

  it('replicates – POST /_replicate – leaves, deletions and attachments are equal', async () => {
    await client.ask('PUT', '/source');
    const leaf = (rev: string) => ({
      _id: 'c',
      _rev: `2-${rev}`,
      _revisions: { start: 2, ids: [rev, 'aa'] },
    });
    await client.ask('POST', '/source/_bulk_docs', {
      body: { new_edits: false, docs: [leaf('bb'), leaf('cc')] },
    });
    await client.ask('PUT', '/source/a/file', { body: Buffer.alloc(100_000, 3) });
    const doc = await client.ask('PUT', '/source/d', { body: {} });
    await client.ask('DELETE', `/source/d?rev=${String(doc.at('rev'))}`);
    const body = { source: 'source', target: 'target', create_target: true };
    const done = await client.ask('POST', '/_replicate', { body });
    assert.deepEqual([done.status, done.at('history', 0, 'doc_write_failures')], [200, 0], done.text);
    const leaves = async (name: string) => {
      const rows = (await client.ask('GET', `/${name}/_changes?style=all_docs`)).at('results') as {
        id: string;
        changes: object[];
        deleted?: boolean;
      }[];
      return rows
        .map(({ id, changes, deleted }) => ({ id, changes, deleted }))
        .sort((a, b) => (a.id < b.id ? -1 : 1));
    };
    assert.deepEqual(await leaves('target'), await leaves('source'));
    const file = await fetch(`${client.node.url}/target/a/file`, { headers: AS_OWNER });
    assert.ok(Buffer.from(await file.arrayBuffer()).equals(Buffer.alloc(100_000, 3)));
    assert.equal((await client.ask('POST', '/_replicate', { body })).at('no_changes'), true);
  });
});
