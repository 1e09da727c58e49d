// Tests documents, attachments, users, unsupported features and replication of the embedded node.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { AS_OWNER, basic, Client } from './client.ts';

const MEGABYTE = 1024 * 1024;
const JSON_TYPE = { ...AS_OWNER, 'content-type': 'application/json' };

describe('embedded node: documents', () => {
  let client: Client;
  before(async () => {
    client = await Client.start();
    await client.send('PUT', '/db');
  });
  after(() => client.node.close());

  it('writes, reads and deletes a document and refuses conflicts – /db/doc – 201, 200, 409, 200, 404', async () => {
    const first = await client.send('PUT', '/db/doc', { body: { a: 1 } });
    assert.equal(first.headers.get('location'), `${client.node.url}/db/doc`);
    assert.equal((await client.send('GET', '/db/doc')).headers.get('etag'), `"${String(first.at('rev'))}"`);
    assert.equal((await client.send('PUT', '/db/doc', { body: { a: 2 } })).status, 409);
    assert.equal((await client.send('DELETE', '/db/doc')).status, 409);
    assert.equal((await client.send('DELETE', `/db/doc?rev=${String(first.at('rev'))}`)).status, 200);
    const gone = await client.send('GET', '/db/doc');
    assert.deepEqual([gone.status, gone.at('reason')], [404, 'deleted']);
  });

  it('lists ids of every script, forwards and backwards – GET /db/_all_docs – 200', async () => {
    const ids = ['zz', 'ä', 'приказ/№ 7', '日本', '😀'];
    await client.send('PUT', '/scripts');
    await client.send('POST', '/scripts/_bulk_docs', { body: { docs: ids.map((_id) => ({ _id })) } });
    const listed = async (query: string) =>
      ((await client.send('GET', `/scripts/_all_docs${query}`)).at('rows') as { id: string }[]).map(
        ({ id }) => id,
      );
    assert.deepEqual(await listed(''), ids);
    assert.deepEqual(await listed('?descending=true'), [...ids].reverse());
    assert.deepEqual(await listed(`?startkey=${encodeURIComponent('"п"')}`), ids.slice(2));
    const body = { selector: { _id: { $gt: null } } };
    const found = (await client.send('POST', '/scripts/_find', { body })).at('docs') as { _id: string }[];
    assert.deepEqual(found.map(({ _id }) => _id).sort(), [...ids].sort());
  });

  it('echoes the request id or generates one – X-Couch-Request-ID', async () => {
    const headers = { ...AS_OWNER, 'x-couch-request-id': 'abc-123' };
    assert.equal((await client.send('GET', '/db', { headers })).headers.get('x-couch-request-id'), 'abc-123');
    assert.match((await client.send('GET', '/db')).headers.get('x-couch-request-id') ?? '', /^[0-9a-f]{10}$/);
  });

  it('decompresses a gzip body within the size limit – PUT /db/doc – 201, 413, 400, 415', async () => {
    const put = async (id: string, body: Uint8Array, encoding = 'gzip') =>
      (
        await client.send('PUT', `/db/${id}`, {
          headers: { ...JSON_TYPE, 'content-encoding': encoding },
          body,
        })
      ).status;
    assert.equal(await put('gz', gzipSync('{"z":1}')), 201);
    assert.equal(await put('bomb', gzipSync(Buffer.alloc(80 * MEGABYTE, 32))), 413);
    assert.equal(await put('broken', Buffer.from('not gzip')), 400);
    assert.equal(await put('other', Buffer.from('{}'), 'br'), 415);
  });

  it('accepts attachments of up to 32 MB – PUT /db/doc/file – 201, 413', async () => {
    const data = Buffer.alloc(32 * MEGABYTE, 7);
    const put = await client.send('PUT', '/db/large/file', { body: data });
    assert.equal(put.status, 201);
    const got = await fetch(`${client.node.url}/db/large/file`, { headers: AS_OWNER });
    assert.equal(Buffer.from(await got.arrayBuffer()).equals(data), true);
    const refused = await client.send('PUT', '/db/larger/file', { body: Buffer.alloc(32 * MEGABYTE + 1) });
    assert.equal(refused.status, 413);
    const inline = { _attachments: { file: { data: Buffer.alloc(32 * MEGABYTE + 9).toString('base64') } } };
    assert.equal((await client.send('PUT', '/db/inline', { body: inline })).status, 413);
  });

  it('sends no header from a stored content type with a line break – GET /db/doc/file – 200', async () => {
    const type = 'text/plain\r\nX-Evil: 1';
    await client.send('PUT', '/db/split', {
      body: { _attachments: { a: { content_type: type, data: 'YQ==' } } },
    });
    const answer = await client.send('GET', '/db/split/a');
    assert.deepEqual([answer.status, answer.headers.get('x-evil')], [200, null]);
    const headers = { ...AS_OWNER, accept: 'multipart/mixed' };
    const mixed = await client.send('GET', '/db/split?open_revs=all', { headers });
    assert.equal(mixed.text.includes('\nX-Evil'), false);
  });

  it('hashes a password and ends sessions when it changes – PUT /_users/org.couchdb.user:x – 201, 401', async () => {
    const id = '/_users/org.couchdb.user:jan';
    await client.send('PUT', id, { body: { name: 'jan', type: 'user', roles: ['r'], password: 'first' } });
    const stored = await client.send('GET', id);
    assert.equal(stored.at('password'), undefined);
    assert.equal(stored.at('password_scheme'), 'pbkdf2');
    const session = await client.send('GET', '/_session', { headers: basic('jan', 'first') });
    assert.deepEqual(session.at('userCtx'), { name: 'jan', roles: ['r'] });
    const login = await client.send('POST', '/_session', {
      headers: {},
      body: { name: 'jan', password: 'first' },
    });
    const cookie = { cookie: (login.headers.get('set-cookie') ?? '').split(';')[0] ?? '' };
    assert.equal((await client.send('GET', '/_session', { headers: cookie })).at('userCtx', 'name'), 'jan');
    const changed = { name: 'jan', type: 'user', roles: [], password: 'second', _rev: stored.at('_rev') };
    assert.equal((await client.send('PUT', id, { body: changed })).status, 201);
    assert.equal((await client.send('GET', '/_session', { headers: basic('jan', 'first') })).status, 401);
    assert.equal((await client.send('GET', '/_session', { headers: basic('jan', 'second') })).status, 200);
    assert.equal((await client.send('GET', '/_session', { headers: cookie })).at('userCtx', 'name'), null);
  });

  it('refuses unsupported features – _purge, _update, _search, partitions, _utils – 501 with a reason', async () => {
    await client.send('PUT', '/db/_design/d', { body: {} });
    const requests = [
      ['POST', '/db/_purge'],
      ['POST', '/db/_design/d/_update/u'],
      ['GET', '/db/_design/d/_search/s'],
      ['PUT', '/parted?partitioned=true'],
      ['GET', '/_utils/'],
    ] as const;
    for (const [method, path] of requests) {
      const answer = await client.send(method, path);
      assert.deepEqual([answer.status, answer.at('error')], [501, 'not_implemented'], path);
      assert.match(String(answer.at('reason')), /embedded node/);
    }
  });

  it('copies leaf revisions, deletions and attachments – POST /_replicate – 200', async () => {
    await client.send('PUT', '/source');
    const leaf = (rev: string) => ({
      _id: 'c',
      _rev: `2-${rev}`,
      _revisions: { start: 2, ids: [rev, 'aa'] },
    });
    await client.send('POST', '/source/_bulk_docs', {
      body: { new_edits: false, docs: [leaf('bb'), leaf('cc')] },
    });
    await client.send('PUT', '/source/a/file', { body: Buffer.alloc(100_000, 3) });
    const doc = await client.send('PUT', '/source/d', { body: {} });
    await client.send('DELETE', `/source/d?rev=${String(doc.at('rev'))}`);
    const body = { source: 'source', target: 'target', create_target: true };
    const answer = await client.send('POST', '/_replicate', { body });
    assert.deepEqual([answer.status, answer.at('history', 0, 'doc_write_failures')], [200, 0], answer.text);
    const leaves = async (name: string) => {
      const rows = (await client.send('GET', `/${name}/_changes?style=all_docs`)).at('results') as {
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
    assert.equal(Buffer.from(await file.arrayBuffer()).equals(Buffer.alloc(100_000, 3)), true);
    assert.equal((await client.send('POST', '/_replicate', { body })).at('no_changes'), true);
  });
});
