// Recognises writes that a page of another origin sends with the credentials of the person who opened it
// (H22).
import { type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { type CorsRule, type CorsSettings } from '../config/cors-rule.ts';
import { type ClientAddress } from '../context.ts';
import { DASHBOARD_HEADER } from '../identity/dashboard-cookie.ts';

export interface OwnOrigin {
  /** URL under which clients reach Couchgate; empty = the Host header of each request. */
  readonly publicUrl: string;
}

/**
 * True if the request is a write from a foreign page that CORS does not allow, or a request of the dashboard
 * from anywhere but a script of the own origin.
 */
export type ForeignWriteRule = (req: IncomingMessage, client: ClientAddress | undefined) => boolean;

/**
 * Builds the rule. Browsers send forms without a preflight, but with cookies and stored passwords.
 * `Sec-Fetch-Site` decides if it is present. Browsers send it only to secure origins and localhost, so
 * otherwise `Origin` decides, then `Referer`. No current browser sends a write without all three.
 * Sources: W3C, "Fetch Metadata Request Headers"; Fetch standard, "append a request Origin header".
 */
export function foreignWriteRule(
  { allowCredentials }: CorsSettings,
  cors: CorsRule,
  { publicUrl }: OwnOrigin,
): ForeignWriteRule {
  const publicOrigin = publicUrl === '' ? undefined : new URL(publicUrl).origin;
  const isAllowed = (origin: string, { headers, method }: IncomingMessage): boolean =>
    cors.judge(origin).allow && (allowCredentials || !mayCarryStoredCredentials(method, headers));
  return (req, client) => {
    const { method, headers } = req;
    if (headers[DASHBOARD_HEADER] !== undefined) return isForeignToDashboard(headers, publicOrigin, client);
    if (method === 'GET' || method === 'HEAD') return false;
    const { origin, referer } = headers;
    const site = headers['sec-fetch-site'];
    if (site !== undefined) {
      if (site === 'same-origin' || site === 'none') return false;
      return origin === undefined || !isAllowed(origin, req);
    }
    // Some proxies blank the Referer instead of removing it.
    const source = origin ?? (referer === '' ? undefined : referer);
    if (source === undefined) return false;
    const sender = webUrl(source);
    const isOrigin = origin === undefined || (sender !== undefined && isBare(sender));
    if (sender !== undefined && isOrigin && isOwn(sender, publicOrigin, headers.host, client)) return false;
    return !isAllowed(origin ?? sender?.origin ?? source, req);
  };
}

/**
 * True if a request with the header of the dashboard comes from elsewhere than a script of the own origin:
 * from another page, reads included and whatever CORS allows, or from a navigation. A script of another
 * origin cannot leave `Origin` out, because the header needs CORS (Fetch standard, "HTTP-network-or-cache
 * fetch").
 */
function isForeignToDashboard(
  headers: IncomingHttpHeaders,
  publicOrigin: string | undefined,
  client: ClientAddress | undefined,
): boolean {
  const { origin, host } = headers;
  const { 'sec-fetch-site': site, 'sec-fetch-dest': destination } = headers;
  if (site !== undefined && site !== 'same-origin') return true;
  if (destination !== undefined && destination !== 'empty') return true;
  if (origin === undefined) return false;
  const sender = webUrl(origin);
  return sender === undefined || !isBare(sender) || !isOwn(sender, publicOrigin, host, client);
}

/** The URL of an Origin or Referer; undefined for `null`, lists, and schemes other than http and https. */
function webUrl(source: string): URL | undefined {
  const url = parseUrl(source);
  return url?.protocol === 'http:' || url?.protocol === 'https:' ? url : undefined;
}

function isOwn(
  sender: URL,
  publicOrigin: string | undefined,
  host: string | undefined,
  client: ClientAddress | undefined,
): boolean {
  if (publicOrigin !== undefined) return sender.origin === publicOrigin;
  if (client?.schemeKnown === true && client.secure !== (sender.protocol === 'https:')) return false;
  // Parsed with the sender's scheme, so that its default port may be written or left out.
  const own = host === undefined || host === '' ? undefined : parseUrl(`${sender.protocol}//${host}`);
  return own?.host === sender.host && isBare(own);
}

/** True if the URL has a host and nothing else. */
function isBare({ username, password, pathname, search, hash }: URL): boolean {
  return username + password + search + hash === '' && pathname === '/';
}

/**
 * True for a cookie, and for Basic credentials in a request that needs no preflight: there the browser may
 * have added a stored password. Source: Fetch standard, "CORS-safelisted method" and "request-header".
 */
function mayCarryStoredCredentials(method: string | undefined, headers: IncomingHttpHeaders): boolean {
  if (headers.cookie !== undefined) return true;
  return headers.authorization !== undefined && method === 'POST' && isSimpleType(headers['content-type']);
}

const SIMPLE_TYPES = ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain'];

function isSimpleType(type: string | undefined): boolean {
  const essence = (type ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  return essence === '' || SIMPLE_TYPES.includes(essence);
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}
