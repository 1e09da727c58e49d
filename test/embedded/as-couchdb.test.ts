// Small answers in which the embedded node must not differ from CouchDB. With COUCHDB_HOME, CouchDB itself gets the
// same requests.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startEmbeddedNode } from '../../src/embedded/index.ts';
import { startBackend } from '../support/backend.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { basic, startCouchgate, type Couchgate } from '../support/couchgate.ts';

interface Server {
  readonly url: string;
  readonly owner: { readonly name: string; readonly password: string };
  close(): Promise<void>;
}

async function startEmbedded(): Promise<Server> {
  const owner = { name: 'admin', password: 'as-couchdb' };
  const node = await startEmbeddedNode({ folder: undefined, owner, jwtKeys: {} });
  return { url: node.url, owner, close: () => node.close() };
}

async function startReal(): Promise<Server> {
  const backend = await startBackend();
  return { url: backend.urls[0] ?? '', owner: backend.owner, close: () => backend.close() };
}

const DB = '/as-couchdb';
const JSON_TYPE = 'application/json';

for (const [name, start, skip] of [
  ['embedded node', startEmbedded, false],
  ['CouchDB', startReal, withoutCouchdb],
] as const)
  describe(`the ${name}`, { skip, timeout: 120_000 }, () => {
    let server: Server;
    let revision = '';
    let digest = '';

    async function send(method: string, path: string, type?: string, body?: string, headers = {}) {
      const answer = await fetch(server.url + path, {
        method,
        headers: {
          authorization: basic(server.owner),
          ...(type === undefined ? {} : { 'content-type': type }),
          ...headers,
        },
        // Bytes, so that fetch adds no Content-Type.
        ...(body === undefined ? {} : { body: Buffer.from(body) }),
      });
      const text = await answer.text();
      const isJson = answer.headers.get('content-type') === JSON_TYPE && text !== '';
      return {
        status: answer.status,
        etag: answer.headers.get('etag') ?? '',
        body: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
      };
    }

    before(async () => {
      server = await start();
      await send('PUT', DB);
      const first = await send('PUT', `${DB}/doc`, JSON_TYPE, '{"a":1}');
      await send('PUT', `${DB}/doc/att?rev=${String(first.body['rev'])}`, 'text/plain', 'abc');
      ({ etag: revision } = await send('GET', `${DB}/doc`));
      ({ etag: digest } = await send('GET', `${DB}/doc/att`));
      await send('POST', `${DB}/_index`, JSON_TYPE, '{"index":{"fields":["b"]},"ddoc":"ix","name":"nx"}');
    });
    after(() => server.close());

    const LISTS: readonly (readonly [list: string, status: number])[] = [
      ['TAG', 304],
      ['W/TAG', 304],
      ['"x", TAG', 304],
      ['"x",W/TAG', 304],
      ['TAG, "x"', 304],
      ['*', 200],
      ['"x"', 200],
    ];
    for (const [list, status] of LISTS)
      it(`compares tags weakly and in lists – If-None-Match: ${list} – ${status}`, async () => {
        for (const [path, tag] of [
          [`${DB}/doc`, revision],
          [`${DB}/doc/att`, digest],
        ] as const) {
          const header = { 'if-none-match': list.replace('TAG', tag) };
          assert.equal((await send('GET', path, undefined, undefined, header)).status, status, path);
        }
      });

    it('separates parameters by `;` too – GET /db/_all_docs – 200', async () => {
      const { body } = await send('GET', `${DB}/_all_docs?limit=1;include_docs=true&keys=["doc"]`);
      const [row] = body['rows'] as readonly { readonly doc?: unknown }[];
      assert.ok(row?.doc !== undefined, 'row?.doc is missing');
      const { body: ids } = await send('GET', '/_uuids?x;count=3');
      assert.equal((ids['uuids'] as readonly string[]).length, 3);
    });

    const find = (use_index: unknown) =>
      send('POST', `${DB}/_find`, JSON_TYPE, JSON.stringify({ selector: { a: 1 }, use_index }));
    const INDEXES: readonly (readonly [index: unknown, used: string])[] = [
      ['ix', '_design/ix was not used because it does not contain a valid index for this query.'],
      ['_design/ix', '_design/ix was not used because it does not contain a valid index for this query.'],
      ['none', '_design/none was not used because it does not contain a valid index for this query.'],
      [['ix', 'nx'], '_design/ix, nx was not used because it is not a valid index for this query.'],
      [['ix', 'none'], '_design/ix, none was not used because it is not a valid index for this query.'],
    ];
    for (const [index, warning] of INDEXES)
      it(`finds without an index that does not fit, and warns – ${JSON.stringify(index)} – 200`, async () => {
        const { status, body } = await find(index);
        assert.deepEqual([status, (body['docs'] as readonly unknown[]).length], [200, 1]);
        assert.equal(String(body['warning']).split('\n')[0], warning);
      });

    it('refuses what cannot name an index – 400', async () => {
      for (const index of [5, {}, ['a', 'b', 'c'], [1]]) {
        const { status, body } = await find(index);
        assert.deepEqual([status, body['error']], [400, 'invalid_index_name'], JSON.stringify(index));
      }
      for (const index of [null, []]) assert.equal((await find(index)).status, 200);
    });

    const POSTS: readonly (readonly [path: string, body: string])[] = [
      ['', '{}'],
      ['/_bulk_docs', '{"docs":[]}'],
      ['/_find', '{"selector":{}}'],
      ['/_all_docs', '{"keys":[]}'],
      ['/_revs_diff', '{}'],
      ['/_bulk_get', '{"docs":[]}'],
      ['/_changes', '{}'],
      ['/_ensure_full_commit', ''],
    ];
    for (const [path, body] of POSTS)
      it(`takes ${JSON_TYPE} alone – POST /db${path} – 415`, async () => {
        for (const type of [undefined, 'text/plain', 'APPLICATION/JSON', 'application/jsonx'])
          assert.equal((await send('POST', DB + path, type, body)).status, 415, type);
        assert.equal((await send('POST', DB + path, `${JSON_TYPE}; charset=utf-8`, body)).status < 300, true);
      });

    it('takes every type where CouchDB does – POST /db/_view_cleanup – 202', async () => {
      for (const type of [undefined, 'text/plain', 'APPLICATION/JSON'])
        assert.equal((await send('POST', `${DB}/_view_cleanup`, type, '')).status, 202, type);
      const queries = '{"queries":[]}';
      assert.equal((await send('POST', `${DB}/_all_docs/queries`, 'text/plain', queries)).status, 200);
    });

    it('refuses a fraction beyond the range of a double – PUT /db/big – 400', async () => {
      for (const number of ['1e400', '-1.0e309'])
        assert.deepEqual((await send('PUT', `${DB}/big`, JSON_TYPE, `{"n":${number}}`)).status, 400);
    });
  });

describe('the embedded node behind Couchgate', { skip: withoutCouchdb === false }, () => {
  let couchgate: Couchgate;
  before(async () => {
    couchgate = await startCouchgate();
  });
  after(() => couchgate.close());

  it('says what it does not do – PUT /db?partitioned=true, GET /_utils – 501', async () => {
    const made = await couchgate.ask('PUT', '/parts?partitioned=true', { as: couchgate.owner });
    assert.deepEqual([made.status, (made.body as { error: unknown }).error], [501, 'not_implemented']);
    for (const as of [undefined, couchgate.owner])
      for (const path of ['/_utils', '/_utils/', '/_utils/index.html'])
        assert.equal((await couchgate.ask('GET', path, { as })).status, 501, path);
  });
});
