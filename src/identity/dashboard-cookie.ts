// Parses and formats the cookie of a dashboard session.
import { type IncomingHttpHeaders } from 'node:http';
import { type SessionCookie, readCookie } from './session-cookie.ts';

/**
 * The header that every request of the dashboard carries. A browser sends it in no navigation, form or image,
 * and for another origin only after a preflight.
 */
export const DASHBOARD_HEADER = 'x-couchgate-dashboard';

const NAME = 'couchgate_dashboard';

/** True if a script of the dashboard says that it has sent the request. Any page can say so. */
export function claimsDashboard(headers: IncomingHttpHeaders): boolean {
  return headers[DASHBOARD_HEADER] === '1';
}

/**
 * Creates the cookie for clients with TLS or without. With TLS its name begins with `__Host-`: no other host,
 * and no page of this host over plain HTTP, can set it (RFC 6265bis section 4.1.3.2). It ends with the
 * browser; the token ends earlier. It is Strict: a page of another site cannot even navigate with it.
 */
export function createDashboardCookie({ cookieSecure }: { readonly cookieSecure: string }): DashboardCookie {
  const always = cookieSecure === 'always';
  return {
    read: (header, secure) => readCookie(header, nameOf(secure || always)),
    write(token, secure) {
      const isMarked = secure || always;
      const end = token === '' ? '; Max-Age=0' : '';
      return `${nameOf(isMarked)}=${token}${end}; Path=/; HttpOnly${isMarked ? '; Secure' : ''}; SameSite=Strict`;
    },
  };
}

/** `secure` = the connection of the client uses TLS. */
export interface DashboardCookie {
  /** Returns the token from a Cookie header; `undefined` = no cookie, or an empty one. */
  read(header: string | undefined, secure: boolean): string | undefined;
  /** Formats the Set-Cookie header. An empty token clears the cookie. */
  write: SessionCookie['write'];
}

function nameOf(isMarked: boolean): string {
  return isMarked ? `__Host-${NAME}` : NAME;
}
