// Answers GET /_up for Couchgate itself where it cannot serve; while it can, the answer is a CouchDB node's.
import { Unavailable } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { type Handler } from './index.ts';

export interface UpNeeds {
  readonly isDraining: () => boolean;
  /** True while at least one node can be asked and the store of API keys is known. */
  readonly canServe: () => boolean;
}

/**
 * 404 while draining, in CouchDB's words for a node in maintenance, which load balancers in front of CouchDB know as "send nobody here";
 * 503 while no node can be asked. Source: docs.couchdb.org/en/stable/api/server/common.html#up
 */
export function answerUp({ isDraining, canServe }: UpNeeds): Handler {
  return (_req, res, next) => {
    if (isDraining()) sendJson(res, 404, { status: 'maintenance_mode' });
    else if (canServe()) next();
    else next(new Unavailable('No CouchDB node can be asked at present.'));
  };
}
