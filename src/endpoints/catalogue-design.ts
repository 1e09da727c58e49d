// Endpoints of a design document: the document itself, its attachments, and what its functions serve.
import { DESIGN, LOCAL, ORDINARY } from './document-id.ts';
import { endpointsOf, type Row } from './row.ts';

// prettier-ignore
const DESIGN_ROWS: readonly Row[] = [
  ['ddoc-get', 'GET HEAD', '/{db}/_design/{ddoc}', '_reader _design _replicator', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/common.html'],
  ['ddoc-put', 'PUT', '/{db}/_design/{ddoc}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/ddoc/common.html'],
  ['ddoc-delete', 'DELETE', '/{db}/_design/{ddoc}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/ddoc/common.html'],
  ['ddoc-post-form', 'POST', '/{db}/_design/{ddoc}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/ddoc/common.html'],
  ['ddoc-copy-to-design', 'COPY', '/{db}/_design/{ddoc}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/ddoc/common.html', { by: 'destination', ids: DESIGN }],
  ['ddoc-copy-to-doc', 'COPY', '/{db}/_design/{ddoc}', '_reader+_writer _design+_writer', 'member', 'couchdb', 'pooled', 'write', 'api/ddoc/common.html', { by: 'destination', ids: ORDINARY | LOCAL }],
  ['ddoc-att-get', 'GET HEAD', '/{db}/_design/{ddoc}/({att*}|_{name*})', '_reader _design _replicator', 'member', 'couchdb', 'fresh', 'read', 'api/ddoc/common.html'],
  ['ddoc-att-put', 'PUT', '/{db}/_design/{ddoc}/{att*}', '_design', 'dbadmin', 'couchdb', 'fresh', 'design', 'api/ddoc/common.html'],
  ['ddoc-att-delete', 'DELETE', '/{db}/_design/{ddoc}/{att*}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/ddoc/common.html'],
  ['ddoc-info', 'GET HEAD', '/{db}/_design/{ddoc}/_info', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/common.html'],
  ['view', 'GET HEAD POST', '/{db}/_design/{ddoc}/_view/{view}', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/views.html'],
  ['view-queries', 'POST', '/{db}/_design/{ddoc}/_view/{view}/queries', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/views.html'],
  ['show', 'GET HEAD POST', '/{db}/_design/{ddoc}/_show/{fn}[/{document*}]', '_reader', 'member', 'couchdb', 'fresh', 'read', 'api/ddoc/render.html'],
  ['list', 'GET HEAD POST', '/{db}/_design/{ddoc}/_list/{fn}[/{other_ddoc}]/{view}', '_reader', 'member', 'couchdb', 'fresh', 'read', 'api/ddoc/render.html'],
  ['update-null', 'POST PUT', '/{db}/_design/{ddoc}/_update/{fn}', '_writer', 'member', 'couchdb', 'fresh', 'write', 'api/ddoc/render.html'],
  ['update-doc', 'POST PUT', '/{db}/_design/{ddoc}/_update/{fn}/{document*}', '_reader+_writer', 'member', 'couchdb', 'fresh', 'write', 'api/ddoc/render.html'],
  ['rewrite', '*', '/{db}/_design/{ddoc}/_rewrite[/{rest*}]', 'blocked', 'none', 'couchgate', 'pooled', 'read', 'api/ddoc/rewrites.html'],
  ['search', 'GET HEAD POST', '/{db}/_design/{ddoc}/_search/{index}', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/search.html'],
  ['search-info', 'GET HEAD', '/{db}/_design/{ddoc}/(_search_info|_search_disk_size)/{index}', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/search.html'],
  ['nouveau', 'GET HEAD POST', '/{db}/_design/{ddoc}/_nouveau/{index}', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/nouveau.html'],
  ['nouveau-info', 'GET HEAD', '/{db}/_design/{ddoc}/_nouveau_info/{index}', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/nouveau.html'],
  ['geo', 'GET HEAD', '/{db}/_design/{ddoc}/(_geo|_geo_info)/{index}', '_reader', 'member', 'couchdb', 'fresh', 'read', 'https://cloud.ibm.com/apidocs/cloudant'],
];

export const DESIGN_ENDPOINTS = [...endpointsOf('design', DESIGN_ROWS)];
