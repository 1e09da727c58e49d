// Answers what never becomes a request: malformed heads, tunnels, silence. What is asked in a well-formed request is not judged here.
import { type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { type Duplex } from 'node:stream';
import { type OperationalLog } from '../config/operational-log.ts';
import { contextOf } from '../context.ts';
import { type ClientSocket } from './messages.ts';

const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  431: 'Request Header Fields Too Large',
};

/** A whole answer in CouchDB's shape, for a socket on which there is no response object. */
function rawAnswer(status: number, error: string, reason: string): string {
  const body = `${JSON.stringify({ error, reason })}\n`;
  return [
    `HTTP/1.1 ${status} ${PHRASES[status] ?? ''}`,
    'Content-Type: application/json',
    'Cache-Control: must-revalidate',
    'X-Content-Type-Options: nosniff',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

const MALFORMED = rawAnswer(400, 'bad_request', 'The request is not well-formed HTTP/1.1.');
const HEAD_TOO_LARGE = rawAnswer(431, 'too_large', 'The request head is too large.');
// Never 408: the CouchDB replicator took it for a permanent error (apache/couchdb pull 3307).
const HEAD_TOO_SLOW = rawAnswer(400, 'bad_request', 'The request head did not arrive in time.');
const NO_TUNNELS = rawAnswer(405, 'method_not_allowed', 'Only GET,HEAD,POST,PUT,DELETE,COPY,OPTIONS allowed');

function answerTo(code: string): string {
  if (code === 'HPE_HEADER_OVERFLOW') return HEAD_TOO_LARGE;
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return HEAD_TOO_SLOW;
  return MALFORMED;
}

export type RefusalLog = (fields: object, message: string) => void;

const LINES_A_SECOND = 10;

/** Writes at most some lines a second, with the number of those left out: who sends garbage must not choose how much is written. */
export function sparingLog(
  log: OperationalLog,
  now: () => number = performance.now.bind(performance),
): RefusalLog {
  let second = 0;
  let lines = 0;
  let leftOut = 0;
  return (fields, message) => {
    const current = Math.floor(now() / 1000);
    if (current !== second) [second, lines] = [current, 0];
    lines += 1;
    if (lines > LINES_A_SECOND) leftOut += 1;
    else {
      log.info(leftOut === 0 ? fields : { ...fields, leftOut }, message);
      leftOut = 0;
    }
  };
}

/**
 * Adds the answers to a server. A malformed request behind one that is still being answered is not answered: its answer would be read as
 * the answer to the first one.
 */
export function refuseWhatIsNoRequest(server: Server, log: RefusalLog): void {
  server.on('clientError', (error: NodeJS.ErrnoException, stream: Duplex) => {
    const socket = stream as ClientSocket;
    const code = error.code ?? 'unknown';
    log({ code, client: socket.remoteAddress }, 'refused what is not well-formed HTTP');
    const answering = socket.exchange !== undefined && !socket.exchange.writableFinished;
    const silent = socket.bytesRead === 0;
    // What follows an answer that said `Connection: close` is the rest of a refused request, not a new one.
    const closing = socket.exchange?.shouldKeepAlive === false;
    if (!socket.writable || answering || closing || silent || code === 'ECONNRESET') socket.destroy();
    else endSocket(socket, answerTo(code));
  });
  server.on('connect', (_req: IncomingMessage, stream: Duplex) => {
    const socket = stream as ClientSocket;
    log({ client: socket.remoteAddress }, 'refused CONNECT');
    if (socket.exchange !== undefined && !socket.exchange.writableFinished) socket.destroy();
    else endSocket(socket, NO_TUNNELS);
  });
  // A request like any other: admit/framing.ts refuses it behind the whitelist, and the log has its line.
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) => {
    server.emit('request', req, res);
  });
}

/** Sends the last words and closes; a peer that neither reads nor leaves is cut off. */
function endSocket(socket: ClientSocket, answer: string): void {
  socket.on('error', () => socket.destroy());
  socket.end(answer, () => socket.destroy());
}

/**
 * Cuts a client that is silent for `idleMs` while it is its turn: its request is incomplete, or it takes no data. A client that waits for
 * CouchDB is left alone, however long that takes.
 */
export function cutIdleClients(server: Server, idleMs: number, log: RefusalLog): void {
  server.setTimeout(idleMs, (socket: ClientSocket) => {
    const { exchange } = socket;
    if (exchange === undefined || exchange.writableFinished) {
      socket.destroy();
      return;
    }
    const { req } = exchange;
    // A full buffer means that CouchDB takes the body slowly, and that the client is waiting for us.
    const mustSend = !req.complete && req.readableLength < req.readableHighWaterMark;
    const mustTake = socket.writableLength > 0;
    if (!mustSend && !mustTake) return;
    log({ client: socket.remoteAddress }, 'cut a client that was silent for too long');
    contextOf(req).ended ??= 'client was silent';
    exchange.destroy();
    // The newest answer may be one that has to wait for the one before it, and has no socket yet that it could end.
    socket.destroy();
  });
}

/**
 * No protocol is switched to: a request with Upgrade is an ordinary one (RFC 9110 §7.8 lets a server ignore it; curl and Java offer h2c to everybody).
 * Node drops what a client pipelined behind it, so its connection ends with the answer: what follows must not be read from its middle.
 */
export function withoutUpgrades(next: RequestListener): RequestListener {
  return function ignoreUpgrade(req, res): void {
    if (req.headers.upgrade !== undefined) res.shouldKeepAlive = false;
    next(req, res);
  };
}
