// Lists the methods that CouchDB names when it refuses another one on a path (405).
import { type EndpointId } from './catalogue.ts';
import { METHODS, type Endpoint, type Method } from './endpoint.ts';

export const ATTACHMENT_METHODS = 'DELETE,GET,HEAD,PUT';

/** Endpoints on whose paths CouchDB looks for an attachment. */
export const READ_ATTACHMENTS: ReadonlySet<string> = new Set<EndpointId>([
  'att-get',
  'ddoc-att-get',
  'geo',
  'partition-ddoc-attachment',
]);

/**
 * CouchDB's own spelling and order, by the id of an endpoint of the path. It leaves out HEAD on many paths,
 * and serves it there. Paths that are not in the table name the methods of the catalogue.
 * Source: the calls of send_method_not_allowed in CouchDB 3.5. Pinned by test/conformance/refusals.test.ts.
 */
const COUCHDB_ALLOWS: Readonly<Record<string, string>> = {
  uuids: 'GET',
  'node-name': 'GET',
  'node-stats': 'GET',
  'node-system': 'GET',
  'node-prometheus': 'GET',
  'node-active-tasks': 'GET,HEAD',
  'node-versions': 'GET',
  'node-smoosh': 'GET',
  membership: 'GET',
  'db-updates': 'GET',
  'search-analyze': 'GET,POST',
  'db-info': 'DELETE,GET,HEAD,POST',
  changes: 'GET,POST,HEAD',
  'security-get': 'PUT,GET',
  'revs-limit-get': 'PUT,GET',
  'purged-infos': 'GET',
  'purged-infos-limit-get': 'GET,PUT',
  shards: 'GET',
  'index-list': 'GET,POST',
  'partition-info': 'GET',
  'partition-index-list': 'GET,POST',
  'partition-view': 'GET,POST,HEAD',
  'partition-search': 'GET,POST',
  'partition-ddoc-info': 'GET',
  'partition-show-list': 'GET,POST,HEAD',
  'ddoc-get': 'DELETE,GET,HEAD,POST,PUT,COPY',
  'ddoc-info': 'GET',
  view: 'GET,POST,HEAD',
  list: 'GET,POST,HEAD',
  search: 'GET,POST',
  'search-info': 'GET',
  nouveau: 'GET, POST',
  'nouveau-info': 'GET',
  'local-get': 'DELETE,GET,HEAD,POST,PUT,COPY',
  'doc-get': 'DELETE,GET,HEAD,POST,PUT,COPY',
} satisfies Partial<Record<EndpointId, string>>;

/** The value of Allow on the path of these endpoints; `served` = the methods that one of them has. */
export function allowedMethods(endpoints: readonly Endpoint[], served: ReadonlySet<Method>): string {
  for (const { id } of endpoints) {
    const named = READ_ATTACHMENTS.has(id) ? ATTACHMENT_METHODS : COUCHDB_ALLOWS[id];
    if (named !== undefined) return named;
  }
  return METHODS.filter((method) => served.has(method)).join(',');
}
