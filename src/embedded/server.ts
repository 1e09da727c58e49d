// Accepts HTTP requests of the embedded node and guarantees one response for each, also after an error.
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { HttpError } from '../http-errors.ts';
import { asHttpError, sendError } from '../respond.ts';
import { errorOf } from './errors.ts';
import { type EmbeddedNode } from './exchange.ts';
import { route } from './router.ts';
import { readTarget } from './target.ts';

/** Writes one line of the operational log. */
export type Log = (message: string, fields?: Readonly<Record<string, unknown>>) => void;

const OVERRIDABLE = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY']);

/** Creates the HTTP server of a node, not yet listening. Logs unexpected errors and answers 500. */
export function createEmbeddedServer(node: EmbeddedNode, log: Log): Server {
  const server = createServer({ maxHeaderSize: 65_536 }, (req, res) => {
    handleRequest(node, req, res).catch((thrown: unknown) => sendFailure(req, res, thrown, log));
  });
  // No limit: an upload may be slow.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 65_000;
  server.on('clientError', (_error, socket) => {
    if (socket.writable)
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    else socket.destroy();
  });
  return server;
}

async function handleRequest(node: EmbeddedNode, req: IncomingMessage, res: ServerResponse): Promise<void> {
  // A client may disconnect at any time. Without a listener, the `error` event would end the process.
  req.on('error', ignore);
  res.on('error', ignore);
  res.setHeader('Server', 'Couchgate embedded node');
  res.setHeader('X-Couch-Request-ID', requestId(req));
  const { path, query } = readTarget(req.url ?? '/');
  const caller = await node.authenticator.caller(req);
  await route({ node, req, res, method: methodOf(req), path, query, caller });
}

/**
 * CouchDB overrides POST only, reads the value up to `;`, accepts upper case only (chttpd.erl, hazard H6).
 */
function methodOf(req: IncomingMessage): string {
  const method = req.method ?? 'GET';
  if (method !== 'POST') return method;
  const override = req.headers['x-http-method-override'];
  const name = typeof override === 'string' ? override.split(';', 1)[0] : undefined;
  return name !== undefined && OVERRIDABLE.has(name) ? name : method;
}

/** Like CouchDB: echoes an id of at most 36 word characters and dashes; otherwise generates one. */
function requestId(req: IncomingMessage): string {
  const given = req.headers['x-couch-request-id'];
  return typeof given === 'string' && /^[\w-]{1,36}$/.test(given) ? given : randomBytes(5).toString('hex');
}

function sendFailure(req: IncomingMessage, res: ServerResponse, thrown: unknown, log: Log): void {
  const known = errorOf(thrown);
  if (!(known instanceof HttpError)) {
    log('unhandled error in request', { method: req.method, error: describe(thrown) });
  }
  sendError(req, res, asHttpError(known));
}

function describe(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : typeof thrown;
}

function ignore(): void {
  // Empty on purpose: the callers register it only so that `error` has a listener.
}
