// Decides which 401 responses ask for Basic credentials.
import { type IncomingHttpHeaders } from 'node:http';
import { DASHBOARD_HEADER } from '../identity/dashboard-cookie.ts';

/** Header of such a response. RFC 9110 section 11.6.1; the scheme is in RFC 7617. */
export const CHALLENGE: readonly [string, string] = ['WWW-Authenticate', 'Basic realm="couchgate"'];

const SENT_BY_PAGES = ['origin', 'x-requested-with', DASHBOARD_HEADER] as const;

/**
 * False for a browser and for a script in one. A browser that gets the challenge shows a dialog, and
 * afterwards sends the credentials with every request, those that foreign pages cause included.
 */
export function mayBeChallenged(headers: IncomingHttpHeaders): boolean {
  if (headers['user-agent']?.startsWith('Mozilla/') === true) return false;
  for (const name of SENT_BY_PAGES) if (headers[name] !== undefined) return false;
  for (const name in headers) if (name.startsWith('sec-fetch-')) return false;
  return true;
}
