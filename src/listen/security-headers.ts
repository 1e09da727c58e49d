// Sets security headers: a few on every response, the full set of helmet on pages.
import { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import helmet from 'helmet';
import { contextOf } from '../context.ts';

/**
 * Policy of the dashboard. Its styles are files, and it creates no markup from text, so no policy of trusted
 * types is needed. Source: docs/dashboard.md.
 */
const DASHBOARD_POLICY = {
  useDefaults: false,
  directives: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    connectSrc: ["'self'"],
    imgSrc: ["'self'", 'data:'],
    frameAncestors: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'self'"],
    requireTrustedTypesFor: ["'script'"],
    trustedTypes: ["'none'"],
  },
};

export interface SecurityHeaderSettings {
  /** max-age of Strict-Transport-Security on responses of this listener; 0 = no header. */
  readonly hstsSeconds: number;
  /** True for the listener that serves the dashboard alone. */
  readonly isForDashboard?: boolean;
}

/**
 * Policy for Fauxton, which compiles templates and loads data: URLs. Source: CouchDB manual, `[csp]
 * utils_header_value`.
 */
const PAGE_POLICY = {
  useDefaults: false,
  directives: {
    defaultSrc: ["'self'"],
    childSrc: ["'self'", 'blob:'],
    imgSrc: ["'self'", 'data:'],
    fontSrc: ["'self'"],
    scriptSrc: ["'self'", "'unsafe-eval'"],
    styleSrc: ["'self'", "'unsafe-inline'"],
    objectSrc: ["'none'"],
    frameAncestors: ["'none'"],
    baseUri: ["'self'"],
    formAction: ["'self'"],
  },
};

/**
 * Gives every response `nosniff` (an attachment never runs as a script) and, over TLS, HSTS. Helmet on every
 * response costs a third of the throughput, and most of its headers concern only pages. Pages get the full
 * set, which is computed once; listen/messages.ts adds it by the endpoint that was classified.
 */
export function withSecurityHeaders(
  settings: SecurityHeaderSettings,
  next: RequestListener,
): RequestListener {
  const { hstsSeconds, isForDashboard = false } = settings;
  const hsts = hstsSeconds > 0 ? `max-age=${hstsSeconds}; includeSubDomains` : undefined;
  const pageHeaders = {
    couchdb: helmetHeaders(PAGE_POLICY),
    dashboard: helmetHeaders(DASHBOARD_POLICY),
  };
  return function setSecurityHeaders(req: IncomingMessage, res: ServerResponse): void {
    const context = contextOf(req);
    context.answerHeaders.push('X-Content-Type-Options', 'nosniff');
    if (hsts !== undefined) context.answerHeaders.push('Strict-Transport-Security', hsts);
    context.pageHeaders = pageHeaders;
    context.isOnDashboardListener = isForDashboard;
    next(req, res);
  };
}

/** Helmet's headers for a page, name and value in turn, without those that every response has. */
function helmetHeaders(
  contentSecurityPolicy: typeof PAGE_POLICY | typeof DASHBOARD_POLICY,
): readonly string[] {
  const set = helmet({
    contentSecurityPolicy,
    strictTransportSecurity: false,
    xContentTypeOptions: false,
    xFrameOptions: { action: 'deny' },
  });
  const headers: string[] = [];
  const response = {
    setHeader: (name: string, value: string) => headers.push(name, value),
    removeHeader: () => undefined,
  };
  set({} as never, response as never, () => undefined);
  return headers;
}
