// Sets security headers: a few on every response, the full set of helmet on pages.
import { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import helmet from 'helmet';
import { contextOf } from '../context.ts';

export interface SecurityHeaderSettings {
  /** max-age of Strict-Transport-Security on responses of this listener; 0 = no header. */
  readonly hstsSeconds: number;
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
 * Sets the headers before it calls `next`. Helmet on every response costs a third of the throughput, and most
 * of its headers concern only pages. Other responses get `nosniff` (an attachment never runs as a script)
 * and, over TLS, HSTS.
 */
export function withSecurityHeaders(
  settings: SecurityHeaderSettings,
  next: RequestListener,
): RequestListener {
  const { hstsSeconds } = settings;
  const hsts = hstsSeconds > 0 ? `max-age=${hstsSeconds}; includeSubDomains` : undefined;
  const securePage = helmet({
    contentSecurityPolicy: PAGE_POLICY,
    strictTransportSecurity: hstsSeconds > 0 && { maxAge: hstsSeconds },
    xFrameOptions: { action: 'deny' },
  });
  return function setSecurityHeaders(req: IncomingMessage, res: ServerResponse): void {
    // This check of the raw target selects headers only; the pipeline decides what is served.
    if (req.url?.startsWith('/_utils') === true) {
      securePage(req, res, () => next(req, res));
      return;
    }
    const { answerHeaders } = contextOf(req);
    answerHeaders.push('X-Content-Type-Options', 'nosniff');
    if (hsts !== undefined) answerHeaders.push('Strict-Transport-Security', hsts);
    next(req, res);
  };
}
