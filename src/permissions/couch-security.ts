// Gets and sets the security object of one database at CouchDB. What is kept of it, and for how long, is security-store.ts's business.
import { type Couch } from '../couch/couch.ts';
import { HttpError, NotFound, Unavailable } from '../http-errors.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type Caller } from '../principal/principal.ts';
import { type StoredSecurity } from './security-document.ts';

/** The object as any one shard copy has it, out of the asker's share if there is one; `undefined` = the database does not exist. Throws `Unavailable`. */
export async function getSecurity(
  couch: Pick<Couch, 'ask'>,
  database: string,
  caller: Caller | undefined,
): Promise<StoredSecurity | undefined> {
  const share = caller === undefined ? {} : { caller: quotaKeyOf(caller) };
  const { status, body } = await couch.ask({ method: 'GET', path: pathOf(database), ...share });
  if (status === 404) return undefined;
  if (status !== 200) throw refusalOf(status, body);
  // Anything but an object is handed on as one that grants nothing.
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as StoredSecurity) : {};
}

/** Replaces the object on every shard. Throws 404 for a missing database, `Unavailable` when it may or may not have been replaced, or CouchDB's 400. */
export async function setSecurity(
  couch: Pick<Couch, 'ask'>,
  database: string,
  document: StoredSecurity,
): Promise<void> {
  const { status, body } = await couch.ask({ method: 'PUT', path: pathOf(database), body: document });
  if (status === 404) throw new NotFound('Database does not exist.');
  if (status !== 200) throw refusalOf(status, body);
}

/** A refusal of Couchgate itself is a fault of the set-up, never of the client's credentials. */
function refusalOf(status: number, body: unknown): HttpError {
  const { error, reason } = (body ?? {}) as { error?: unknown; reason?: unknown };
  if (
    status < 400 ||
    status === 401 ||
    status === 403 ||
    typeof error !== 'string' ||
    typeof reason !== 'string'
  ) {
    const detail = `CouchDB answered ${status}`;
    return new Unavailable('The permissions of this database cannot be had at present.', { detail });
  }
  return new HttpError(status, error, reason);
}

function pathOf(database: string): string {
  return `/${encodeURIComponent(database)}/_security`;
}
