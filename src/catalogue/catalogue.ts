// The catalogue: the table of all endpoints that Couchgate permits or refuses by name.
import { DESIGN, LOCAL, ORDINARY } from './document-id.ts';
import { type Endpoint, type ServedBy } from './endpoint.ts';
import { parseEndpoints, type Row } from './parse.ts';

/** Endpoints of the server as a whole. */
// prettier-ignore
const SERVER = [
  ['root', 'GET HEAD', '/', 'public', 'none', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['favicon', 'GET HEAD', '/favicon.ico', 'public', 'none', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['utils', 'GET HEAD', '/_utils[/{path*}]', 'public', 'none', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['all-dbs', 'GET HEAD', '/_all_dbs', 'authenticated', 'none', 'couchgate', 'pooled', 'read', 'api/server/common.html'],
  ['dbs-info', 'GET HEAD', '/_dbs_info', 'authenticated', 'none', 'couchgate', 'pooled', 'read', 'api/server/common.html'],
  ['dbs-info-keys', 'POST', '/_dbs_info', 'authenticated', 'none', 'couchgate', 'pooled', 'read', 'api/server/common.html'],
  ['active-tasks', 'GET HEAD', '/_active_tasks', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['scheduler-jobs', 'GET HEAD', '/_scheduler/jobs[/{job_id}]', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['scheduler-docs', 'GET HEAD', '/_scheduler/docs[/{replicator_db_and_doc_id*}]', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['node-name', 'GET HEAD', '/_node/{node}', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['node-stats', 'GET HEAD', '/_node/{node}/_stats[/{path*}]', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['node-system', 'GET HEAD', '/_node/{node}/_system', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['node-prometheus', 'GET HEAD', '/_node/{node}/_prometheus', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['node-active-tasks', 'GET HEAD', '/_node/{node}/_active_tasks', 'server_admin', 'server_admin', 'couchgate', 'pooled', 'status', 'api/server/common.html'],
  ['node-versions', 'GET HEAD', '/_node/{node}/_versions', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['node-smoosh', 'GET HEAD', '/_node/{node}/_smoosh/status', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['node-config-read', 'GET HEAD', '/_node/{node}/_config[/{section}[/{key}]]', 'blocked', 'server_admin', 'couchgate', 'pooled', 'configuration', 'api/server/configuration.html'],
  ['node-config-write', 'PUT DELETE', '/_node/{node}/_config/{section}/{key}', 'blocked', 'server_admin', 'couchgate', 'pooled', 'configuration', 'api/server/configuration.html'],
  ['node-config-reload', 'POST', '/_node/{node}/_config/_reload', 'blocked', 'server_admin', 'couchgate', 'pooled', 'configuration', 'api/server/configuration.html'],
  ['node-restart', 'POST', '/_node/{node}/_restart', 'blocked', 'server_admin', 'couchgate', 'pooled', 'administer', 'api/server/common.html'],
  ['node-local-backdoor', '*', '/_node/{node}/{anything*}', 'blocked', 'server_admin', 'couchgate', 'pooled', 'administer', 'api/server/common.html'],
  ['reload-query-servers', 'POST', '/_reload_query_servers', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'api/server/common.html'],
  ['replicate', 'POST', '/_replicate', '_replicator', 'member', 'guard', 'pooled', 'replicate', 'api/server/common.html'],
  ['uuids', 'GET HEAD', '/_uuids', 'public', 'none', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['session-get', 'GET HEAD', '/_session', 'public', 'none', 'couchgate', 'pooled', 'session', 'api/server/authn.html'],
  ['session-login', 'POST', '/_session', 'public', 'none', 'couchgate', 'pooled', 'session', 'api/server/authn.html'],
  ['session-logout', 'DELETE', '/_session', 'public', 'none', 'couchgate', 'pooled', 'session', 'api/server/authn.html'],
  ['up', 'GET HEAD', '/_up', 'public', 'none', 'guard', 'pooled', 'status', 'api/server/common.html'],
  ['membership', 'GET HEAD', '/_membership', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'status', 'api/server/common.html'],
  ['reshard-summary', 'GET HEAD', '/_reshard', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'api/server/common.html'],
  ['reshard-state', 'GET HEAD PUT', '/_reshard/state', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'api/server/common.html'],
  ['reshard-jobs', 'GET HEAD POST', '/_reshard/jobs', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'api/server/common.html'],
  ['reshard-job', 'GET HEAD DELETE', '/_reshard/jobs/{job_id}', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'api/server/common.html'],
  ['reshard-job-state', 'GET HEAD PUT', '/_reshard/jobs/{job_id}/state', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'api/server/common.html'],
  ['db-updates', 'GET HEAD', '/_db_updates', '_db_updates', 'server_admin', 'couchdb', 'feed', 'feed', 'api/server/common.html'],
  ['cluster-setup', 'GET HEAD POST', '/_cluster_setup', 'blocked', 'server_admin', 'couchgate', 'pooled', 'configuration', 'api/server/common.html'],
  ['search-analyze', 'GET HEAD POST', '/_search_analyze', 'authenticated', 'server_admin', 'couchdb', 'pooled', 'read', 'api/server/common.html'],
  ['nouveau-analyze', 'POST', '/_nouveau_analyze', 'authenticated', 'server_admin', 'couchdb', 'pooled', 'read', 'api/server/common.html'],
  ['internal-dbs', '*', '/(_dbs|_nodes|_metadata)[/{rest*}]', 'blocked', 'server_admin', 'couchgate', 'pooled', 'administer', 'cluster/databases.html'],
  ['unrouted-underscore', '*', '/_{anything}[/{rest*}]', 'blocked server', 'none', 'couchgate', 'pooled', 'read', 'api/server/index.html'],
  ['options-preflight', 'OPTIONS', '/{anything*}', 'public', 'none', 'couchgate', 'pooled', 'status', 'config/http.html'],
  ['unknown-method', '*', '/{anything*}', 'blocked method', 'none', 'couchgate', 'pooled', 'read', 'api/basics.html'],
] as const satisfies readonly Row[];

/**
 * Endpoints of the system databases, of the store, and of names that CouchDB does not allow. Those of
 * `_users`, `_replicator`, `_global_changes` and prefixed system databases replace the endpoints of an
 * ordinary database. An endpoint that is blocked on an ordinary database stays blocked there.
 */
// prettier-ignore
const SYSTEM = [
  ['users-create-delete', 'PUT DELETE', '/_users', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'intro/security.html'],
  ['users-own-read', 'GET HEAD', '/_users/org.couchdb.user:{own_name}', 'authenticated', 'none', 'couchgate', 'pooled', 'read', 'intro/security.html'],
  ['users-own-write', 'PUT', '/_users/org.couchdb.user:{own_name}', 'authenticated', 'none', 'couchgate', 'pooled', 'write', 'intro/security.html'],
  ['users-sign-up', 'PUT', '/_users/org.couchdb.user:{new_name}', 'public', 'none', 'couchgate', 'pooled', 'administer', 'intro/security.html'],
  ['users-any', '*', '/_users[/{rest*}]', 'server_admin', 'server_admin', 'guard', 'single-use', 'administer', 'intro/security.html'],
  ['replicator-create-delete', 'PUT DELETE', '/_replicator', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'replication/replicator.html'],
  ['replicator-all-docs-changes', 'GET HEAD POST', '/_replicator/(_all_docs|_changes)[/{rest*}]', 'server_admin', 'server_admin', 'couchdb', 'feed', 'replicate', 'replication/replicator.html'],
  ['replicator-read', 'GET HEAD', '/_replicator[/([(_design|_local)/]{doc_id}[/{att*}])]', '_reader _replicator', 'member', 'couchdb', 'single-use', 'replicate', 'replication/replicator.html'],
  ['replicator-write', 'POST PUT DELETE', '/_replicator[/({doc_id}|_bulk_docs)]', '_writer _replicator', 'member', 'guard', 'pooled', 'replicate', 'replication/replicator.html'],
  ['replicator-other', '*', '/_replicator/{rest*}', 'server_admin', 'server_admin', 'couchdb', 'single-use', 'replicate', 'replication/replicator.html'],
  ['global-changes-create-delete', 'PUT DELETE', '/_global_changes', 'server_admin', 'server_admin', 'couchgate', 'pooled', 'administer', 'cluster/databases.html'],
  ['global-changes', '*', '/_global_changes[/{rest*}]', 'server_admin', 'server_admin', 'couchdb', 'single-use', 'administer', 'cluster/databases.html'],
  ['system-security-put', 'PUT', '[/_api/v2/db]/(_users|{prefix}%2F(_replicator|_users))/_security', 'blocked grants', 'server_admin', 'couchgate', 'pooled', 'permissions', 'intro/security.html'],
  ['prefixed-system-db', '*', '/{prefix}%2F(_replicator|_users)[/{rest*}]', 'server_admin', 'server_admin', 'couchdb', 'single-use', 'administer', 'replication/replicator.html'],
  ['store-database', '*', '/{store_database}[/{rest*}]', 'blocked', 'server_admin', 'couchgate', 'pooled', 'administer', 'api/database/common.html'],
  ['db-illegal-create', 'PUT', '/{illegal_name}', 'blocked name', 'none', 'couchgate', 'pooled', 'administer', 'api/database/common.html'],
  ['db-illegal-name', '*', '/{illegal_name}[/{rest*}]', 'blocked database', 'none', 'couchgate', 'pooled', 'read', 'api/database/common.html'],
] as const satisfies readonly Row[];

/** Endpoints of a database. */
// prettier-ignore
const DATABASE = [
  ['db-create', 'PUT', '/{db}', 'server_admin', 'server_admin', 'couchgate', 'pooled', 'administer', 'api/database/common.html'],
  ['db-delete', 'DELETE', '/{db}', '_admin', 'server_admin', 'couchgate', 'pooled', 'administer', 'api/database/common.html'],
  ['db-info', 'GET HEAD', '/{db}', '_reader _writer _replicator _design', 'member', 'couchdb', 'pooled', 'read', 'api/database/common.html'],
  ['db-post-doc', 'POST', '/{db}', '_writer', 'member', 'couchdb', 'pooled', 'write', 'api/database/common.html', { by: 'document-id', ids: ORDINARY }],
  ['db-post-design', 'POST', '/{db}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/database/common.html', { by: 'document-id', ids: DESIGN }],
  ['db-post-local', 'POST', '/{db}', '_writer _replicator', 'member', 'couchdb', 'pooled', 'write', 'api/database/common.html', { by: 'document-id', ids: LOCAL }],
  ['all-docs', 'GET HEAD POST', '/{db}/_all_docs', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/database/bulk-api.html'],
  ['all-docs-queries', 'POST', '/{db}/_all_docs/queries', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/database/bulk-api.html'],
  ['design-docs', 'GET HEAD POST', '/{db}/_design_docs', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/database/bulk-api.html'],
  ['design-docs-queries', 'POST', '/{db}/_design_docs/queries', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/database/bulk-api.html'],
  ['local-docs', 'GET HEAD POST', '/{db}/_local_docs', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/local.html'],
  ['local-docs-queries', 'POST', '/{db}/_local_docs/queries', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/local.html'],
  ['bulk-docs', 'POST', '/{db}/_bulk_docs', '_writer', 'member', 'couchdb', 'pooled', 'write', 'api/database/bulk-api.html', { by: 'bulk-ids', ids: ORDINARY | LOCAL }],
  ['bulk-docs-design-holder', 'POST', '/{db}/_bulk_docs', '_writer+_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/database/bulk-api.html', { by: 'bulk-ids', ids: ORDINARY | LOCAL | DESIGN }],
  ['bulk-docs-design-only', 'POST', '/{db}/_bulk_docs', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/database/bulk-api.html', { by: 'bulk-ids', ids: DESIGN }],
  ['bulk-docs-local-only', 'POST', '/{db}/_bulk_docs', '_replicator', 'member', 'couchdb', 'pooled', 'write', 'api/database/bulk-api.html', { by: 'bulk-ids', ids: LOCAL }],
  ['bulk-get', 'POST', '/{db}/_bulk_get', '_reader _replicator', 'member', 'couchdb', 'pooled', 'read', 'api/database/bulk-api.html'],
  ['changes', 'GET HEAD POST', '/{db}/_changes[/{anything*}]', '_reader _replicator', 'member', 'couchdb', 'feed', 'feed', 'api/database/changes.html'],
  ['revs-diff', 'POST', '/{db}/_revs_diff', '_reader _replicator', 'member', 'couchdb', 'pooled', 'read', 'api/database/misc.html'],
  ['missing-revs', 'POST', '/{db}/_missing_revs', '_reader _replicator', 'member', 'couchdb', 'pooled', 'read', 'api/database/misc.html'],
  ['ensure-full-commit', 'POST', '/{db}/_ensure_full_commit', '_writer _replicator', 'member', 'couchdb', 'pooled', 'write', 'api/database/compact.html'],
  ['security-get', 'GET HEAD', '/{db}/_security', '_security', 'member', 'couchgate', 'pooled', 'permissions', 'api/database/security.html'],
  ['security-put', 'PUT', '/{db}/_security', '_security', 'dbadmin', 'couchgate', 'pooled', 'permissions', 'api/database/security.html'],
  ['revs-limit-get', 'GET HEAD', '/{db}/_revs_limit', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/database/misc.html'],
  ['revs-limit-put', 'PUT', '/{db}/_revs_limit', '_admin', 'dbadmin', 'couchdb', 'pooled', 'administer', 'api/database/misc.html'],
  ['purged-infos-limit-get', 'GET HEAD', '/{db}/_purged_infos_limit', '_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'api/database/misc.html'],
  ['purged-infos-limit-put', 'PUT', '/{db}/_purged_infos_limit', '_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'api/database/misc.html'],
  ['purged-infos', 'GET HEAD', '/{db}/_purged_infos', '_admin', 'member', 'couchdb', 'pooled', 'administer', 'api/database/misc.html'],
  ['purge', 'POST', '/{db}/_purge', '_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'api/database/misc.html'],
  ['compact', 'POST', '/{db}/_compact', '_admin', 'dbadmin', 'couchdb', 'pooled', 'administer', 'api/database/compact.html'],
  ['compact-design', 'POST', '/{db}/_compact/{ddoc}[/{anything*}]', '_admin', 'dbadmin', 'couchdb', 'pooled', 'administer', 'api/database/compact.html'],
  ['view-cleanup', 'POST', '/{db}/_view_cleanup[/{anything*}]', '_admin', 'dbadmin', 'couchdb', 'pooled', 'administer', 'api/database/compact.html'],
  ['search-cleanup', 'POST', '/{db}/_search_cleanup[/{anything*}]', '_admin', 'member', 'couchdb', 'pooled', 'administer', 'api/database/cleanup.html'],
  ['nouveau-cleanup', 'POST', '/{db}/_nouveau_cleanup[/{anything*}]', '_admin', 'member', 'couchdb', 'pooled', 'administer', 'api/database/cleanup.html'],
  ['temp-view', '*', '/{db}/_temp_view[/{anything*}]', '_reader', 'member', 'couchgate', 'pooled', 'read', 'whatsnew/2.0.html'],
  ['shards', 'GET HEAD', '/{db}/_shards[/{document}]', '_shards', 'member', 'couchdb', 'pooled', 'read', 'api/database/shard.html'],
  ['sync-shards', 'POST', '/{db}/_sync_shards', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'api/database/shard.html'],
  ['find', 'POST', '/{db}/_find[/{anything*}]', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/database/find.html'],
  ['explain', 'POST', '/{db}/_explain[/{anything*}]', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/database/find.html'],
  ['index-list', 'GET HEAD', '/{db}/_index', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/database/find.html'],
  ['index-create', 'POST', '/{db}/_index', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/database/find.html'],
  ['index-bulk-delete', 'POST', '/{db}/_index/_bulk_delete', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/database/find.html'],
  ['index-delete', 'DELETE', '/{db}/_index/[_design/]{ddoc}/{type}/{name}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/database/find.html'],
  ['db-unknown-underscore', '*', '/{db}/_{unknown}[/{rest*}]', 'blocked missing', 'none', 'couchgate', 'pooled', 'read', 'api/database/index.html'],
] as const satisfies readonly Row[];

/**
 * Endpoints of a partition. CouchDB routes them to the endpoints of the database (H11), so each requires the
 * roles of its counterpart.
 */
// prettier-ignore
const PARTITION = [
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
  ['partition-show-list', 'GET HEAD POST', '/{db}/_partition/{partition}/_design/{ddoc}/(_show|_list)/{rest*}', '_reader', 'member', 'couchdb', 'single-use', 'read', 'api/partitioned-dbs.html'],
  ['partition-update', 'POST PUT', '/{db}/_partition/{partition}/_design/{ddoc}/_update/{fn}[/{document*}]', '_reader+_writer', 'member', 'couchdb', 'single-use', 'write', 'api/partitioned-dbs.html'],
  ['partition-rewrite', '*', '/{db}/_partition/{partition}/_design/{ddoc}/_rewrite[/{rest*}]', 'blocked', 'none', 'couchgate', 'pooled', 'read', 'api/ddoc/rewrites.html'],
  ['partition-ddoc-attachment', 'GET HEAD', '/{db}/_partition/{partition}/_design/{ddoc}/_{name*}', '_reader _design', 'member', 'couchdb', 'single-use', 'read', 'api/partitioned-dbs.html'],
] as const satisfies readonly Row[];

/** Design documents, their attachments, and the endpoints that their functions and indexes serve. */
// prettier-ignore
const DESIGN_DOCUMENT = [
  ['ddoc-get', 'GET HEAD', '/{db}/_design/{ddoc}', '_reader _design _replicator', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/common.html'],
  ['ddoc-put', 'PUT', '/{db}/_design/{ddoc}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/ddoc/common.html'],
  ['ddoc-delete', 'DELETE', '/{db}/_design/{ddoc}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/ddoc/common.html'],
  ['ddoc-post-form', 'POST', '/{db}/_design/{ddoc}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/ddoc/common.html'],
  ['ddoc-copy-to-design', 'COPY', '/{db}/_design/{ddoc}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/ddoc/common.html', { by: 'destination', ids: DESIGN }],
  ['ddoc-copy-to-doc', 'COPY', '/{db}/_design/{ddoc}', '_reader+_writer _design+_writer', 'member', 'couchdb', 'pooled', 'write', 'api/ddoc/common.html', { by: 'destination', ids: ORDINARY | LOCAL }],
  ['ddoc-att-get', 'GET HEAD', '/{db}/_design/{ddoc}/({att*}|_{name*})', '_reader _design _replicator', 'member', 'couchdb', 'single-use', 'read', 'api/ddoc/common.html'],
  ['ddoc-att-put', 'PUT', '/{db}/_design/{ddoc}/{att*}', '_design', 'dbadmin', 'couchdb', 'single-use', 'design', 'api/ddoc/common.html'],
  ['ddoc-att-delete', 'DELETE', '/{db}/_design/{ddoc}/{att*}', '_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/ddoc/common.html'],
  ['ddoc-info', 'GET HEAD', '/{db}/_design/{ddoc}/_info', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/common.html'],
  ['view', 'GET HEAD POST', '/{db}/_design/{ddoc}/_view/{view}', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/views.html'],
  ['view-queries', 'POST', '/{db}/_design/{ddoc}/_view/{view}/queries', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/views.html'],
  ['show', 'GET HEAD POST', '/{db}/_design/{ddoc}/_show/{fn}[/{document*}]', '_reader', 'member', 'couchdb', 'single-use', 'read', 'api/ddoc/render.html'],
  ['list', 'GET HEAD POST', '/{db}/_design/{ddoc}/_list/{fn}[/{other_ddoc}]/{view}', '_reader', 'member', 'couchdb', 'single-use', 'read', 'api/ddoc/render.html'],
  ['update-null', 'POST PUT', '/{db}/_design/{ddoc}/_update/{fn}', '_writer', 'member', 'couchdb', 'single-use', 'write', 'api/ddoc/render.html'],
  ['update-doc', 'POST PUT', '/{db}/_design/{ddoc}/_update/{fn}/{document*}', '_reader+_writer', 'member', 'couchdb', 'single-use', 'write', 'api/ddoc/render.html'],
  ['rewrite', '*', '/{db}/_design/{ddoc}/_rewrite[/{rest*}]', 'blocked', 'none', 'couchgate', 'pooled', 'read', 'api/ddoc/rewrites.html'],
  ['search', 'GET HEAD POST', '/{db}/_design/{ddoc}/_search/{index}', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/search.html'],
  ['search-info', 'GET HEAD', '/{db}/_design/{ddoc}/(_search_info|_search_disk_size)/{index}', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/search.html'],
  ['nouveau', 'GET HEAD POST', '/{db}/_design/{ddoc}/_nouveau/{index}', '_reader', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/nouveau.html'],
  ['nouveau-info', 'GET HEAD', '/{db}/_design/{ddoc}/_nouveau_info/{index}', '_reader _design', 'member', 'couchdb', 'pooled', 'read', 'api/ddoc/nouveau.html'],
  ['geo', 'GET HEAD', '/{db}/_design/{ddoc}/(_geo|_geo_info)/{index}', '_reader', 'member', 'couchdb', 'single-use', 'read', 'leaving-cloudant.md#endpoints'],
] as const satisfies readonly Row[];

/** Local documents. */
// prettier-ignore
const LOCAL_DOCUMENT = [
  ['local-get', 'GET HEAD', '/{db}/_local/{id}', '_reader _replicator', 'member', 'couchdb', 'pooled', 'read', 'api/local.html'],
  ['local-put', 'PUT', '/{db}/_local/{id}', '_writer _replicator', 'member', 'couchdb', 'pooled', 'write', 'api/local.html'],
  ['local-delete', 'DELETE', '/{db}/_local/{id}', '_writer _replicator', 'member', 'couchdb', 'pooled', 'write', 'api/local.html'],
  ['local-post-form', 'POST', '/{db}/_local/{id}', '_writer _replicator', 'member', 'couchdb', 'pooled', 'write', 'api/local.html'],
  ['local-copy', 'COPY', '/{db}/_local/{id}', '_reader+_writer _replicator+_writer', 'member', 'couchdb', 'pooled', 'write', 'api/local.html', { by: 'destination', ids: ORDINARY }],
  ['local-copy-to-local', 'COPY', '/{db}/_local/{id}', '_reader+_writer _replicator', 'member', 'couchdb', 'pooled', 'write', 'api/local.html', { by: 'destination', ids: LOCAL }],
  ['local-copy-to-design', 'COPY', '/{db}/_local/{id}', '_reader+_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/local.html', { by: 'destination', ids: DESIGN }],
  ['local-attachment', '*', '/{db}/_local/{id}/{att*}', 'blocked attachment', 'member', 'couchgate', 'pooled', 'read', 'api/local.html'],
  ['local-internal', '*', '/{db}/_local/(purge-|shard-sync-){anything}', 'blocked', 'none', 'couchgate', 'pooled', 'administer', 'api/local.html'],
] as const satisfies readonly Row[];

/** Documents. */
// prettier-ignore
const DOCUMENT = [
  ['doc-get', 'GET HEAD', '/{db}/{doc_id}', '_reader _replicator', 'member', 'couchdb', 'pooled', 'read', 'api/document/common.html'],
  ['doc-put', 'PUT', '/{db}/{doc_id}', '_writer', 'member', 'couchdb', 'pooled', 'write', 'api/document/common.html'],
  ['doc-delete', 'DELETE', '/{db}/{doc_id}', '_writer', 'member', 'couchdb', 'pooled', 'write', 'api/document/common.html'],
  ['doc-post-form', 'POST', '/{db}/{doc_id}', '_writer', 'member', 'couchdb', 'pooled', 'write', 'api/document/common.html'],
  ['doc-copy', 'COPY', '/{db}/{doc_id}', '_reader+_writer _replicator+_writer', 'member', 'couchdb', 'pooled', 'write', 'api/document/common.html', { by: 'destination', ids: ORDINARY | LOCAL }],
  ['doc-copy-to-design', 'COPY', '/{db}/{doc_id}', '_reader+_design _replicator+_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/document/common.html', { by: 'destination', ids: DESIGN }],
] as const satisfies readonly Row[];

/** Attachments. */
// prettier-ignore
const ATTACHMENT = [
  ['att-get', 'GET HEAD', '/{db}/{doc_id}/{att*}', '_reader _replicator', 'member', 'couchdb', 'single-use', 'read', 'api/document/attachments.html'],
  ['att-put', 'PUT', '/{db}/{doc_id}/{att*}', '_writer', 'member', 'couchdb', 'single-use', 'write', 'api/document/attachments.html'],
  ['att-delete', 'DELETE', '/{db}/{doc_id}/{att*}', '_writer', 'member', 'couchdb', 'pooled', 'write', 'api/document/attachments.html'],
] as const satisfies readonly Row[];

/** Cloudant's API, and Couchgate's additions for managing API keys. */
// prettier-ignore
const CLOUDANT = [
  ['api-keys', 'POST', '/_api/v2/api_keys', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'https://cloud.ibm.com/apidocs/cloudant#postapikeys'],
  ['api-keys-list', 'GET HEAD', '/_api/v2/api_keys', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'api-keys.md#lists-of-keys'],
  ['api-key-get', 'GET HEAD', '/_api/v2/api_keys/{key}', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'api-keys.md#create-and-manage-keys'],
  ['api-key-change', 'PATCH', '/_api/v2/api_keys/{key}', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'api-keys.md#create-and-manage-keys'],
  ['api-key-revoke', 'DELETE', '/_api/v2/api_keys/{key}', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'api-keys.md#create-and-manage-keys'],
  ['api-key-rotate', 'POST', '/_api/v2/api_keys/{key}/rotate', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'api-keys.md#create-and-manage-keys'],
  ['api-security-get', 'GET HEAD', '/_api/v2/db/{db}/_security', '_security', 'member', 'couchgate', 'pooled', 'permissions', 'https://cloud.ibm.com/apidocs/cloudant#getsecurity'],
  ['api-security-put', 'PUT', '/_api/v2/db/{db}/_security', '_security', 'dbadmin', 'couchgate', 'pooled', 'permissions', 'https://cloud.ibm.com/apidocs/cloudant#putcloudantsecurityconfiguration'],
  ['api-security-history', 'GET HEAD', '/_api/v2/db/{db}/_security/history', '_security', 'none', 'couchgate', 'pooled', 'permissions', 'permissions.md#history'],
  ['api-security-revision', 'GET HEAD', '/_api/v2/db/{db}/_security/history/{revision}', '_security', 'none', 'couchgate', 'pooled', 'permissions', 'permissions.md#history'],
  ['api-security-rollback', 'POST', '/_api/v2/db/{db}/_security/rollback', '_security', 'none', 'couchgate', 'pooled', 'permissions', 'permissions.md#history'],
  ['db-export', 'GET', '/_api/v2/db/{db}/_export', '_reader', 'member', 'couchgate', 'feed', 'read', 'backup.md#export'],
  ['api-access', 'GET HEAD', '/_api/v2/access', 'authenticated', 'none', 'couchgate', 'pooled', 'permissions', 'permissions.md#who-has-access'],
  ['api-explain', 'POST', '/_api/v2/explain', 'authenticated', 'none', 'couchgate', 'pooled', 'permissions', 'explain.md#over-http'],
  ['prefix-grants', 'GET HEAD', '/_api/v2/prefix_grants', 'server_admin', 'none', 'couchgate', 'pooled', 'permissions', 'database-per-user.md#give-a-key-a-prefix'],
  ['prefix-grant-get', 'GET HEAD', '/_api/v2/prefix_grants/{id}', 'server_admin', 'none', 'couchgate', 'pooled', 'permissions', 'database-per-user.md#give-a-key-a-prefix'],
  ['prefix-grant-put', 'PUT', '/_api/v2/prefix_grants/{id}', 'server_admin', 'none', 'couchgate', 'pooled', 'permissions', 'database-per-user.md#give-a-key-a-prefix'],
  ['prefix-grant-revoke', 'DELETE', '/_api/v2/prefix_grants/{id}', 'server_admin', 'none', 'couchgate', 'pooled', 'permissions', 'database-per-user.md#give-a-key-a-prefix'],
  ['server-grants', 'GET HEAD', '/_api/v2/server_grants', 'server_admin', 'none', 'couchgate', 'pooled', 'permissions', 'monitoring.md'],
  ['server-grant-get', 'GET HEAD', '/_api/v2/server_grants/{principal}', 'server_admin', 'none', 'couchgate', 'pooled', 'permissions', 'monitoring.md'],
  ['server-grant-put', 'PUT', '/_api/v2/server_grants/{principal}', 'server_admin', 'none', 'couchgate', 'pooled', 'permissions', 'monitoring.md'],
  ['server-grant-revoke', 'DELETE', '/_api/v2/server_grants/{principal}', 'server_admin', 'none', 'couchgate', 'pooled', 'permissions', 'monitoring.md'],
  ['api-cors-get', 'GET HEAD', '/_api/v2/user/config/cors', 'server_admin', 'none', 'couchgate', 'pooled', 'configuration', 'https://cloud.ibm.com/apidocs/cloudant#getcorsinformation'],
  ['api-cors-put', 'PUT POST', '/_api/v2/user/config/cors', 'server_admin', 'none', 'couchgate', 'pooled', 'configuration', 'https://cloud.ibm.com/apidocs/cloudant#putcorsconfiguration'],
  ['api-cors-test', 'POST', '/_api/v2/cors/test', 'server_admin', 'none', 'couchgate', 'pooled', 'status', 'dashboard.md#pages'],
  ['api-addresses', 'GET HEAD', '/_api/v2/addresses', 'server_admin', 'none', 'couchgate', 'pooled', 'status', 'dashboard.md#pages'],
  ['api-addresses-test', 'POST', '/_api/v2/addresses/test', 'server_admin', 'none', 'couchgate', 'pooled', 'status', 'dashboard.md#pages'],
  ['api-cluster', 'GET HEAD', '/_api/v2/cluster', 'server_admin', 'none', 'couchgate', 'pooled', 'status', 'dashboard.md#pages'],
  ['api-cluster-check', 'GET HEAD', '/_api/v2/cluster/check', 'server_admin', 'none', 'couchgate', 'pooled', 'status', 'dashboard.md#pages'],
  ['backup-status', 'GET HEAD', '/_api/v2/backup', 'server_admin', 'none', 'couchgate', 'pooled', 'backup', 'backup.md#over-http'],
  ['backup-snapshots', 'GET HEAD', '/_api/v2/backup/snapshots', 'server_admin', 'none', 'couchgate', 'pooled', 'backup', 'backup.md#over-http'],
  ['backup-run', 'POST', '/_api/v2/backup/run', 'server_admin', 'none', 'couchgate', 'pooled', 'backup', 'backup.md#over-http'],
  ['backup-restore', 'POST', '/_api/v2/backup/restore', 'server_admin', 'none', 'couchgate', 'pooled', 'backup', 'backup.md#over-http'],
  ['backup-verify', 'POST', '/_api/v2/backup/verify', 'server_admin', 'none', 'couchgate', 'pooled', 'backup', 'backup.md#over-http'],
  ['backup-jobs', 'GET HEAD', '/_api/v2/backup/jobs', 'server_admin', 'none', 'couchgate', 'pooled', 'backup', 'backup.md#over-http'],
  ['backup-job', 'GET HEAD', '/_api/v2/backup/jobs/{job}', 'server_admin', 'none', 'couchgate', 'pooled', 'backup', 'backup.md#over-http'],
  ['backup-document', 'GET HEAD', '/_api/v2/backup/documents/{database}[/[_design/]{docid}]', 'server_admin', 'none', 'couchgate', 'pooled', 'backup', 'backup.md#over-http'],
  ['backup-document-restore', 'POST', '/_api/v2/backup/documents/{database}[/[_design/]{docid}/restore]', 'server_admin', 'none', 'couchgate', 'pooled', 'backup', 'backup.md#over-http'],
  ['api-log', 'GET HEAD', '/_api/v2/log', 'server_admin', 'none', 'couchgate', 'pooled', 'status', 'audit-log.md#over-http'],
  ['api-other', '*', '/_api/{anything*}', 'blocked api', 'none', 'couchgate', 'pooled', 'read', 'leaving-cloudant.md#endpoints'],
  ['dashboard', 'GET HEAD', '/_dashboard[/{path*}]', 'public', 'none', 'couchgate', 'pooled', 'status', 'dashboard.md'],
  ['dashboard-old', 'GET HEAD', '/dashboard.html', 'public', 'none', 'couchgate', 'pooled', 'status', 'dashboard.md'],
  ['legacy-generate-api-key', 'POST', '/api/generate_api_key', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'api-keys.md#create-and-manage-keys'],
  ['legacy-set-permissions', 'POST', '/api/set_permissions', '_security', 'dbadmin', 'couchgate', 'pooled', 'permissions', 'api-keys.md#the-deprecated-form'],
] as const satisfies readonly Row[];

type CatalogueRow =
  | (typeof SERVER)[number]
  | (typeof SYSTEM)[number]
  | (typeof DATABASE)[number]
  | (typeof PARTITION)[number]
  | (typeof DESIGN_DOCUMENT)[number]
  | (typeof LOCAL_DOCUMENT)[number]
  | (typeof DOCUMENT)[number]
  | (typeof ATTACHMENT)[number]
  | (typeof CLOUDANT)[number];

/** Id of an endpoint: the name of the operation in the access log. */
export type EndpointId = CatalogueRow[0];

/** Ids of the endpoints with this `servedBy` that are not blocked. */
type OpenIdOf<By extends ServedBy, Line = CatalogueRow, Methods = unknown> = Line extends readonly [
  infer Id,
  Methods,
  unknown,
  infer Permit,
  unknown,
  By,
  ...unknown[],
]
  ? Permit extends `blocked${string}`
    ? never
    : Id
  : never;

/** Endpoints that have a handler in answer/. admit/origin.ts answers a preflight before authorization. */
export type AnsweredId = Exclude<OpenIdOf<'couchgate'>, 'options-preflight'>;
/** Endpoints that have a guard in guard/. */
export type GuardedId = OpenIdOf<'guard'>;
type Ordinary = Exclude<CatalogueRow, (typeof SYSTEM)[number]>;
type MethodsWithBody = '*' | `${string}${'POST' | 'PUT' | 'PATCH'}${string}`;
/** Endpoints that CouchDB gets with a body. Those of SYSTEM have the bodies of the endpoints they replace. */
export type IdWithBody = OpenIdOf<'couchdb' | 'guard', Ordinary, MethodsWithBody>;

/** The endpoints of SYSTEM: classify/ applies them by database name, not by path. */
export const SYSTEM_ENDPOINTS: readonly Endpoint[] = parseEndpoints('server', SYSTEM);

/** All endpoints, in the order of docs/endpoints.md. */
export const ENDPOINTS: readonly Endpoint[] = Object.freeze([
  ...parseEndpoints('server', SERVER),
  ...SYSTEM_ENDPOINTS,
  ...parseEndpoints('db', DATABASE),
  ...parseEndpoints('partition', PARTITION),
  ...parseEndpoints('design', DESIGN_DOCUMENT),
  ...parseEndpoints('local', LOCAL_DOCUMENT),
  ...parseEndpoints('doc', DOCUMENT),
  ...parseEndpoints('attachment', ATTACHMENT),
  ...parseEndpoints('cloudant', CLOUDANT),
]);

const BY_ID = new Map<string, Endpoint>(ENDPOINTS.map((each) => [each.id, each]));
if (BY_ID.size !== ENDPOINTS.length) throw new Error('two endpoints of the catalogue have the same id');

/** Returns the endpoint with this id. */
export function endpoint(id: EndpointId): Endpoint {
  const found = BY_ID.get(id);
  if (found === undefined) throw new Error(`there is no endpoint ${id}`);
  return found;
}
