// Guard of GET /_up: refuses it while Couchgate cannot serve. Otherwise a CouchDB node answers.
import { MaintenanceMode, Unavailable } from '../http-errors.ts';
import { type Guard } from './index.ts';

export interface UpDeps {
  readonly isDraining: () => boolean;
  /** True while at least one node accepts requests, as for `/readyz`. */
  readonly canServe: () => boolean;
}

/**
 * Creates the guard. While draining, it throws 404, as a CouchDB node in maintenance mode answers. Load
 * balancers then send no more requests. It throws 503 while no node is available.
 * Source: docs.couchdb.org/en/stable/api/server/common.html#up
 */
export function guardUp({ isDraining, canServe }: UpDeps): Guard {
  return () => {
    if (isDraining()) throw new MaintenanceMode();
    if (!canServe()) throw new Unavailable('No CouchDB node is available at present.');
    return undefined;
  };
}
