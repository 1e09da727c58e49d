// Reads targets in absolute form, such as `http://host/db`, which a server must accept (RFC 9112 section
// 3.2.2).
import { type IncomingMessage } from 'node:http';
import { BadRequest } from '../http-errors.ts';

const SLASH = 47;
const PLAIN = 'http://';
const SECURE = 'https://';

/**
 * Returns the target without scheme and authority. The authority must be that of the Host header or of
 * `publicUrl`: CouchDB ignores it, but another proxy may use it. It replaces the Host header, so that later
 * steps read one host. Throws BadRequest for any other target, and for user information.
 */
export function originForm(req: IncomingMessage, raw: string, publicUrl: string): string {
  const scheme = schemeOf(raw);
  if (scheme === undefined) throw new BadRequest('The request target must begin with a slash.');
  const end = endOfAuthority(raw, scheme.length);
  const authority = raw.slice(scheme.length, end);
  if (authority.includes('@')) throw new BadRequest('The request target contains user information.');
  const host = withoutDefaultPort(authority, scheme);
  const own = withoutDefaultPort(req.headers.host ?? '', scheme);
  if (host === '' || (host !== own && host !== hostOf(publicUrl))) {
    throw new BadRequest('The request target names another host than the Host header.');
  }
  req.headers.host = authority;
  return raw.charCodeAt(end) === SLASH ? raw.slice(end) : `/${raw.slice(end)}`;
}

/** RFC 3986 section 3.1: a scheme may be written in capitals. */
function schemeOf(raw: string): typeof PLAIN | typeof SECURE | undefined {
  const start = raw.slice(0, SECURE.length).toLowerCase();
  if (start.startsWith(PLAIN)) return PLAIN;
  return start === SECURE ? SECURE : undefined;
}

function endOfAuthority(raw: string, from: number): number {
  let end = from;
  while (end < raw.length && !'/?#'.includes(raw.charAt(end))) end++;
  return end;
}

/** A host and port as they are compared: in lower case, without the port that the scheme implies. */
function withoutDefaultPort(authority: string, scheme: typeof PLAIN | typeof SECURE): string {
  const port = scheme === PLAIN ? ':80' : ':443';
  const host = authority.toLowerCase();
  return host.endsWith(port) ? host.slice(0, -port.length) : host;
}

function hostOf(publicUrl: string): string | undefined {
  return publicUrl === '' ? undefined : new URL(publicUrl).host;
}
