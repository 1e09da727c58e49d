// Names the endpoints that the server role `_monitor` opens: numbers about the cluster, and nothing else.
import { type EndpointId } from './catalogue.ts';
import { type Privilege } from './endpoint.ts';

/**
 * The privilege with which CouchDB gets the request of a monitor. `metrics` = the role `_metrics`, with which
 * CouchDB answers these endpoints only. `server_admin` = CouchDB has no lesser one for the endpoint.
 * `database` = a marker of the database where it has markers, so that nothing else is in reach; else
 * `server_admin`. All of these endpoints are GET and HEAD, none reads a document, a body or a function.
 * https://docs.couchdb.org/en/stable/api/server/common.html
 */
const MONITORED = new Map<EndpointId, Privilege | 'database'>([
  ['active-tasks', 'server_admin'],
  ['scheduler-jobs', 'server_admin'],
  ['scheduler-docs', 'server_admin'],
  ['membership', 'server_admin'],
  ['node-name', 'server_admin'],
  ['node-versions', 'server_admin'],
  ['node-active-tasks', 'server_admin'],
  ['node-stats', 'metrics'],
  ['node-system', 'metrics'],
  ['node-prometheus', 'metrics'],
  ['db-info', 'database'],
  ['ddoc-info', 'database'],
]);

/** The privilege of an endpoint for monitors; `undefined` = closed to them. */
export function monitorPrivilege(endpoint: { readonly id: string }): Privilege | 'database' | undefined {
  return (MONITORED as ReadonlyMap<string, Privilege | 'database'>).get(endpoint.id);
}
