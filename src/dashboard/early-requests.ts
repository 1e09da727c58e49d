// Sends the first requests of a page together with that for the session, and not after it.
import { type QueryClient } from '@tanstack/react-query';
import { databasesQuery, permissionsQuery } from './queries.ts';
import { parseRoute } from './router.ts';

/**
 * Reads what the page of the address will ask for. The server decides by the session of each request, as
 * always; the page asks again for what was refused.
 */
export function requestEarly(queries: QueryClient): void {
  const [first = 'databases', name, view = 'permissions'] = parseRoute(location.hash).segments;
  if (first !== 'databases') return;
  if (name === undefined) queries.query(databasesQuery).catch(() => undefined);
  else if (view === 'permissions') queries.query(permissionsQuery(name)).catch(() => undefined);
}

/** Says only that somebody has signed in with this browser and not signed out: nothing is decided by it. */
const MARK = 'couchgate-dashboard-open';

/** True if there is probably a session; without one, early requests would be refused ones in the log. */
export function hasProbablySession(): boolean {
  try {
    return localStorage.getItem(MARK) !== null;
  } catch {
    return false;
  }
}

export function rememberSession(isOpen: boolean): void {
  try {
    if (isOpen) localStorage.setItem(MARK, '1');
    else localStorage.removeItem(MARK);
  } catch {
    // A browser that stores nothing starts later.
  }
}
