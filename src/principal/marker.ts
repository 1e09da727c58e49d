// The role strings that only Couchgate issues: one pair for each database (H5). Who is sent one is forward/identity's business.
import { createHash } from 'node:crypto';

/** No role or name of a client may begin with this: it would be taken for a marker. */
export const MARKER_PREFIX = 'couchgate-';

export interface Markers {
  /** In `members.roles` of the database: lets its bearer read and write documents. */
  readonly member: string;
  /** In `admins.roles` of the database: lets its bearer write design documents as well. */
  readonly dbadmin: string;
}

/** Pairs that are kept made; past that number all are made anew. */
const KEPT = 50_000;
const made = new Map<string, Markers>();

/**
 * The markers of a database. They are different for every database, so that a request that CouchDB routes to another database than
 * the one that was decided about carries a marker that opens nothing there (H5, H7).
 */
export function markersOf(database: string): Markers {
  const known = made.get(database);
  if (known !== undefined) return known;
  const digest = createHash('sha256').update(database).digest('hex').slice(0, 16);
  const markers = Object.freeze({
    member: `${MARKER_PREFIX}${digest}-member`,
    dbadmin: `${MARKER_PREFIX}${digest}-dbadmin`,
  });
  if (made.size >= KEPT) made.clear();
  made.set(database, markers);
  return markers;
}

/** True for every string that is, or could be taken for, a marker. */
export function isMarker(text: string): boolean {
  return text.startsWith(MARKER_PREFIX);
}
