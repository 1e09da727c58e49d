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
import { closeIfUnread } from '../respond.ts';
import { foreignWriteRule, type ForeignWriteRule, type OwnOrigin } from './foreign-page.ts';

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
  'X-Couchgate-Revision',
].join(', ');

const METHODS = CORS_METHODS.join(', ');
/** Short, so that a change of the rules takes effect soon; CouchDB's default. */
const MAX_AGE_SECONDS = '600';

interface CurrentRule {
  readonly settings: CorsSettings;
  readonly rule: CorsRule;
  readonly isForeignWrite: ForeignWriteRule;
  /**
   * True if responses depend on the Origin header. Then every response needs `Vary: Origin`, also if the
   * request has no Origin.
   */
  readonly varies: boolean;
}

function currentRule(settings: CorsSettings, own: OwnOrigin): CurrentRule {
  const rule = corsRule(settings);
  return {
    settings,
    rule,
    isForeignWrite: foreignWriteRule(settings, rule, own),
    varies: settings.enableCors && !settings.origins.includes('*'),
  };
}

/**
 * Makes the step that refuses writes of foreign pages, and answers preflights without authentication:
 * browsers send no credentials with them.
 * Any other OPTIONS, and each one while CORS is off, is a method that no path has. A later step refuses it as
 * CouchDB does; it is never forwarded (H8, H15).
 * The step adds the CORS headers to other responses. Forwarding removes those of CouchDB, so there is exactly
 * one set.
 */
export function applyOriginRules(live: LiveCorsSettings, own: OwnOrigin): RequestHandler {
  let cors = currentRule(live.current, own);
  return function applyOriginRulesStep(req, res, next) {
    if (live.current !== cors.settings) cors = currentRule(live.current, own);
    if (cors.varies) contextOf(req).setAnswerHeader('Vary', 'Origin');
    const { origin } = req.headers;
    if (req.method === 'OPTIONS') {
      const preflight = preflightOf(cors, req);
      if (preflight !== undefined) {
        contextOf(req).outcome.isPreflight = true;
        const refused = answerTo(preflight, cors, req, res);
        if (refused !== undefined) next(new Forbidden(refused));
        return;
      }
    } else if (cors.isForeignWrite(req, contextOf(req).client)) {
      contextOf(req).outcome.refuse('foreign page');
      next(new Forbidden('Pages of this origin may not send this request.'));
      return;
    }
    if (origin !== undefined && cors.settings.enableCors) markAnswer(cors, contextOf(req), origin);
    next();
  };
}

interface Preflight {
  readonly origin: string;
  readonly method: string;
}

/** Source: Fetch standard, "CORS-preflight request"; CouchDB's chttpd_cors.erl requires the same headers. */
function preflightOf({ settings }: CurrentRule, { headers }: IncomingMessage): Preflight | undefined {
  const { origin, 'access-control-request-method': method } = headers;
  return settings.enableCors && origin !== undefined && method !== undefined ? { origin, method } : undefined;
}

/** Answers a preflight. Returns the reason of a refusal, or undefined if the response was sent. */
function answerTo(
  { origin, method }: Preflight,
  cors: CurrentRule,
  req: IncomingMessage,
  res: ServerResponse,
): string | undefined {
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
  // Chrome's preflight for a public page that calls a server in a private network: allowed for listed
  // origins.
  if (req.headers['access-control-request-private-network'] === 'true' && verdict.origin !== '*')
    answer['Access-Control-Allow-Private-Network'] = 'true';
  const vary = 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers';
  contextOf(req).setAnswerHeader('Vary', vary);
  // An unread body must never be parsed as a request.
  res.writeHead(204, { ...answer, ...closeIfUnread(req, res) });
  res.end();
  return undefined;
}

function markAnswer(cors: CurrentRule, context: Context, origin: string): void {
  const verdict = cors.rule.judge(origin);
  if (!verdict.allow) return;
  context.setAnswerHeader('Access-Control-Allow-Origin', verdict.header);
  context.setAnswerHeader('Access-Control-Expose-Headers', EXPOSED);
  if (cors.settings.allowCredentials) context.setAnswerHeader('Access-Control-Allow-Credentials', 'true');
}
