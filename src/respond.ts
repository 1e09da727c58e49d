// Writes Couchgate's own answers in CouchDB's shape: JSON, a newline behind it, must-revalidate. The one exit for errors.
import { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { HttpError } from './http-errors.ts';

/** Sends `body` as CouchDB sends JSON; a HEAD request gets the same head without the body. */
export function sendJson(
  res: ServerResponse,
  status: number,
  body: unknown,
  headers: OutgoingHttpHeaders = {},
): void {
  const text = `${JSON.stringify(body)}\n`;
  res.writeHead(status, {
    'Content-Type': 'application/json',
    'Cache-Control': 'must-revalidate',
    'Content-Length': Buffer.byteLength(text),
    ...headers,
  });
  res.end(res.req.method === 'HEAD' ? undefined : text);
}

/**
 * Sends an error as CouchDB does. After the head has left nothing honest can be said any more, so the connection is cut.
 * A request whose body nobody read is answered with `Connection: close`: its rest must never be taken for a next request.
 */
export function sendError(req: IncomingMessage, res: ServerResponse, error: HttpError): void {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const unread =
    !req.complete &&
    (req.headers['transfer-encoding'] !== undefined || (req.headers['content-length'] ?? '0') !== '0');
  sendJson(res, error.status, error.body, { ...error.headers, ...(unread ? { Connection: 'close' } : {}) });
}

/** Any thrown value as the error a client may see: what is not an HttpError is a 500 without detail. */
export function asHttpError(thrown: unknown): HttpError {
  if (thrown instanceof HttpError) return thrown;
  return new HttpError(
    500,
    'internal_server_error',
    'The request could not be completed; the log has the detail under its request id.',
  );
}
