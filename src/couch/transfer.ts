// Transfers bytes between Couchgate and CouchDB: large answers, streams, and bodies that are made while they
// are sent. Couchgate's small requests use client.ts.
import { type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { BadGateway, type HttpError } from '../http-errors.ts';
import {
  ANSWER_TOO_LARGE,
  AnswerTooLarge,
  codeOf,
  describeFailure,
  isBroken,
  LocalFailure,
  MAX_BROKEN,
  nodeName,
  type CouchFailure,
  unavailable,
} from './failure.ts';
import { CONNECT_TIMEOUT, HttpPool } from './http-exchange.ts';

export interface TransferOptions {
  /** Returns an available node that is not in `tried`; undefined = none left. */
  readonly pickNode: (tried: ReadonlySet<string>) => { readonly url: string } | undefined;
  /** Value of the Authorization header, called for every request; undefined = an anonymous request. */
  readonly authorization: () => string | undefined;
  /** Called when a node is unreachable or times out. */
  readonly nodeFailed?: (url: string, reason: string) => void;
  /** PEM of the CA that signed the certificates of https nodes. */
  readonly ca?: string;
  readonly connectTimeoutMs: number;
  /** Maximum silence of a node during an exchange. Default: 120 s, and more after a large body. */
  readonly silenceMs?: number;
  /** How long a repeatable request is tried again after its first failure. */
  readonly patienceMs?: number;
  /** Connections to one node. */
  readonly connections?: number;
}

export interface TransferRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Encoded path with query. It is sent byte for byte. */
  readonly path: string;
  /**
   * JSON text, or a function that starts the body again for every attempt. A `LocalFailure` of the body ends
   * the request.
   */
  readonly body?: string | (() => AsyncIterable<Buffer>);
  /** Default: application/json. */
  readonly contentType?: string;
  /** Required for a body that is a function. */
  readonly contentLength?: number;
  /** True if CouchDB may get the request twice: it reads, or a second write changes nothing. */
  readonly repeatable?: boolean;
  /** How long a repeatable request is tried again after its first failure; default: as in the options. */
  readonly patienceMs?: number;
  /**
   * The answer has text of clients in its head, as the revision of a document. Its connection is used once,
   * because such a text can end the answer and begin another one (H3).
   */
  readonly isHeadForeign?: boolean;
  /**
   * Its answer may take more memory than a node has: it is given up after two broken connections. The caller
   * asks for less then, and may wait for the end of an outage with another request.
   */
  readonly mayEndNode?: boolean;
  /** Takes content as it is stored, where CouchDB has it compressed. */
  readonly acceptGzip?: boolean;
  /** Aborts the exchange. */
  readonly signal?: AbortSignal | undefined;
}

export interface TransferAnswer {
  readonly status: number;
  readonly bytes: Buffer;
}

/** The answer is not valid HTTP, which is no failure of the node: another one would send the same. */
export class InvalidAnswer extends BadGateway {}

export interface CouchTransfer {
  /**
   * Sends a request and reads the whole answer. Resolves with every status that another node would give too.
   * Throws `Unavailable`, or `AnswerTooLarge` if the answer has more than `maxBytes`.
   */
  ask(request: TransferRequest, maxBytes?: number): Promise<TransferAnswer>;
  /**
   * Sends a GET and resolves when the answer begins. A status other than 200 is returned without its body.
   * The stream fails if the answer is truncated.
   */
  read(request: TransferRequest): Promise<{ readonly status: number; readonly body: Readable }>;
  close(): Promise<void>;
}

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5000;

/**
 * Creates the client. Its connections never carry client traffic (H3). Attachments and multipart bodies get
 * connections that are used once (H2, H3).
 */
export function createTransfer(options: TransferOptions): CouchTransfer {
  return new Transfer(options);
}

/** CouchDB answers after it has stored a body: a slow disk or a slow peer gets a second for so many bytes. */
const BODY_BYTES_PER_SECOND = 2 * 1024 * 1024;
const SILENCE_MS = 120_000;

class Transfer implements CouchTransfer {
  readonly #options: TransferOptions;
  readonly #kept: HttpPool;
  readonly #once: HttpPool;

  constructor(options: TransferOptions) {
    this.#options = options;
    const { connections = 16, connectTimeoutMs, ca } = options;
    const pool = { connections, connectTimeoutMs, ...(ca === undefined ? {} : { ca }) };
    this.#kept = new HttpPool(pool, true);
    this.#once = new HttpPool(pool, false);
  }

  async ask(request: TransferRequest, maxBytes = Infinity): Promise<TransferAnswer> {
    const { method } = request;
    return this.#tryNodes(request, async (node) => {
      const answer = await this.#send(node, request);
      const parts: Buffer[] = [];
      let size = 0;
      for await (const part of answer as AsyncIterable<Buffer>) {
        size += part.length;
        // Leaving the loop destroys the answer and its connection.
        if (size > maxBytes)
          throw unavailable({ node: nodeName(node), method, reached: 'sent', reason: ANSWER_TOO_LARGE });
        parts.push(part);
      }
      return { status: answer.statusCode ?? 0, bytes: Buffer.concat(parts, size) };
    });
  }

  async read(request: TransferRequest): Promise<{ readonly status: number; readonly body: Readable }> {
    return this.#tryNodes({ ...request, repeatable: true, isHeadForeign: true }, async (node) => {
      const answer = await this.#send(node, request);
      const { statusCode: status = 0 } = answer;
      if (status === 200) return { status, body: answer };
      answer.destroy();
      return { status, body: Readable.from([]) };
    });
  }

  close(): Promise<void> {
    this.#kept.close();
    this.#once.close();
    return Promise.resolve();
  }

  #send(node: string, request: TransferRequest): Promise<IncomingMessage> {
    const { method, path, body, contentType, contentLength, signal } = request;
    const isStream = typeof body === 'function';
    const authorization = this.#options.authorization();
    const headers: Record<string, string> = {
      Accept: 'application/json, */*;q=0.1',
      ...(request.acceptGzip === true ? { 'Accept-Encoding': 'gzip' } : {}),
      ...(authorization === undefined ? {} : { Authorization: authorization }),
      ...(body === undefined ? {} : { 'Content-Type': contentType ?? 'application/json' }),
      ...(isStream ? { 'Content-Length': String(contentLength ?? 0) } : {}),
    };
    return (isStream || request.isHeadForeign === true ? this.#once : this.#kept).send({
      origin: node,
      path,
      method,
      headers,
      signal,
      ...(body === undefined ? {} : { body: isStream ? body() : body }),
      silenceMs: this.#silenceAfter(isStream ? (contentLength ?? 0) : 0),
    });
  }

  #silenceAfter(bytes: number): number {
    return (this.#options.silenceMs ?? SILENCE_MS) + Math.ceil((1000 * bytes) / BODY_BYTES_PER_SECOND);
  }

  /** Tries the nodes in turn, and all of them again after a pause, until the patience ends. */
  async #tryNodes<T extends { readonly status: number }>(
    request: TransferRequest,
    attempt: (node: string) => Promise<T>,
  ): Promise<T> {
    // From the first failure on: the transfer of a large attachment may have taken minutes.
    let giveUpAt: number | undefined;
    let tried = new Set<string>();
    let failure: CouchFailure | undefined;
    let invalid = 0;
    let broken = 0;
    for (let pauseMs = FIRST_PAUSE_MS; ;) {
      const node = this.#options.pickNode(tried)?.url;
      if (node === undefined) {
        giveUpAt ??= Date.now() + (request.patienceMs ?? this.#options.patienceMs ?? 60_000);
        if (Date.now() + pauseMs > giveUpAt) throw refusalOf(failure);
        await delay(pauseMs, undefined, request.signal === undefined ? {} : { signal: request.signal });
        pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
        tried = new Set();
        continue;
      }
      tried.add(node);
      const result = await this.#attempt(node, request, attempt);
      if (!('failure' in result)) return result.answer;
      failure = result.failure;
      // Once more: what is wrong may be left on a kept connection by the answer before.
      if (isInvalid(failure) && (invalid += 1) === 2) throw refusalOf(failure);
      if (request.mayEndNode === true && isBroken(failure) && (broken += 1) === MAX_BROKEN)
        throw refusalOf(failure);
      // A write that a node may have received is not repeated, unless a second one changes nothing.
      const isRead = request.method === 'GET' || request.repeatable === true;
      if (failure.reached === 'sent' && !isRead) throw refusalOf(failure);
    }
  }

  async #attempt<T extends { readonly status: number }>(
    node: string,
    request: TransferRequest,
    attempt: (node: string) => Promise<T>,
  ): Promise<{ readonly answer: T } | { readonly failure: CouchFailure }> {
    const base = { node: nodeName(node), method: request.method };
    try {
      const answer = await attempt(node);
      if (!isTransient(answer.status)) return { answer };
      return { failure: { ...base, reached: 'sent', reason: `status ${answer.status}` } };
    } catch (error) {
      if (
        error instanceof AnswerTooLarge ||
        request.signal?.aborted === true ||
        error instanceof LocalFailure
      )
        throw error;
      const reason = codeOf(error);
      const unsent = UNSENT.has(reason);
      if (unsent) this.#options.nodeFailed?.(node, reason);
      return { failure: { ...base, reached: unsent ? 'unsent' : 'sent', reason } };
    }
  }
}

/** The parser of Node has codes that begin so. */
function isInvalid({ reason }: CouchFailure): boolean {
  return reason.startsWith('HPE_');
}

function refusalOf(failure: CouchFailure | undefined): HttpError {
  if (failure === undefined || !isInvalid(failure)) return unavailable(failure);
  return new InvalidAnswer('CouchDB sent an answer that is not valid HTTP.', describeFailure(failure));
}

/** Codes of a connection that was not made. */
const UNSENT = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', CONNECT_TIMEOUT]);

/** Too busy, or a node failed. 501 = CouchDB does not have the feature. */
function isTransient(status: number): boolean {
  return status === 429 || (status >= 500 && status !== 501);
}
