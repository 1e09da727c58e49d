// Which row of the catalogue a path and a method mean, for the paths where a mistake would cost most.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDestination } from '../../src/admit/destination.ts';
import { parseTarget } from '../../src/admit/target.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { ENDPOINTS } from '../../src/catalogue/catalogue.ts';
import { OF_ONE_USER } from '../support/of-one-user.ts';
import { testSettings } from '../support/settings.ts';

const classify = createClassify(testSettings());

function idOf(line: string): string {
  const [method = '', raw = '', destination] = line.split(' ');
  const target = parseTarget(raw, { maxUrlBytes: 4096 });
  const operation = classify(
    method,
    target,
    destination === undefined ? undefined : parseDestination(destination),
  );
  return operation.endpoint.id;
}

function poolOf(method: string, path: string): string {
  return classify(method, parseTarget(path, { maxUrlBytes: 4096 }), undefined).endpoint.pool;
}

const ROWS: Readonly<Record<string, string>> = {
  'GET /': 'root',
  'POST /': 'unknown-method',
  'PATCH /db/doc': 'unknown-method',
  'get /db/doc': 'unknown-method',
  'OPTIONS /db/_design/d/_show/f': 'unknown-method',
  'GET /_utils/a/b': 'utils',
  'GET /favicon.ico': 'favicon',
  'GET /favicon.ico/x': 'db-illegal-name',
  'GET /_session/x': 'unrouted-underscore',
  'GET /_config': 'unrouted-underscore',
  'GET /_stats': 'unrouted-underscore',
  'GET /_node': 'unrouted-underscore',
  'GET /_node/_local': 'node-name',
  'GET /_node/_local/_config': 'node-config-read',
  'PUT /_node/_local/_config/a/b': 'node-config-write',
  'PUT /_node/_local/_config/a/b/c': 'node-local-backdoor',
  'POST /_node/_local/_config/_reload': 'node-config-reload',
  'POST /_node/_local/_restart': 'node-restart',
  'GET /_node/_local/_all_dbs': 'node-local-backdoor',
  'GET /_node/_local/_smoosh/x': 'node-local-backdoor',
  'GET /_node/_local/_active_tasks': 'node-active-tasks',
  'GET /_node/_local/_active_tasks/x': 'node-local-backdoor',
  'GET /_dbs': 'internal-dbs',
  'GET /_dbs/x/y': 'internal-dbs',
  'GET /_global_changes/_changes': 'global-changes',
  'PUT /_global_changes': 'global-changes-create-delete',
  'PUT /_global_changes/_security': 'security-put',
  'PUT /_api/v2/db/_global_changes/_security': 'api-security-put',
  'GET /_api': 'api-other',
  'GET /_api/v2': 'api-other',
  'GET /_api/v2/db/x/_security/y': 'api-other',
  'GET /_api/v2/db/x/_security': 'api-security-get',
  'PUT /_api/v2/db/a/b/_security': 'api-security-put',
  'PUT /_api/v2/db/_replicator/_security': 'api-security-put',
  'PUT /_api/v2/db/_users/_security': 'system-security-put',
  'GET /_api/v2/db/_users/_security': 'api-other',
  'PUT /_api/v2/db/_users/_security/history': 'api-other',
  'PUT /_api/v2/db/_dbs/_security': 'api-other',
  'PUT /_api/v2/db/x%2F_replicator/_security': 'system-security-put',
  'PUT /_api/v2/db/x/_users/_security': 'system-security-put',
  'PUT /_api/v2/db/couchgate/_security': 'store-database',
  'DELETE /_api/v2/db/x/_security': 'unknown-method',
  'GET /_api/v2/user/config/cors/': 'api-cors-get',
  'POST /api/generate_api_key': 'legacy-generate-api-key',
  'GET /api/generate_api_key': 'doc-get',
  'POST /api/set_permissions': 'legacy-set-permissions',
  'GET /couchgate': 'store-database',
  'GET /%63ouchgate/x': 'store-database',
  'GET /EP-A': 'db-illegal-name',
  'PUT /EP-A': 'db-illegal-create',
  'PUT /EP-A/x': 'db-illegal-name',
  'GET /db.x': 'db-illegal-name',
  'PUT /db': 'db-create',
  'PATCH /db': 'unknown-method',
  'PUT /a%2Fb%2Bc': 'db-create',
  'PUT /x%2F_replicator': 'prefixed-system-db',
  'PUT /shards%2F00000000-ffffffff%2Fvictim': 'db-illegal-create',
  'GET /shards%2F00000000-ffffffff%2Fvictim/_design/d/_show/s': 'db-illegal-name',
  'PUT /shards%2Fvictim': 'db-create',
  'GET /x%2F_users/_all_docs': 'prefixed-system-db',
  'GET /x%2F_users%2F/doc': 'prefixed-system-db',
  'GET /x%2F_dbs/doc': 'prefixed-system-db',
  'GET /x%2F_users/_design/d/_rewrite/x': 'rewrite',
  'GET /x_users/doc': 'doc-get',
  'PUT /_users': 'users-create-delete',
  'PUT /_users/org.couchdb.user:x': 'users-any',
  'PUT /_users/_security': 'system-security-put',
  'GET /_users/_security': 'users-any',
  'PUT /x%2F_users/_security': 'system-security-put',
  'PUT /x%2F_replicator%2F/_security': 'system-security-put',
  'PUT /_replicator/_security': 'security-put',
  'GET /_users/_design/d/_rewrite': 'rewrite',
  'GET /_users/_nonsense': 'db-unknown-underscore',
  'PUT /_users/_local/purge-x': 'local-internal',
  'PUT /_replicator': 'replicator-create-delete',
  'GET /_replicator/_all_docs': 'replicator-all-docs-changes',
  'GET /_replicator/_changes/x': 'replicator-all-docs-changes',
  'GET /_replicator/job': 'replicator-read',
  'PUT /_replicator/job': 'replicator-write',
  'POST /_replicator': 'replicator-write',
  'POST /_replicator/_bulk_docs': 'replicator-write',
  'POST /_replicator/_find': 'replicator-other',
  'PUT /_replicator/_design/x': 'replicator-other',
  'GET /_replicator/_security': 'security-get',
  'GET /db/_all_docs/x': 'db-unknown-underscore',
  'GET /db/_design': 'db-unknown-underscore',
  'GET /db/_local': 'db-unknown-underscore',
  'GET /db/_nonsense': 'db-unknown-underscore',
  'GET /db/_nonsense/x': 'db-unknown-underscore',
  'GET /db/doc/_att': 'db-unknown-underscore',
  'PUT /db/doc/a/_b': 'att-put',
  'DELETE /db/_all_docs': 'unknown-method',
  'GET /db/_changes/x/y': 'changes',
  'POST /db/_find/x': 'find',
  'POST /db/_view_cleanup/x': 'view-cleanup',
  'POST /db/_compact/d/x': 'compact-design',
  'GET /db/_design/d': 'ddoc-get',
  'GET /db/_design/d/_foo': 'ddoc-att-get',
  'PUT /db/_design/d/_foo': 'db-unknown-underscore',
  'PUT /db/_design/d/foo/bar': 'ddoc-att-put',
  'GET /db/_design/d/_info/x': 'db-unknown-underscore',
  'PUT /db/_design%2Fd/_view/m': 'unknown-method',
  'GET /db/_design/d/_view/m': 'view',
  'GET /db/_design/d/_view': 'db-unknown-underscore',
  'GET /db/_design/d/_list/f/v': 'list',
  'GET /db/_design/d/_list/f/o/v': 'list',
  'PUT /db/_design/d/_show/f/x': 'unknown-method',
  'PUT /db/_design/d/_update/f': 'update-null',
  'PUT /db/_design/d/_update/f/_design/x': 'update-doc',
  'GET /db/_design/d/_rewrite': 'rewrite',
  'COPY /db/_design/d/%5Frewrite/x y': 'rewrite',
  'POST /db/_partition/p/_design/d/_rewrite/x': 'partition-rewrite',
  'GET /db/_partition/p/_design/d': 'db-unknown-underscore',
  'GET /db/_partition/p/_changes': 'db-unknown-underscore',
  'POST /db/_partition/p/_index': 'partition-index-create',
  'DELETE /db/_partition/p/_index/_design/d/json/n': 'partition-index-delete',
  'DELETE /db/_index/d/json/n': 'index-delete',
  'DELETE /db/_index/_design%2Fd/json/n': 'index-delete',
  'GET /db/_shards/_design%2Fd': 'shards',
  'GET /db/_partition/p/_design/d/_foo': 'partition-ddoc-attachment',
  'GET /db/_partition/p/_design/d/foo': 'db-unknown-underscore',
  'GET /db/_local/x': 'local-get',
  'PUT /db/_local%2Fx': 'local-put',
  'PUT /db/_local%2Fx/att': 'local-attachment',
  'PUT /db/_local/purge-mem3-1': 'local-internal',
  'PUT /db/_local%2Fshard-sync-a-b': 'local-internal',
  'COPY /db/doc copy': 'doc-copy',
  'COPY /db/doc _local/x': 'doc-copy',
  'COPY /db/doc _design%2Fx': 'doc-copy-to-design',
  'COPY /db/doc %5Fdesign/x': 'doc-copy-to-design',
  'COPY /db/doc _local/purge-x': 'local-internal',
  'COPY /db/doc _security': 'db-unknown-underscore',
  'COPY /db/doc': 'db-unknown-underscore',
  'COPY /db/_design/d copy': 'ddoc-copy-to-doc',
  'COPY /db/_design/d _design/e': 'ddoc-copy-to-design',
  'COPY /db/_local/x copy': 'local-copy',
  'COPY /db/_local/x _local/y': 'local-copy-to-local',
  'COPY /db/_local/x _design/y': 'local-copy-to-design',
  'COPY /db/_all_docs x': 'unknown-method',
};

describe('classify', () => {
  for (const [line, id] of Object.entries(ROWS)) it(`${line} – ${id}`, () => assert.equal(idOf(line), id));

  it('reaches every row of the catalogue but those that overlay or close by name', () => {
    const reached = new Set(Object.values(ROWS));
    const overlays = ENDPOINTS.filter(
      ({ path }) => path.startsWith('/_users') || path.startsWith('/_replicator'),
    );
    for (const { id } of overlays) assert.equal(reached.has(id), !OF_ONE_USER.has(id), id);
  });

  it('keeps the pool of the ordinary endpoint – GET /_replicator/_all_docs and GET /_replicator/_changes', () => {
    assert.equal(poolOf('GET', '/_replicator/_all_docs'), 'pooled');
    assert.equal(poolOf('GET', '/_replicator/_changes'), 'feed');
    assert.equal(poolOf('GET', '/_replicator/doc'), 'single-use');
    assert.equal(poolOf('GET', '/_users/_changes'), 'single-use');
  });

  it('names the database and the document that CouchDB will read', () => {
    const target = parseTarget('/a%2Fb/_design%2Fx/att', { maxUrlBytes: 4096 });
    const operation = classify('GET', target, undefined);
    assert.equal(operation.database, 'a/b');
    assert.equal(operation.documentId, '_design/x');
  });

  it('leaves the choice to the body – POST /db and POST /db/_bulk_docs', () => {
    const post = classify('POST', parseTarget('/db', { maxUrlBytes: 99 }), undefined);
    assert.deepEqual(
      [post.decidedByBody, post.alternatives.map(({ id }) => id)],
      ['document-id', ['db-post-doc', 'db-post-design', 'db-post-local']],
    );
    const bulk = classify('POST', parseTarget('/db/_bulk_docs', { maxUrlBytes: 99 }), undefined);
    assert.equal(bulk.decidedByBody, 'bulk-ids');
    assert.equal(bulk.alternatives.length, 4);
  });
});
