// Defines the markers: roles that only Couchgate issues, one pair per database (H5).
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';

/** No role or name of a client may start with this prefix. */
export const MARKER_PREFIX = 'couchgate-';

export interface Markers {
  /** In `members.roles` of the database: its holder may read and write documents. */
  readonly member: string;
  /** In `admins.roles` of the database: its holder may also write design documents. */
  readonly dbadmin: string;
}

/** Saves the digest for the databases in use. */
const cached = new LRUCache<string, Markers>({ max: 50_000 });

/**
 * Returns the markers of a database. They differ per database: if CouchDB routes a request to another
 * database than Couchgate decided on, its marker grants nothing there (H5, H7).
 */
export function markersOf(database: string): Markers {
  const known = cached.get(database);
  if (known !== undefined) return known;
  const digest = createHash('sha256').update(database).digest('hex').slice(0, 16);
  const markers = Object.freeze({
    member: `${MARKER_PREFIX}${digest}-member`,
    dbadmin: `${MARKER_PREFIX}${digest}-dbadmin`,
  });
  cached.set(database, markers);
  return markers;
}

/** True for every string that is a marker or could be taken for one. */
export function isMarker(text: string): boolean {
  return text.startsWith(MARKER_PREFIX);
}
