// Sends Couchgate's own responses in the format of CouchDB, and converts errors to responses.
import { once } from 'node:events';
import { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { announcesBody } from './body/decode.ts';
import { writeJson } from './json/exact-numbers.ts';
import { HttpError } from './http-errors.ts';

/**
 * Sends `body` as JSON with a newline, as CouchDB does. A HEAD request gets the same head without the body.
 */
export function sendJson(
  res: ServerResponse,
  status: number,
  body: unknown,
  headers: OutgoingHttpHeaders = {},
): void {
  sendJsonText(res, status, writeJson(body), headers);
}

/** As `sendJson`, for JSON that is written already. */
export function sendJsonText(
  res: ServerResponse,
  status: number,
  json: string,
  headers: OutgoingHttpHeaders = {},
): void {
  const text = `${json}\n`;
  res.writeHead(status, {
    'Content-Type': 'application/json',
    'Cache-Control': 'must-revalidate',
    'Content-Length': Buffer.byteLength(text),
    ...headers,
  });
  res.end(res.req.method === 'HEAD' ? undefined : text);
}

/**
 * Sends an error. If the head was already sent, the connection is closed, because the client could not see
 * the error otherwise. If the request body was not read, the response has `Connection: close`, so that the
 * rest is never parsed as a request.
 */
export function sendError(req: IncomingMessage, res: ServerResponse, error: HttpError): void {
  if (res.headersSent) {
    abortAnswer(res);
    return;
  }
  // A failed `writeHead` may have left the words of another status.
  res.statusMessage = '';
  sendJson(res, error.status, error.body, { ...error.headers, ...closeIfUnread(req, res) });
}

/**
 * The header that closes the connection after an answer to a request whose body was not read, so that the
 * rest is never parsed as a request. Node does not conclude `shouldKeepAlive` from the header, but what
 * refuses malformed requests reads it: without it, the client would get a second answer.
 */
export function closeIfUnread(req: IncomingMessage, res: ServerResponse): { readonly Connection?: 'close' } {
  if (req.complete || !announcesBody(req)) return {};
  res.shouldKeepAlive = false;
  return { Connection: 'close' };
}

/**
 * Breaks the client's connection. HTTP/1.0 has no chunks: the end of the connection ends the answer, and only
 * a reset shows that it is incomplete. Node cannot reset a TLS socket, but there the missing close_notify
 * shows the same. Node leaks a socket that is reset while it is ending.
 */
export function abortAnswer(res: ServerResponse): void {
  const { httpVersionMinor, socket } = res.req;
  if (httpVersionMinor === 0 && !('encrypted' in socket) && socket.writable) socket.resetAndDestroy();
  else res.destroy();
}

/** Converts a thrown value to an HttpError. Any other value becomes a 500 without detail. */
export function asHttpError(thrown: unknown): HttpError {
  if (thrown instanceof HttpError) return thrown;
  return new HttpError(
    500,
    'internal_server_error',
    'The request failed; the log has the details under its request id.',
  );
}

/** Resolves when the client has read what was written, or has gone. */
export async function drained(res: ServerResponse): Promise<void> {
  if (res.destroyed) return;
  const done = new AbortController();
  const { signal } = done;
  try {
    await Promise.race([once(res, 'drain', { signal }), once(res, 'close', { signal })]);
  } finally {
    done.abort();
  }
}
