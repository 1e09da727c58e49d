// Gets and sets the security object of one database at CouchDB. What is kept of it, and for how long, is security-store.ts's business.
import { type Couch } from '../couch/couch.ts';
import { BadGateway, HttpError, NotFound, Unavailable } from '../http-errors.ts';
import { type StoredSecurity } from './security-document.ts';

/** Who asks CouchDB: with these headers the caller itself, else Couchgate. */
export type AskedAs = Readonly<Record<string, string>> | undefined;

/** The object as any one shard copy has it; `undefined` = the database does not exist. Throws `Unavailable`, or CouchDB's refusal of the caller. */
export async function getSecurity(
  couch: Pick<Couch, 'ask'>,
  database: string,
  as?: AskedAs,
): Promise<StoredSecurity | undefined> {
  const { status, body } = await couch.ask({ method: 'GET', path: pathOf(database), ...headersOf(as) });
  if (status === 404) return undefined;
  if (status !== 200) throw refusalOf(status, body, as);
  // Anything but an object is handed on as one that grants nothing.
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as StoredSecurity) : {};
}

/** Replaces the object on every shard. Throws 404 for a missing database, `Unavailable` when it may or may not have been replaced, or CouchDB's refusal of the caller. */
export async function setSecurity(
  couch: Pick<Couch, 'ask'>,
  database: string,
  document: StoredSecurity,
  as?: AskedAs,
): Promise<void> {
  const request = { method: 'PUT', path: pathOf(database), body: document, ...headersOf(as) } as const;
  const { status, body } = await couch.ask(request);
  if (status === 404) throw new NotFound('Database does not exist.');
  if (status !== 200) throw refusalOf(status, body, as);
}

/** A caller gets CouchDB's own words. A refusal of Couchgate itself is a fault of the set-up, never the client's credentials. */
function refusalOf(status: number, body: unknown, as: AskedAs): HttpError {
  const { error, reason } = (body ?? {}) as { error?: unknown; reason?: unknown };
  if (as === undefined && (status === 401 || status === 403)) {
    const detail = `CouchDB refused Couchgate itself with ${status}`;
    return new Unavailable('The permissions of this database cannot be had at present.', { detail });
  }
  if (status < 400 || typeof error !== 'string' || typeof reason !== 'string') {
    return new BadGateway(
      'CouchDB gave an answer about permissions that cannot be read.',
      `status ${status}`,
    );
  }
  return new HttpError(status, error, reason);
}

function headersOf(as: AskedAs): { headers?: Readonly<Record<string, string>> } {
  return as === undefined ? {} : { headers: as };
}

function pathOf(database: string): string {
  return `/${encodeURIComponent(database)}/_security`;
}
