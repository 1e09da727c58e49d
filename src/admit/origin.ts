// Answers CORS preflights, adds CORS headers to responses, and refuses writes from foreign pages.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type RequestHandler } from 'express';
import {
  corsRule,
  CORS_METHODS,
  judgePreflight,
  type CorsRule,
  type CorsSettings,
} from '../config/cors-rule.ts';
import { type Context, contextOf } from '../context.ts';
import { Forbidden } from '../http-errors.ts';

/** Reloadable settings. A reload replaces the object. */
export interface LiveCorsSettings {
  readonly current: CorsSettings;
}

/**
 * Response headers that browsers show to pages of another origin. Source: CouchDB's chttpd_cors.erl, and the
 * headers that PouchDB and the Cloudant SDKs use.
 */
const EXPOSED = [
  'Accept-Ranges',
  'Cache-Control',
  'Content-Encoding',
  'Content-Length',
  'Content-Range',
  'Content-Type',
  'Date',
  'ETag',
  'Expires',
  'Last-Modified',
  'Location',
  'Retry-After',
  'X-Couch-Request-ID',
  'X-Couch-Id',
  'X-Couch-Update-NewRev',
  'X-CouchDB-Body-Time',
].join(', ');

const METHODS = CORS_METHODS.join(', ');
/** Short, so that a change of the rules takes effect soon; CouchDB's default. */
const MAX_AGE_SECONDS = '600';

interface CurrentRule {
  readonly settings: CorsSettings;
  readonly rule: CorsRule;
  /**
   * True if responses depend on the Origin header. Then every response needs `Vary: Origin`, also if the
   * request has no Origin.
   */
  readonly varies: boolean;
}

function currentRule(settings: CorsSettings): CurrentRule {
  return {
    settings,
    rule: corsRule(settings),
    varies: settings.enableCors && !settings.origins.includes('*'),
  };
}

/**
 * Makes the step that answers every OPTIONS request without authentication: browsers send no credentials with
 * it, and CouchDB must not receive it (H8, H15).
 * It adds the CORS headers to other responses. Forwarding removes those of CouchDB, so there is exactly one
 * set.
 */
export function answerPreflight(live: LiveCorsSettings): RequestHandler {
  let cors = currentRule(live.current);
  return function answerPreflightStep(req, res, next) {
    if (live.current !== cors.settings) cors = currentRule(live.current);
    if (cors.varies) contextOf(req).setAnswerHeader('Vary', 'Origin');
    const { origin } = req.headers;
    if (req.method === 'OPTIONS') {
      contextOf(req).outcome.isPreflight = true;
      const refused = answerOptions(cors, req, res, origin);
      if (refused !== undefined) next(new Forbidden(refused));
      return;
    }
    if (isForeignWrite(cors, req)) {
      contextOf(req).outcome.refuse('foreign page');
      next(new Forbidden('Pages of this origin may not send this request.'));
      return;
    }
    if (origin !== undefined && cors.settings.enableCors) markAnswer(cors, contextOf(req), origin);
    next();
  };
}

/**
 * True if the browser reports a write from a page of another origin. Browsers send a form without a
 * preflight, but with cookies and stored passwords. Only origins that CORS allows with credentials may write.
 * Source: W3C, "Fetch Metadata Request Headers", Sec-Fetch-Site.
 */
function isForeignWrite({ settings, rule }: CurrentRule, { method, headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return false;
  if (method === 'GET' || method === 'HEAD') return false;
  const { origin, cookie } = headers;
  if (origin === undefined || !rule.judge(origin).allow) return true;
  return cookie !== undefined && !settings.allowCredentials;
}

/** Answers an OPTIONS request. Returns the reason of a refusal, or undefined if the response was sent. */
function answerOptions(
  cors: CurrentRule,
  req: IncomingMessage,
  res: ServerResponse,
  origin: string | undefined,
): string | undefined {
  const method = req.headers['access-control-request-method'];
  if (origin === undefined || method === undefined) {
    sendEmpty(req, res, { Allow: METHODS });
    return undefined;
  }
  const headers = req.headers['access-control-request-headers'] ?? '';
  const verdict = judgePreflight(cors.rule, origin, method, headers);
  if (!verdict.allow) return `Cross-origin request refused: ${verdict.reason}.`;
  const answer: Record<string, string> = {
    'Access-Control-Allow-Origin': verdict.origin,
    'Access-Control-Allow-Methods': METHODS,
    'Access-Control-Max-Age': MAX_AGE_SECONDS,
  };
  if (headers !== '') answer['Access-Control-Allow-Headers'] = headers;
  if (cors.settings.allowCredentials) answer['Access-Control-Allow-Credentials'] = 'true';
  // Chrome asks whether a public page may call a server in a private network. Only a listed origin may.
  if (req.headers['access-control-request-private-network'] === 'true' && verdict.origin !== '*')
    answer['Access-Control-Allow-Private-Network'] = 'true';
  const vary = 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers';
  sendEmpty(req, res, { ...answer, Vary: vary });
  return undefined;
}

/**
 * Sends 204 without a body. If the request has an unread body, the connection is closed, so that the body is
 * never parsed as a request.
 */
function sendEmpty(req: IncomingMessage, res: ServerResponse, headers: Record<string, string>): void {
  const { Vary: vary, ...others } = headers;
  if (vary !== undefined) contextOf(req).setAnswerHeader('Vary', vary);
  res.writeHead(204, { ...others, ...(req.complete ? {} : bodyOf(req)) });
  res.end();
}

function bodyOf(req: IncomingMessage): Record<string, string> {
  const announced =
    req.headers['transfer-encoding'] !== undefined || (req.headers['content-length'] ?? '0') !== '0';
  return announced ? { Connection: 'close' } : {};
}

function markAnswer(cors: CurrentRule, context: Context, origin: string): void {
  const verdict = cors.rule.judge(origin);
  if (!verdict.allow) return;
  context.setAnswerHeader('Access-Control-Allow-Origin', verdict.header);
  context.setAnswerHeader('Access-Control-Expose-Headers', EXPOSED);
  if (cors.settings.allowCredentials) context.setAnswerHeader('Access-Control-Allow-Credentials', 'true');
}
