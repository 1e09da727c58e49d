// Takes HTTP requests of the embedded node and gives every one an answer, whatever happens. What it answers is router.ts's business.
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { HttpError } from '../http-errors.ts';
import { asHttpError, sendError } from '../respond.ts';
import { errorOf } from './errors.ts';
import { type EmbeddedNode } from './exchange.ts';
import { route } from './router.ts';
import { readTarget } from './target.ts';

export type Log = (message: string, fields?: Readonly<Record<string, unknown>>) => void;

const OVERRIDABLE = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY']);

/** The HTTP server of a node, not yet listening. Every request gets an answer; what fails without a known reason is logged and is a 500. */
export function createEmbeddedServer(node: EmbeddedNode, log: Log): Server {
  const server = createServer({ maxHeaderSize: 65_536 }, (req, res) => {
    answer(node, req, res).catch((thrown: unknown) => answerError(req, res, thrown, log));
  });
  // A feed is silent for as long as its heartbeat says; an upload may be slow.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 65_000;
  server.on('clientError', (_error, socket) => {
    if (socket.writable)
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    else socket.destroy();
  });
  return server;
}

async function answer(node: EmbeddedNode, req: IncomingMessage, res: ServerResponse): Promise<void> {
  // A client that hangs up is no failure of ours; without a listener its error would be.
  req.on('error', ignore);
  res.on('error', ignore);
  res.setHeader('Server', 'Couchgate embedded node');
  res.setHeader('X-Couch-Request-ID', requestId(req));
  const { path, query } = readTarget(req.url ?? '/');
  const caller = await node.authenticator.caller(req);
  await route({ node, req, res, method: methodOf(req), path, query, caller });
}

/** CouchDB takes an override of POST, value before `;`, upper case alone (chttpd.erl, hazard H6). */
function methodOf(req: IncomingMessage): string {
  const method = req.method ?? 'GET';
  if (method !== 'POST') return method;
  const override = req.headers['x-http-method-override'];
  const name = typeof override === 'string' ? override.split(';', 1)[0] : undefined;
  return name !== undefined && OVERRIDABLE.has(name) ? name : method;
}

/** CouchDB echoes an id of its own alphabet and makes one otherwise. */
function requestId(req: IncomingMessage): string {
  const given = req.headers['x-couch-request-id'];
  return typeof given === 'string' && /^[\w-]{1,36}$/.test(given) ? given : randomBytes(5).toString('hex');
}

function answerError(req: IncomingMessage, res: ServerResponse, thrown: unknown, log: Log): void {
  const known = errorOf(thrown);
  if (!(known instanceof HttpError)) {
    log('embedded node: a request failed', { method: req.method, error: describe(thrown) });
  }
  sendError(req, res, asHttpError(known));
}

function describe(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : typeof thrown;
}

function ignore(): void {
  // Nothing to do: see its callers.
}
