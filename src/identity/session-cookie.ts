// Parses and formats the AuthSession cookie.

export interface CookieRules {
  readonly sessionTimeoutSeconds: number;
  readonly cookieSameSite: string;
  readonly cookieSecure: string;
  readonly now?: () => number;
}

export interface SessionCookie {
  /** Returns the token from a Cookie header; `undefined` = no cookie, or an empty one. */
  read(header: string | undefined): string | undefined;
  /**
   * Formats the Set-Cookie header. `secure` = the client's connection uses TLS. An empty token clears the
   * cookie.
   */
  write(token: string, secure: boolean): string;
}

const NAME = 'AuthSession';
const SAME_SITE: Readonly<Record<string, string>> = { lax: 'Lax', strict: 'Strict', none: 'None' };

/**
 * Creates the cookie with CouchDB's attributes in CouchDB's order. Some clients parse Max-Age only if an
 * attribute follows, so it is never the last.
 * Source: docs.couchdb.org/en/stable/api/server/authn.html#cookie-authentication
 */
export function createSessionCookie(rules: CookieRules): SessionCookie {
  const now = rules.now ?? Date.now;
  const seconds = rules.sessionTimeoutSeconds;
  return {
    read: (header) => readCookie(header, NAME),
    write(token, secure) {
      const marked = secure || rules.cookieSecure === 'always';
      // Browsers reject a cookie with SameSite=None but without Secure.
      const sameSite =
        rules.cookieSameSite === 'none' && !marked ? undefined : SAME_SITE[rules.cookieSameSite];
      const expires = dateOf(now() + seconds * 1000);
      return (
        `${NAME}=${token}; Version=1; Expires=${expires}; Max-Age=${seconds}; Path=/; HttpOnly` +
        `${marked ? '; Secure' : ''}${sameSite === undefined ? '' : `; SameSite=${sameSite}`}`
      );
    },
  };
}

/**
 * Returns the value of a cookie; `undefined` = absent or empty. The first cookie with the name counts, as in
 * CouchDB. Browsers send the cookie with the longest path first (RFC 6265 section 5.4).
 */
export function readCookie(header: string | undefined, name: string): string | undefined {
  if (header === undefined || !header.includes(name)) return undefined;
  for (let start = 0; start < header.length;) {
    const semicolon = header.indexOf(';', start);
    const end = semicolon === -1 ? header.length : semicolon;
    // Not searched in the header: without an equals sign, each pair would cost the rest of it.
    const pair = header.slice(start, end);
    const equals = pair.indexOf('=');
    if (equals !== -1 && pair.slice(0, equals).trim() === name) {
      const value = unquoted(pair.slice(equals + 1).trim());
      return value === '' ? undefined : value;
    }
    start = end + 1;
  }
  return undefined;
}

function unquoted(value: string): string {
  return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}

/** Date format of CouchDB's cookies, with dashes: `Sat, 21-Nov-2026 22:59:29 GMT`. */
function dateOf(milliseconds: number): string {
  const text = new Date(milliseconds).toUTCString();
  return `${text.slice(0, 7)}-${text.slice(8, 11)}-${text.slice(12)}`;
}
