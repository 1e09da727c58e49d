// Security headers: the few that every answer carries, and helmet's full set for pages. The only place that knows helmet.
import { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import helmet from 'helmet';
import { contextOf } from '../context.ts';

export interface SecurityHeaderSettings {
  /** Strict-Transport-Security on answers of this listener; 0 = none. */
  readonly hstsSeconds: number;
}

/** What CouchDB's own pages (Fauxton) need: they compile templates and draw from data: URLs. Source: CouchDB manual, `[csp] utils_header_value`. */
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
 * Sets the headers before `next` sees the request. Helmet on every answer costs a third of the throughput, and most of it means something for
 * pages only; so the data path gets `nosniff` (an attachment is never taken for a script) and, over TLS, HSTS.
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
    // Only the headers depend on this look at the raw target; what is served is decided by the steps.
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
