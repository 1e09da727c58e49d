// Refuses GET /_up while Couchgate cannot serve; otherwise a CouchDB node answers.
import { MaintenanceMode, Unavailable } from '../http-errors.ts';
import { type Guard } from './index.ts';

export interface UpDeps {
  readonly isDraining: () => boolean;
  /** True while at least one node can be asked and the store of API keys is known. */
  readonly canServe: () => boolean;
}

/**
 * 404 while draining, in CouchDB's words for a node in maintenance, which load balancers in front of CouchDB know as "send nobody here";
 * 503 while no node can be asked. Source: docs.couchdb.org/en/stable/api/server/common.html#up
 */
export function guardUp({ isDraining, canServe }: UpDeps): Guard {
  return () => {
    if (isDraining()) throw new MaintenanceMode();
    if (!canServe()) throw new Unavailable('No CouchDB node can be asked at present.');
    return undefined;
  };
}
