// Endpoints of local documents, documents and attachments.
import { DESIGN, LOCAL, ORDINARY } from './document-id.ts';
import { endpointsOf, type Row } from './row.ts';

// prettier-ignore
const LOCAL_ROWS: readonly Row[] = [
  ['local-get', 'GET HEAD', '/{db}/_local/{id}', '_reader _replicator', 'member', 'couchdb', 'pooled', 'read', 'api/local.html'],
  ['local-put', 'PUT', '/{db}/_local/{id}', '_writer _replicator', 'member', 'couchdb', 'pooled', 'write', 'api/local.html'],
  ['local-delete', 'DELETE', '/{db}/_local/{id}', '_writer _replicator', 'member', 'couchdb', 'pooled', 'write', 'api/local.html'],
  ['local-post-form', 'POST', '/{db}/_local/{id}', '_writer _replicator', 'member', 'couchdb', 'pooled', 'write', 'api/local.html'],
  ['local-copy', 'COPY', '/{db}/_local/{id}', '_reader+_writer _replicator+_writer', 'member', 'couchdb', 'pooled', 'write', 'api/local.html', { by: 'destination', ids: ORDINARY }],
  ['local-copy-to-local', 'COPY', '/{db}/_local/{id}', '_reader+_writer _replicator', 'member', 'couchdb', 'pooled', 'write', 'api/local.html', { by: 'destination', ids: LOCAL }],
  ['local-copy-to-design', 'COPY', '/{db}/_local/{id}', '_reader+_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/local.html', { by: 'destination', ids: DESIGN }],
  ['local-attachment', '*', '/{db}/_local/{id}/{att*}', 'blocked attachment', 'member', 'couchgate', 'pooled', 'read', 'api/local.html'],
  ['local-internal', '*', '/{db}/_local/(purge-|shard-sync-){anything}', 'blocked', 'none', 'couchgate', 'pooled', 'administer', 'api/local.html'],
];

// prettier-ignore
const DOC_ROWS: readonly Row[] = [
  ['doc-get', 'GET HEAD', '/{db}/{doc_id}', '_reader _replicator', 'member', 'couchdb', 'pooled', 'read', 'api/document/common.html'],
  ['doc-put', 'PUT', '/{db}/{doc_id}', '_writer', 'member', 'couchdb', 'pooled', 'write', 'api/document/common.html'],
  ['doc-delete', 'DELETE', '/{db}/{doc_id}', '_writer', 'member', 'couchdb', 'pooled', 'write', 'api/document/common.html'],
  ['doc-post-form', 'POST', '/{db}/{doc_id}', '_writer', 'member', 'couchdb', 'pooled', 'write', 'api/document/common.html'],
  ['doc-copy', 'COPY', '/{db}/{doc_id}', '_reader+_writer _replicator+_writer', 'member', 'couchdb', 'pooled', 'write', 'api/document/common.html', { by: 'destination', ids: ORDINARY | LOCAL }],
  ['doc-copy-to-design', 'COPY', '/{db}/{doc_id}', '_reader+_design _replicator+_design', 'dbadmin', 'couchdb', 'pooled', 'design', 'api/document/common.html', { by: 'destination', ids: DESIGN }],
];

// prettier-ignore
const ATTACHMENT_ROWS: readonly Row[] = [
  ['att-get', 'GET HEAD', '/{db}/{doc_id}/{att*}', '_reader _replicator', 'member', 'couchdb', 'fresh', 'read', 'api/document/attachments.html'],
  ['att-put', 'PUT', '/{db}/{doc_id}/{att*}', '_writer', 'member', 'couchdb', 'fresh', 'write', 'api/document/attachments.html'],
  ['att-delete', 'DELETE', '/{db}/{doc_id}/{att*}', '_writer', 'member', 'couchdb', 'pooled', 'write', 'api/document/attachments.html'],
];

export const DOCUMENT_ENDPOINTS = [
  ...endpointsOf('local', LOCAL_ROWS),
  ...endpointsOf('doc', DOC_ROWS),
  ...endpointsOf('attachment', ATTACHMENT_ROWS),
];
