// Endpoints below a partition. CouchDB routes them on to those of the database (H11), so each needs what its counterpart needs.
import { endpointsOf, type Row } from './row.ts';

// prettier-ignore
const PARTITION_ROWS: readonly Row[] = [
  ['partition-info', 'GET HEAD', '/{db}/_partition/{partition}', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/partitioned-dbs.html'],
  ['partition-all-docs', 'GET HEAD POST', '/{db}/_partition/{partition}/_all_docs', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/partitioned-dbs.html'],
  ['partition-all-docs-queries', 'POST', '/{db}/_partition/{partition}/_all_docs/queries', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/partitioned-dbs.html'],
  ['partition-find', 'POST', '/{db}/_partition/{partition}/_find[/{anything*}]', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/partitioned-dbs.html'],
  ['partition-explain', 'POST', '/{db}/_partition/{partition}/_explain[/{anything*}]', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/partitioned-dbs.html'],
  ['partition-index-list', 'GET HEAD', '/{db}/_partition/{partition}/_index', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/partitioned-dbs.html'],
  ['partition-index-create', 'POST', '/{db}/_partition/{partition}/_index', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/partitioned-dbs.html'],
  ['partition-index-bulk-delete', 'POST', '/{db}/_partition/{partition}/_index/_bulk_delete', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/partitioned-dbs.html'],
  ['partition-index-delete', 'DELETE', '/{db}/_partition/{partition}/_index/[_design/]{ddoc}/{type}/{name}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/partitioned-dbs.html'],
  ['partition-view', 'GET HEAD POST', '/{db}/_partition/{partition}/_design/{ddoc}/_view/{view}', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/partitioned-dbs.html'],
  ['partition-view-queries', 'POST', '/{db}/_partition/{partition}/_design/{ddoc}/_view/{view}/queries', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/partitioned-dbs.html'],
  ['partition-search', 'GET HEAD POST', '/{db}/_partition/{partition}/_design/{ddoc}/(_search|_nouveau)/{index}', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/partitioned-dbs.html'],
  ['partition-ddoc-info', 'GET HEAD', '/{db}/_partition/{partition}/_design/{ddoc}/(_info|_search_info/{index}|_search_disk_size/{index}|_nouveau_info/{index})', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/partitioned-dbs.html'],
  ['partition-show-list', 'GET HEAD POST', '/{db}/_partition/{partition}/_design/{ddoc}/(_show|_list)/{rest*}', '_reader', 'member', 'couchdb', 'fresh', 'read', 'api/partitioned-dbs.html'],
  ['partition-update', 'POST PUT', '/{db}/_partition/{partition}/_design/{ddoc}/_update/{fn}[/{document*}]', '_reader+_writer', 'member', 'couchdb', 'fresh', 'write', 'api/partitioned-dbs.html'],
  ['partition-rewrite', '*', '/{db}/_partition/{partition}/_design/{ddoc}/_rewrite[/{rest*}]', 'blocked', 'none', 'couchgate', 'pooled', 'read', 'api/ddoc/rewrites.html'],
  ['partition-ddoc-attachment', 'GET HEAD', '/{db}/_partition/{partition}/_design/{ddoc}/_{name*}', '_reader _design', 'member', 'couchdb', 'fresh', 'read', 'api/partitioned-dbs.html'],
];

export const PARTITION_ENDPOINTS = [...endpointsOf('partition', PARTITION_ROWS)];
