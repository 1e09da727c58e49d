// Sends CouchDB's answer to the client: filtered head, streamed body, back-pressure on both sides.
import { type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { contextOf } from '../context.ts';
import { type CouchNode, type Queue } from './node.ts';
import { type Nodes } from './nodes.ts';
import { responseHead } from './response-headers.ts';

export interface BodyServices {
  readonly nodes: Nodes;
  /**
   * Origin under which clients reach Couchgate, without a trailing slash; empty = Location becomes a path.
   */
  readonly publicUrl: string;
  /** Whether CouchDB's Server header is passed on. */
  readonly serverHeader: boolean;
  /** Databases whose pages run scripts (H8). */
  readonly unsandboxed: ReadonlySet<string>;
}

/** An answer from CouchDB and the connection on which it arrived. */
export interface UpstreamAnswer {
  readonly answer: IncomingMessage;
  readonly upstream: ClientRequest;
  readonly node: CouchNode;
  /** The Host header that the node got. */
  readonly host: string;
  readonly queue: Queue;
}

/** Called when an answer ends: exactly one method, or none if the exchange has already ended. */
export interface AnswerListener {
  /** The whole answer was received and sent to the client. */
  complete(upstream: ClientRequest): void;
  /** CouchDB closed the connection before the end of its answer (M4). */
  truncated(error: Error): void;
  /** The client gets this error instead of CouchDB's answer. */
  fail(error: unknown): void;
  /**
   * Couchgate ends a feed. `abort` = the connection is broken, so that the client sees the answer as
   * incomplete.
   */
  end(reason: string, abort: boolean): void;
}

/** Largest body, in bytes, that Node writes as a string without a new allocation, minus room for the head. */
const SINGLE_WRITE_BYTES = 12_288;
/**
 * After the first chunk, chunks are joined up to this size, for at most `BATCH_DELAY_MS`. CouchDB sends rows
 * in chunks of 1.5 KB, and each would be a write of its own. The end of an answer is not delayed.
 */
const BATCH_BYTES = 32_768;
const BATCH_DELAY_MS = 2;

type RelayedAnswer = IncomingMessage & { body?: AnswerBody };

/**
 * Sends one answer to the client. The stream listeners are shared functions that find it by `answer.body`.
 */
export class AnswerBody {
  readonly #services: BodyServices;
  readonly #upstreamAnswer: UpstreamAnswer;
  readonly #res: ServerResponse;
  readonly #listener: AnswerListener;
  readonly #length: number;
  #batch: Buffer[] = [];
  #batchBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `length` is the Content-Length of the answer in bytes; NaN = unknown. */
  constructor(
    services: BodyServices,
    upstreamAnswer: UpstreamAnswer,
    res: ServerResponse,
    listener: AnswerListener,
    length: number,
  ) {
    this.#services = services;
    this.#upstreamAnswer = upstreamAnswer;
    this.#res = res;
    this.#listener = listener;
    this.#length = length;
    const answer: RelayedAnswer = upstreamAnswer.answer;
    answer.body = this;
    answer.on('data', onData).on('end', onEnd).on('close', onClose);
  }

  /** Writes the filtered head. */
  writeHead(): void {
    const { answer, host } = this.#upstreamAnswer;
    const { req } = this.#res;
    const status = answer.statusCode ?? 0;
    const context = contextOf(req);
    const { operation } = context;
    const head = responseHead(status, answer.rawHeaders, context, {
      sentHost: host,
      publicUrl: this.#services.publicUrl,
      serverHeader: this.#services.serverHeader,
      isCouchPage: operation?.endpoint.id === 'utils',
      isTrusted: operation?.database !== undefined && this.#services.unsandboxed.has(operation.database),
    });
    // CouchDB answered before it received the whole body. The rest must not be read as the next request.
    if (!req.complete) head.push('Connection', 'close');
    this.#res.writeHead(status, head);
  }

  write(chunk: Buffer): void {
    const res = this.#res;
    if (res.writableEnded) return;
    if (chunk.length === this.#length && chunk.length <= SINGLE_WRITE_BYTES && !res.headersSent) {
      this.writeHead();
      this.#complete();
      // Node joins a head and a string body into one write. A Buffer body is a second write, which costs 4 %
      // more.
      res.end(chunk.toString('latin1'), 'latin1');
    } else if (this.#upstreamAnswer.queue === 'feed' || !res.headersSent) this.#send(chunk);
    else this.#addToBatch(chunk);
  }

  #addToBatch(chunk: Buffer): void {
    this.#batch.push(chunk);
    this.#batchBytes += chunk.length;
    if (this.#batchBytes >= BATCH_BYTES) this.#send(this.#takeBatch());
    else this.#timer ??= setTimeout(flushBatch, BATCH_DELAY_MS, this);
  }

  /** Empties the batch and returns it as one buffer. */
  #takeBatch(): Buffer {
    const [first] = this.#batch;
    const all =
      this.#batch.length === 1 && first !== undefined ? first : Buffer.concat(this.#batch, this.#batchBytes);
    this.discardBatch();
    return all;
  }

  /** Empties the batch without sending it. */
  discardBatch(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#batch = [];
    this.#batchBytes = 0;
  }

  flushBatch(): void {
    if (this.#batchBytes > 0 && !this.#res.writableEnded && !this.#res.destroyed)
      this.#send(this.#takeBatch());
  }

  #send(chunk: Buffer): void {
    const res = this.#res;
    const { answer } = this.#upstreamAnswer;
    if (!res.headersSent) this.writeHead();
    if (res.write(chunk)) return;
    answer.pause();
    res.once('drain', () => answer.resume());
  }

  end(): void {
    const res = this.#res;
    if (res.writableEnded) return;
    if (!res.headersSent) this.writeHead();
    if (this.#batchBytes > 0) res.end(this.#takeBatch());
    else res.end();
    this.#complete();
  }

  #complete(): void {
    const { node, upstream } = this.#upstreamAnswer;
    this.#services.nodes.recordSuccess(node);
    this.#listener.complete(upstream);
  }

  onClose(): void {
    this.discardBatch();
    if (!this.#upstreamAnswer.answer.complete)
      this.#listener.truncated(new Error('node closed the connection before the end of its answer'));
  }
}

function onData(this: RelayedAnswer, chunk: Buffer): void {
  this.body?.write(chunk);
}

function onEnd(this: RelayedAnswer): void {
  this.body?.end();
}

function onClose(this: RelayedAnswer): void {
  this.body?.onClose();
}

function flushBatch(body: AnswerBody): void {
  body.flushBatch();
}
