// Runs the pipelined requests of a connection one after the other.
import { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { type Socket } from 'node:net';
import { type ClientSocket } from './messages.ts';
import { type RefusalLog } from './refusals.ts';

type PipeliningSocket = Socket &
  Pick<ClientSocket, 'isClosing'> & {
    /** The response before the next request of this connection. */
    lastResponse?: ServerResponse;
    /** Number of requests that wait for an earlier response. */
    queuedRequests?: number;
  };

/** Requests that may wait on one connection: more than pipelining clients send ahead. */
const MAX_QUEUED_REQUESTS = 100;

/**
 * Wraps a request listener so that a request starts when the response before it is complete.
 * A client may pipeline requests, and Node emits all that it finds in one read, about two thousand. Responses
 * are sent in order (RFC 9112 section 9.3.2), so a later request would hold a connection to CouchDB until
 * then. One client that reads nothing could occupy all connections. A connection with too many waiting
 * requests is closed.
 * Pinned by test/hostile/h15-pipelines.test.ts.
 */
export function serializePipelining(next: RequestListener, log: RefusalLog): RequestListener {
  return function startInOrder(req, res): void {
    const socket: PipeliningSocket = req.socket;
    const { lastResponse } = socket;
    // After a response with `Connection: close`, no request is answered.
    if (socket.isClosing === true) {
      socket.destroy();
      return;
    }
    socket.lastResponse = res;
    if (lastResponse === undefined || lastResponse.writableFinished) next(req, res);
    else if (!socket.destroyed) startAfter(lastResponse, { socket, req, res, next, log });
  };
}

interface QueuedRequest {
  readonly socket: PipeliningSocket;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly next: RequestListener;
  readonly log: RefusalLog;
}

function startAfter(previous: ServerResponse, { socket, req, res, next, log }: QueuedRequest): void {
  socket.queuedRequests = (socket.queuedRequests ?? 0) + 1;
  if (socket.queuedRequests > MAX_QUEUED_REQUESTS) {
    log({ client: socket.remoteAddress }, 'closed a connection with too many pipelined requests');
    socket.destroy();
    return;
  }
  previous.once('close', () => {
    if (!previous.writableFinished || !previous.shouldKeepAlive) return;
    // In a turn of its own: a hundred refusals in one would block the other connections.
    setImmediate(() => {
      socket.queuedRequests = (socket.queuedRequests ?? 1) - 1;
      // After `Connection: close`, or if the client disconnected, no further request is answered.
      if (!socket.destroyed && socket.isClosing !== true) next(req, res);
    });
  });
}
