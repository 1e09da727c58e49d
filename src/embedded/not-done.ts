// Refuses with 501 what CouchDB does and the embedded node does not, and says what that is.
import { HttpError } from '../http-errors.ts';
import { type Exchange, type Methods } from './exchange.ts';

/** Methods that all answer 501. */
export function notDone(what: string): Methods<Exchange> {
  const refuse = (): never => {
    throw new HttpError(
      501,
      'not_implemented',
      `The embedded node does not do ${what}; run Couchgate in front of CouchDB.`,
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
