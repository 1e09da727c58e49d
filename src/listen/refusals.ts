// Answers or closes connections without a valid request: malformed heads, CONNECT, idle clients.
import { type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { type Duplex } from 'node:stream';
import { CORS_METHODS } from '../config/cors-rule.ts';
import { type OperationalLog } from '../config/operational-log.ts';
import { contextOf } from '../context.ts';
import { type ClientSocket } from './messages.ts';
import { dropTheRest } from './staged-close.ts';

const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  431: 'Request Header Fields Too Large',
};

/** A complete response in CouchDB's format, for a socket without a response object. */
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
// CouchDB accepts raw UTF-8 in a target; Node's parser, which has no setting for it, does not.
const TARGET_NOT_ENCODED = rawAnswer(
  400,
  'bad_request',
  'The request target contains a byte that must be percent-encoded.',
);
const HEAD_TOO_LARGE = rawAnswer(431, 'too_large', 'The request head is too large.');
// Not 408: the CouchDB replicator treated it as a permanent error (apache/couchdb pull 3307).
const HEAD_TOO_SLOW = rawAnswer(400, 'bad_request', 'The request head did not arrive in time.');
const CONNECT_REFUSED = rawAnswer(405, 'method_not_allowed', `Only ${CORS_METHODS.join(',')} allowed`);

const PROXY_PROTOCOL = rawAnswer(
  400,
  'bad_request',
  'The PROXY protocol is not supported; let the load balancer send X-Forwarded-For, and set trusted_proxies.',
);

/** Starts of the two versions of the PROXY protocol, which load balancers send before the request. */
const PROXY_STARTS: readonly Buffer[] = [
  Buffer.from('PROXY '),
  Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
];

function isProxyProtocol({ rawPacket }: ParseError): boolean {
  if (rawPacket === undefined) return false;
  return PROXY_STARTS.some((start) => rawPacket.subarray(0, start.length).equals(start));
}

/** Node's error for a request that it cannot parse. */
type ParseError = NodeJS.ErrnoException & { readonly rawPacket?: Buffer };

function answerTo(code: string): string {
  if (code === 'HPE_INVALID_URL') return TARGET_NOT_ENCODED;
  if (code === 'HPE_HEADER_OVERFLOW') return HEAD_TOO_LARGE;
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return HEAD_TOO_SLOW;
  return MALFORMED;
}

export type RefusalLog = (fields: object, message: string) => void;

const LINES_PER_SECOND = 10;

/**
 * Writes at most LINES_PER_SECOND lines per second; `leftOut` of the next one is the number of drops.
 * An attacker who sends garbage must not control the log volume.
 */
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
    if (lines > LINES_PER_SECOND) leftOut += 1;
    else {
      log.info(leftOut === 0 ? fields : { ...fields, leftOut }, message);
      leftOut = 0;
    }
  };
}

/**
 * Adds the handlers to a server. A malformed request after an unanswered one gets no response: the client
 * would read it as the response to the first request.
 */
export function refuseWhatIsNoRequest(server: Server, log: RefusalLog): void {
  server.on('clientError', (error: ParseError, stream: Duplex) => {
    const socket = stream as ClientSocket;
    // Data after a refusal is dropped.
    if (socket.isClosing === true) return;
    const code = error.code ?? 'unknown';
    const isProxied = isProxyProtocol(error);
    log(
      { code, client: socket.remoteAddress },
      isProxied ? 'refused the PROXY protocol' : 'refused a malformed HTTP request',
    );
    const answering = socket.exchange !== undefined && !socket.exchange.writableFinished;
    const silent = socket.bytesRead === 0;
    // Data after a response with `Connection: close` is the rest of a refused request, not a new one.
    const closing = socket.exchange?.shouldKeepAlive === false;
    if (!socket.writable || answering || closing || silent || code === 'ECONNRESET') socket.destroy();
    else endSocket(socket, isProxied ? PROXY_PROTOCOL : answerTo(code));
  });
  server.on('connect', (_req: IncomingMessage, stream: Duplex) => {
    const socket = stream as ClientSocket;
    log({ client: socket.remoteAddress }, 'refused a CONNECT request');
    if (socket.exchange !== undefined && !socket.exchange.writableFinished) socket.destroy();
    else endSocket(socket, CONNECT_REFUSED);
  });
  // Handled as a normal request: admit/framing.ts refuses it after the whitelist, and it gets an access log
  // line.
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) => {
    server.emit('request', req, res);
  });
}

/** Sends the response, drops what the client is still sending, and closes the socket. */
function endSocket(socket: ClientSocket, answer: string): void {
  socket.on('error', () => socket.destroy());
  socket.end(answer);
  socket.resume();
  dropTheRest(socket);
}

/**
 * Closes the connection of a client that is silent for `idleMs` while it must act: its request is incomplete,
 * or it does not read. A client that waits for CouchDB may wait without limit.
 */
export function cutIdleClients(server: Server, idleMs: number, log: RefusalLog): void {
  server.setTimeout(idleMs, (socket: ClientSocket) => {
    const { exchange } = socket;
    if (exchange === undefined || exchange.writableFinished) {
      socket.destroy();
      return;
    }
    const { req } = exchange;
    // A full buffer means that CouchDB reads the body slowly: the client waits for us.
    const mustSend = !req.complete && req.readableLength < req.readableHighWaterMark;
    const mustRead = socket.writableLength > 0;
    if (!mustSend && !mustRead) return;
    log({ client: socket.remoteAddress }, 'closed an idle client connection');
    contextOf(req).outcome.cut('client was silent');
    exchange.destroy();
    // The latest response may wait for the one before it; it then has no socket that `exchange.destroy` could
    // close.
    socket.destroy();
  });
}

/**
 * Ignores Upgrade: RFC 9110 §7.8 allows this, and curl and Java offer h2c by default. Node discards requests
 * that were pipelined after an Upgrade, so the connection closes with the response; else Node would parse the
 * rest mid-request.
 */
export function withoutUpgrades(next: RequestListener): RequestListener {
  return function ignoreUpgrade(req, res): void {
    if (req.headers.upgrade !== undefined) res.shouldKeepAlive = false;
    next(req, res);
  };
}
