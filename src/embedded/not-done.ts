// Refuses with 501 the CouchDB features that the embedded node does not implement.
import { HttpError } from '../http-errors.ts';
import { type Exchange, type Methods } from './exchange.ts';

/** Methods of a path that all answer 501. `feature` names the missing feature in the error. */
export function notImplemented(feature: string): Methods<Exchange> {
  const refuse = (): never => {
    throw new HttpError(
      501,
      'not_implemented',
      `The embedded node does not support ${feature}; run Couchgate in front of CouchDB.`,
    );
  };
  return {
    allow: 'GET,HEAD,POST,PUT,DELETE',
    GET: refuse,
    POST: refuse,
    PUT: refuse,
    DELETE: refuse,
    COPY: refuse,
  };
}
