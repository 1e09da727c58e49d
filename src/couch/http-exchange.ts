// Sends one request to one node with node:http, and reads its answer at the pace of the reader.
// undici ends the process if a node closes the connection while the reader of the answer waits (H39).
import {
  Agent as HttpAgent,
  type IncomingMessage,
  type ClientRequest,
  request as httpRequest,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { PatientTimeout } from './patient-timeout.ts';

export interface HttpPoolOptions {
  /** Connections to one node. */
  readonly connections: number;
  /** PEM of the CA that signed the certificates of https nodes. */
  readonly ca?: string;
  readonly connectTimeoutMs: number;
}

export interface HttpExchange {
  readonly method: string;
  /** `http://host:port`. */
  readonly origin: string;
  /** Encoded path with query. It is sent byte for byte. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | AsyncIterable<Buffer>;
  /** The exchange fails after a silence of the node of this length, or a third more. */
  readonly silenceMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** An idle connection is closed before CouchDB or a proxy closes it. */
const IDLE_MS = 4000;
/** The head of an answer has the revision and the content type of an attachment, which clients choose. */
const MAX_HEAD_BYTES = 256 * 1024;
/** How often the traffic of a request is checked during the silence that it may have. */
const CHECKS = 3;

/** The code of a connection that could not be made in time. */
export const CONNECT_TIMEOUT = 'connect timeout';

/** Connections to nodes; `keepAlive: false` = each is used once. */
export class HttpPool {
  readonly #connectTimeoutMs: number;
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;

  constructor({ connections, ca, connectTimeoutMs }: HttpPoolOptions, keepAlive: boolean) {
    const shared = { keepAlive, maxSockets: connections, ...(keepAlive ? { timeout: IDLE_MS } : {}) };
    this.#connectTimeoutMs = connectTimeoutMs;
    this.#http = new HttpAgent(shared);
    this.#https = new HttpsAgent({ ...shared, ...(ca === undefined ? {} : { ca }) });
  }

  /** Resolves when the answer begins. Its stream fails if the answer is truncated, invalid or silent. */
  async send(exchange: HttpExchange): Promise<IncomingMessage> {
    const { origin, method, path, headers, body, silenceMs, signal } = exchange;
    const url = new URL(origin);
    const isHttps = url.protocol === 'https:';
    const request = (isHttps ? httpsRequest : httpRequest)(url, {
      method,
      path,
      headers,
      maxHeaderSize: MAX_HEAD_BYTES,
      agent: isHttps ? this.#https : this.#http,
      ...(signal === undefined ? {} : { signal }),
    });
    endIfSilent(request, this.#connectTimeoutMs, silenceMs);
    if (body === undefined || typeof body === 'string') request.end(body);
    else sendStream(request, body);
    return new Promise((resolve, reject) => {
      // Also after the head, when the failure is that of the stream too.
      request.on('error', reject);
      // An answer that changes the protocol closes the connection without an error.
      request.on('close', () => reject(failure('no answer')));
      request.on('response', (answer) => {
        answer.on('error', () => undefined);
        resolve(answer);
      });
    });
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }
}

/** A failure of the body ends the request; a failure of the request ends the body. */
function sendStream(request: ClientRequest, body: AsyncIterable<Buffer>): void {
  const source = Readable.from(body);
  source.on('error', (error) => request.destroy(error));
  request.on('close', () => source.destroy());
  source.pipe(request);
}

/**
 * Ends a request whose connection is not made in time, and one whose node is silent. A reader that waits with
 * the rest of the answer is no silence of the node.
 */
function endIfSilent(request: ClientRequest, connectTimeoutMs: number, silenceMs: number): void {
  let answer: IncomingMessage | undefined;
  let moved = -1;
  let silent = 0;
  const end = (code: string): void => {
    if (answer === undefined) request.destroy(failure(code));
    else answer.destroy(failure(code));
  };
  const check = (): void => {
    const { socket } = request;
    const now = (socket?.bytesRead ?? 0) + (socket?.bytesWritten ?? 0);
    // A request without a connection waits for others to end.
    const isReaderLate = answer !== undefined && answer.readableLength > 0;
    silent = socket === null || now !== moved || isReaderLate ? 0 : silent + 1;
    moved = now;
    if (silent >= CHECKS) end('timeout');
  };
  const checks = setInterval(check, Math.max(1, Math.ceil(silenceMs / CHECKS)));
  request.on('response', (begun) => (answer = begun));
  request.on('close', () => clearInterval(checks));
  request.on('socket', (socket) => {
    if (!socket.connecting) return;
    const timeout = new PatientTimeout(connectTimeoutMs, () => request.destroy(failure(CONNECT_TIMEOUT)));
    const stop = (): void => timeout.cancel();
    socket.once('connect', stop).once('close', stop);
  });
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}
