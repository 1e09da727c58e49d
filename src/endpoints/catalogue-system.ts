// Endpoints of the databases that CouchDB or Couchgate keep for themselves. They overlay the rows of an ordinary database: what is blocked there is blocked here.
import { endpointsOf, type Row } from './row.ts';

// prettier-ignore
const SERVER_ROWS: readonly Row[] = [
  ['users-create-delete', 'PUT DELETE', '/_users', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'intro/security.html'],
  ['users-any', '*', '/_users[/{rest*}]', 'server_admin', 'server_admin', 'guard', 'fresh', 'administer', 'intro/security.html'],
  ['replicator-create-delete', 'PUT DELETE', '/_replicator', 'server_admin', 'server_admin', 'couchdb', 'pooled', 'administer', 'replication/replicator.html'],
  ['replicator-all-docs-changes', 'GET HEAD POST', '/_replicator/(_all_docs|_changes)[/{rest*}]', 'server_admin', 'server_admin', 'couchdb', 'feed', 'replicate', 'replication/replicator.html'],
  ['replicator-read', 'GET HEAD', '/_replicator[/([(_design|_local)/]{doc_id}[/{att*}])]', '_reader _replicator', 'member', 'couchdb', 'fresh', 'replicate', 'replication/replicator.html'],
  ['replicator-write', 'POST PUT DELETE', '/_replicator[/({doc_id}|_bulk_docs)]', '_writer _replicator', 'member', 'guard', 'pooled', 'replicate', 'replication/replicator.html'],
  ['replicator-other', '*', '/_replicator/{rest*}', 'server_admin', 'server_admin', 'couchdb', 'fresh', 'replicate', 'replication/replicator.html'],
  ['prefixed-system-db', '*', '/{prefix}%2F(_replicator|_users)[/{rest*}]', 'server_admin', 'server_admin', 'couchdb', 'fresh', 'administer', 'replication/replicator.html'],
  ['store-database', '*', '/{store_database}[/{rest*}]', 'blocked', 'server_admin', 'couchgate', 'pooled', 'administer', 'api/database/common.html'],
  ['db-illegal-create', 'PUT', '/{illegal_name}', 'blocked name', 'none', 'couchgate', 'pooled', 'administer', 'api/database/common.html'],
  ['db-illegal-name', '*', '/{illegal_name}[/{rest*}]', 'blocked database', 'none', 'couchgate', 'pooled', 'read', 'api/database/common.html'],
];

export const SYSTEM_ENDPOINTS = [...endpointsOf('server', SERVER_ROWS)];
