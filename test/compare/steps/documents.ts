// Defines the steps for single documents, bulk requests and local documents.
import { gzipSync } from 'node:zlib';
import { copy, DB, del, get, head, post, put, type Step } from '../step.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const leaf = (rev: string, value: number) => ({
  _id: 'c1',
  _rev: `2-${rev}`,
  _revisions: { start: 2, ids: [rev, 'aa'] },
  v: value,
});

export const documentSteps: readonly Step[] = [
  put('PUT doc', `${DB}/d1`, { body: { a: 1, n: 1.5 }, saveAs: 'r1' }),
  put('PUT doc conflict', `${DB}/d1`, { body: { a: 2 } }),
  put('PUT doc update', (context) => `${DB}/d1?rev=${context.text('r1', 'rev')}`, {
    body: { a: 2 },
    saveAs: 'r2',
  }),
  put('PUT If-Match update', `${DB}/d1`, {
    headers: (context) => ({ 'if-match': context.text('r2', 'rev') }),
    body: { a: 3 },
    saveAs: 'r3',
  }),
  get('GET doc', `${DB}/d1`),
  get('GET doc revs/revs_info', `${DB}/d1?revs=true&revs_info=true`),
  get('GET doc If-None-Match', `${DB}/d1`, {
    headers: (context) => ({ 'if-none-match': `"${context.text('r3', 'rev')}"` }),
  }),
  head('HEAD doc', `${DB}/d1`),
  get('GET doc old rev', (context) => `${DB}/d1?rev=${context.text('r2', 'rev')}`),
  get('GET open_revs=all', `${DB}/d1?open_revs=all`),
  get('GET doc missing', `${DB}/nope`),
  post('POST doc', DB, { body: { _id: 'p1', k: 'v', type: 'x', num: 5 } }),
  post('POST doc no content-type', DB, { body: '{"a":1}' }),
  put('PUT bad json', `${DB}/bad`, { headers: JSON_TYPE, body: '{"a":' }),
  put('PUT reserved field', `${DB}/bad`, { body: { _foo: 1 } }),
  put('PUT reserved id', `${DB}/_bad`, { body: { a: 1 } }),
  put('PUT doc id with slash', `${DB}/a%2Fb`, { body: { a: 1 } }),
  get('GET doc id with slash', `${DB}/a%2Fb`),
  put('PUT doc id JSON-like', `${DB}/123`, { body: { a: 1 } }),
  post('_bulk_docs', `${DB}/_bulk_docs`, {
    body: {
      docs: [
        { _id: 'b1', v: 1 },
        { _id: 'b2', v: 2 },
        { _id: 'd1', v: 3 },
      ],
    },
  }),
  post('_bulk_docs new_edits=false', `${DB}/_bulk_docs`, {
    body: { new_edits: false, docs: [leaf('bb', 1), leaf('cc', 2)] },
  }),
  get('GET conflicts', `${DB}/c1?conflicts=true`),
  post('_bulk_get', `${DB}/_bulk_get`, {
    body: { docs: [{ id: 'b1' }, { id: 'nope' }, { id: 'b2', rev: '1-ffff' }] },
  }),
  post('_bulk_get revs', `${DB}/_bulk_get?revs=true&latest=true`, {
    body: { docs: [{ id: 'c1', rev: '2-bb' }] },
  }),
  post('_bulk_get multipart', `${DB}/_bulk_get?revs=true`, {
    headers: { accept: 'multipart/mixed', ...JSON_TYPE },
    body: JSON.stringify({ docs: [{ id: 'b1' }] }),
  }),
  post('_revs_diff', `${DB}/_revs_diff`, { body: { b1: ['1-xx', '2-yy'], zz: ['1-a'] } }),
  post('_missing_revs', `${DB}/_missing_revs`, { body: { b1: ['1-xx'] } }),
  get('_all_docs', `${DB}/_all_docs?include_docs=true&limit=2`),
  post('_all_docs keys', `${DB}/_all_docs`, { body: { keys: ['b1', 'nope'] } }),
  post('_all_docs queries', `${DB}/_all_docs/queries`, {
    body: { queries: [{ keys: ['b1'] }, { limit: 1 }] },
  }),
  get('_design_docs', `${DB}/_design_docs`),
  copy('COPY', `${DB}/b1`, { headers: { destination: 'b1copy' } }),
  put('PUT _local', `${DB}/_local/l1`, { body: { x: 1 } }),
  get('GET _local', `${DB}/_local/l1`),
  get('_local_docs', `${DB}/_local_docs`),
  get('GET doc to delete', `${DB}/b1`, { saveAs: 'b1' }),
  del('DELETE doc', (context) => `${DB}/b1?rev=${context.text('b1', '_rev')}`),
  del('DELETE doc no rev', `${DB}/b2`),
  get('GET deleted', `${DB}/b1`),
  post('_ensure_full_commit', `${DB}/_ensure_full_commit`, { headers: JSON_TYPE }),
  post('_compact', `${DB}/_compact`, { headers: JSON_TYPE }),
  get('_revs_limit GET', `${DB}/_revs_limit`),
  post('_purge', `${DB}/_purge`, { body: { p1: ['1-zz'] } }),
  get('_shards', `${DB}/_shards`),
  put('gzip request body', `${DB}/gz1`, {
    headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
    body: gzipSync('{"a":1}'),
  }),
];
