// Sends CouchDB's answer to the client: filtered head, streamed body, back-pressure on both sides.
import { type ServerResponse } from 'node:http';
import { contextOf, type CutReason } from '../context.ts';
import { type AnswerReceiver, type NodeAnswer } from './carrier.ts';
import { type Feed } from './feeds.ts';
import { type CouchNode, isFeed, isWhole, type Queue } from './node.ts';
import { type Nodes } from './nodes.ts';
import { ReadingWatch } from './reading-watch.ts';
import { responseHead } from './response-headers.ts';
import { type PreparedWrite, type WriteBatch } from './write-batch.ts';

export interface BodyServices {
  readonly nodes: Nodes;
  /**
   * Origin under which clients reach Couchgate, without a trailing slash; empty = Location becomes a path.
   */
  readonly publicUrl: string;
  /** Whether CouchDB's Server header is passed on. */
  readonly serverHeader: boolean;
  readonly writes: WriteBatch;
  /** Longest time, in ms, that a client may read nothing of an answer of the queue `whole`. */
  readonly unreadMs: number;
  /** Databases whose pages run scripts (H8). */
  readonly unsandboxed: ReadonlySet<string>;
}

/**
 * The exchange that an answer belongs to. When the answer ends, exactly one method is called, or none if the
 * exchange has already ended.
 */
export interface AnsweredExchange {
  /** The node that answers, and the queue whose slot the answer holds; another attempt changes them. */
  readonly node: CouchNode;
  readonly queue: Queue;
  readonly res: ServerResponse;
  /** True when the exchange has ended, for example by a revocation: nothing of the answer may be sent. */
  readonly isOver: boolean;
  /** The caller whose slot the answer holds. */
  readonly caller: string;
  /** The whole answer was received and sent to the client. */
  complete(): void;
  /** CouchDB closed the connection before the end of its answer (M4). */
  truncated(error: Error): void;
  /** The client gets this error instead of CouchDB's answer. */
  fail(error: unknown): void;
  /**
   * Couchgate ends a feed. `abort` = the connection is broken, so that the client sees the answer as
   * incomplete.
   */
  end(reason: CutReason, abort: boolean): void;
}

/** Largest body, in bytes, that Node writes as a string without a new allocation, minus room for the head. */
const SINGLE_WRITE_BYTES = 12_288;
/**
 * Chunks are joined up to this size, for at most `BATCH_DELAY_MS`. CouchDB sends rows in chunks of 1.5 KB,
 * and each would be a write of its own. Feeds are not delayed, nor is the end of an answer.
 */
const BATCH_BYTES = 32_768;
/** Most chunks that are joined: of one byte, each is several hundred bytes of memory (H15). */
const BATCH_CHUNKS = 256;
/** CouchDB sends 100 changes within 20 ms: they are one write, and wake the client once. */
const BATCH_DELAY_MS = 50;
/** A chunk of this length, in bytes, is written as it is. */
const LARGE_CHUNK_BYTES = 16_384;

/** Sends one answer to the client. */
export class AnswerBody implements AnswerReceiver, PreparedWrite {
  /** The feed that this is the answer of. */
  feed: Feed | undefined = undefined;
  readonly #services: BodyServices;
  readonly #answer: NodeAnswer;
  readonly #node: CouchNode;
  readonly #queue: Queue;
  readonly #res: ServerResponse;
  readonly #exchange: AnsweredExchange;
  readonly #length: number;
  /** For an answer that CouchDB holds in memory. */
  readonly #reading: ReadingWatch | undefined;
  /** The body of an answer that is sent in one write (`writeNow`). */
  #singleWrite: string | undefined = undefined;
  /** The joined chunks as Latin-1: V8 joins texts without a copy, and frees them without a finalizer. */
  #batch = '';
  #batchChunks = 0;
  #timer: NodeJS.Timeout | undefined;
  /** True while the client has to read before more is sent. One wait for all writes, or it counts twice. */
  #isWaiting = false;

  /** `length` is the Content-Length of the answer in bytes; NaN = unknown. */
  constructor(services: BodyServices, answer: NodeAnswer, exchange: AnsweredExchange, length: number) {
    this.#services = services;
    this.#answer = answer;
    this.#exchange = exchange;
    this.#node = exchange.node;
    this.#queue = exchange.queue;
    this.#res = exchange.res;
    this.#length = length;
    this.#reading = isWhole(this.#queue) ? this.#watchReading() : undefined;
  }

  /** Writes the filtered head. `length` = bytes of the body, if it is whole. */
  writeHead(length?: number): void {
    const { status, rawHeaders, sentHost } = this.#answer;
    const { req } = this.#res;
    const context = contextOf(req);
    const { operation } = context;
    const head = responseHead(status, rawHeaders, context, {
      sentHost,
      publicUrl: this.#services.publicUrl,
      serverHeader: this.#services.serverHeader,
      isCouchPage: operation?.endpoint.id === 'utils',
      isTrusted: operation?.database !== undefined && this.#services.unsandboxed.has(operation.database),
    });
    if (length !== undefined && Number.isNaN(this.#length)) head.push('Content-Length', String(length));
    // CouchDB answered before it received the whole body. The rest must not be read as the next request.
    if (!req.complete) {
      head.push('Connection', 'close');
      this.#res.shouldKeepAlive = false;
    }
    this.#res.writeHead(status, head);
  }

  /** True if the end of the answer is sent, or prepared. */
  get #isEnding(): boolean {
    return this.#singleWrite !== undefined || this.#res.writableEnded;
  }

  chunk(chunk: Buffer): void {
    const res = this.#res;
    if (this.#isEnding) return;
    if (chunk.length === this.#length && chunk.length <= SINGLE_WRITE_BYTES && !res.headersSent) {
      this.#sendWhole(chunk.toString('latin1'));
    } else if (isFeed(this.#queue)) {
      this.#send(chunk);
      this.feed?.sent(chunk);
    } else if (!res.headersSent && res.req.httpVersionMinor === 0) {
      // Only a reset shows a client of HTTP/1.0 that an answer broke off. Some do not see it behind data.
      this.#send(chunk);
    } else this.#addToBatch(chunk);
  }

  /** Sends head and body, together with the other answers of this turn of the event loop. */
  #sendWhole(body: string): void {
    this.writeHead(body.length);
    this.#complete();
    this.#singleWrite = body;
    this.#services.writes.add(this);
  }

  #addToBatch(chunk: Buffer): void {
    if (chunk.length >= LARGE_CHUNK_BYTES) {
      if (this.#batchChunks > 0) this.#send(this.#takeBatch());
      this.#send(chunk);
      return;
    }
    this.#batch += chunk.toString('latin1');
    this.#batchChunks += 1;
    if (this.#batch.length >= BATCH_BYTES || this.#batchChunks >= BATCH_CHUNKS) this.#send(this.#takeBatch());
    else this.#timer ??= setTimeout(flushBatch, BATCH_DELAY_MS, this);
  }

  /** Empties the batch and returns it. */
  #takeBatch(): string {
    const all = this.#batch;
    this.discardBatch();
    return all;
  }

  /** Empties the batch without sending it. */
  discardBatch(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#batch = '';
    this.#batchChunks = 0;
  }

  flushBatch(): void {
    if (this.#batchChunks > 0 && !this.#res.writableEnded && !this.#res.destroyed)
      this.#send(this.#takeBatch());
  }

  /** Sends bytes, or the same as Latin-1. */
  #send(chunk: Buffer | string): void {
    const res = this.#res;
    if (this.#exchange.isOver) return;
    if (!res.headersSent) this.writeHead();
    this.#reading?.sent(chunk.length);
    if (res.write(chunk, 'latin1') || this.#isWaiting) return;
    this.#isWaiting = true;
    this.#answer.pause();
    const { socket } = res;
    const stopWaiting = socket === null ? undefined : this.#reading?.wait(socket);
    res.once('drain', () => {
      this.#isWaiting = false;
      stopWaiting?.();
      this.#answer.resume();
    });
  }

  #watchReading(): ReadingWatch {
    const { unreadMs } = this.#services;
    return new ReadingWatch({
      unreadMs,
      isWanted: () => this.#node.limiter(this.#queue).isWantedFrom(this.#exchange.caller),
      end: (reason) => this.#exchange.end(reason, true),
    });
  }

  writeNow(): void {
    const res = this.#res;
    if (this.#singleWrite !== undefined && !res.destroyed) endInOneWrite(res, this.#singleWrite);
  }

  ended(): void {
    const res = this.#res;
    if (this.#isEnding || this.#exchange.isOver) return;
    // The whole body is here: with its length, one write; in chunks of HTTP, five pieces.
    if (!res.headersSent && this.#batchChunks > 0) {
      this.#sendWhole(this.#takeBatch());
      return;
    }
    if (!res.headersSent) this.writeHead();
    if (this.#batchChunks > 0) res.end(this.#takeBatch(), 'latin1');
    else res.end();
    this.#complete();
  }

  #complete(): void {
    this.#services.nodes.recordSuccess(this.#node);
    this.#exchange.complete();
  }

  /** Sends what arrived before. The answer has then begun, so that it is not requested again. */
  brokeOff(): void {
    const { headersSent, socket } = this.#res;
    if (headersSent) this.discardBatch();
    else {
      // Before the connection is destroyed; see endInOneWrite.
      socket?.cork();
      this.flushBatch();
      socket?.uncork();
    }
    this.#exchange.truncated(new Error('node closed the connection before the end of its answer'));
  }
}

/**
 * Sends the head and the whole body with one system call. Node joins a head and a string into one write, but
 * `res.end(text)` adds an empty chunk and passes both to writev, which costs more than twice as much.
 */
function endInOneWrite(res: ServerResponse, text: string): void {
  // A corked socket writes on `uncork`; else `res.write` would cork it until the next tick.
  const { socket } = res;
  socket?.cork();
  res.write(text, 'latin1');
  socket?.uncork();
  res.end();
}

function flushBatch(body: AnswerBody): void {
  body.flushBatch();
}
