// Reads and writes the security object of one database in CouchDB.
import { type Couch } from '../couch/couch.ts';
import { securityPath } from '../couch/document-path.ts';
import { HttpError, NotFound, Unavailable } from '../http-errors.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type Caller } from '../principal/principal.ts';
import { type StoredSecurity } from './security-document.ts';

/**
 * Reads the security object; CouchDB answers from any one shard copy. `undefined` = no such database. The
 * read is charged to the caller's quota, or to none without a caller. `node` = URL of the only node to ask.
 * Throws `Unavailable`, or CouchDB's 4xx.
 * https://docs.couchdb.org/en/stable/api/database/security.html
 */
export async function getSecurity(
  couch: Pick<Couch, 'ask'>,
  database: string,
  caller: Caller | undefined,
  node?: string,
): Promise<StoredSecurity | undefined> {
  const quota = caller === undefined ? {} : { caller: quotaKeyOf(caller) };
  const only = node === undefined ? {} : { node };
  const request = { method: 'GET', path: securityPath(database), exact: true, ...quota, ...only } as const;
  const { status, body } = await couch.ask(request);
  if (status === 404) return undefined;
  if (status !== 200) throw errorOf(status, body);
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw notAvailable('the security object is no JSON object');
  return body as StoredSecurity;
}

/**
 * Replaces the security object on every shard. Throws `NotFound` for a missing database, CouchDB's 400, or
 * `Unavailable`; after `Unavailable` the object may or may not have been replaced.
 */
export async function setSecurity(
  couch: Pick<Couch, 'ask'>,
  database: string,
  document: StoredSecurity,
): Promise<void> {
  const { status, body } = await couch.ask({ method: 'PUT', path: securityPath(database), body: document });
  if (status === 404) throw new NotFound('Database does not exist.');
  if (status !== 200) throw errorOf(status, body);
}

/**
 * CouchDB's 401 and 403 concern Couchgate's own credentials, not the client's, so they become `Unavailable`.
 */
function errorOf(status: number, body: unknown): HttpError {
  const { error, reason } = (body ?? {}) as { error?: unknown; reason?: unknown };
  if (
    status < 400 ||
    status === 401 ||
    status === 403 ||
    typeof error !== 'string' ||
    typeof reason !== 'string'
  ) {
    return notAvailable(`CouchDB answered ${status}`);
  }
  return new HttpError(status, error, reason);
}

function notAvailable(detail: string): Unavailable {
  return new Unavailable('The permissions of this database are not available at present.', { detail });
}
