// Lets one request of a connection run at a time. What a request means is for the steps behind.
import { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { type Socket } from 'node:net';
import { type RefusalLog } from './refusals.ts';

type ClientSocket = Socket & {
  /** The answer behind which the next request of this connection waits. */
  lastAnswer?: ServerResponse;
  /** Requests that came, and whose turn has not come. */
  waiting?: number;
};

/** Requests that may wait on one connection: more than any pipelining client sends ahead. */
const MOST_WAITING = 100;

/**
 * A client may send requests ahead of their answers, and Node hands out all it finds in the bytes it reads, some two thousand at once. Answers
 * leave in their order (RFC 9112 section 9.3.2), so what is not the first would hold a connection to CouchDB until its turn: one socket that
 * reads nothing could take them all. So a request begins when the answer before it is over, and a connection on which too many wait is cut.
 * Pinned by test/hostile/h15-pipelines.test.ts.
 */
export function serializePipelining(next: RequestListener, log: RefusalLog): RequestListener {
  return function takeTurn(req, res): void {
    const socket: ClientSocket = req.socket;
    const { lastAnswer } = socket;
    socket.lastAnswer = res;
    if (lastAnswer === undefined || lastAnswer.writableFinished) next(req, res);
    else if (!socket.destroyed) waitFor(lastAnswer, { socket, req, res, next, log });
  };
}

interface Turn {
  readonly socket: ClientSocket;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly next: RequestListener;
  readonly log: RefusalLog;
}

function waitFor(before: ServerResponse, { socket, req, res, next, log }: Turn): void {
  socket.waiting = (socket.waiting ?? 0) + 1;
  if (socket.waiting > MOST_WAITING) {
    log({ client: socket.remoteAddress }, 'cut a client that sent too many requests ahead');
    socket.destroy();
    return;
  }
  before.once('close', () => {
    socket.waiting = (socket.waiting ?? 1) - 1;
    // After `Connection: close`, or without a client, nothing more is answered.
    if (!socket.destroyed && before.writableFinished && before.shouldKeepAlive) next(req, res);
  });
}
