// Sends a request to one node with http-proxy: streams, and requests on connections of their own.
import {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { type Socket } from 'node:net';
import { abandonRead } from './abandoned-read.ts';
import { isEstablished, NodeTimeout } from './agents.ts';
import { type AnswerReceiver, type Attempt, type AttemptEvents, type NodeAnswer } from './carrier.ts';
import { type CouchProxy, type ProxiedRequest } from './couch-proxy.ts';
import { type CouchNode, isWhole } from './node.ts';
import { type OutgoingRequest } from './outgoing-request.ts';
import { type OutgoingBody } from './request-body.ts';
import { type ConnectionPlan } from './connection-plan.ts';

export interface StreamServices {
  readonly proxy: CouchProxy;
  /** Longest wait, in ms, after a multipart request was sent completely: CouchDB may never answer it (H2). */
  readonly multipartTimeoutMs: number;
}

/** The exchange that the attempt is made for. Another attempt may have another plan and another node. */
export interface StreamedExchange extends AttemptEvents {
  readonly request: OutgoingRequest;
  readonly plan: ConnectionPlan;
  readonly node: CouchNode;
  readonly res: ServerResponse;
}

/** One attempt, and the request object that http-proxy sees. */
export class StreamAttempt implements Attempt, ProxiedRequest {
  readonly method: string;
  readonly url: string;
  headers: OutgoingHttpHeaders = {};
  readonly socket: Socket;
  readonly node: CouchNode;
  readonly #request: OutgoingRequest;
  readonly #services: StreamServices;
  readonly #body: OutgoingBody;
  readonly #exchange: StreamedExchange;
  readonly #plan: ConnectionPlan;
  #upstream: ClientRequest | undefined;
  #settled = false;
  #holdsSlot = true;
  #timer: NodeJS.Timeout | undefined;

  /** The exchange holds a slot of its node; the attempt releases it when CouchDB's work for it ends. */
  constructor(services: StreamServices, exchange: StreamedExchange, body: OutgoingBody) {
    const { request } = exchange;
    this.method = request.method;
    this.url = request.url;
    this.socket = exchange.res.req.socket;
    this.node = exchange.node;
    this.#request = request;
    this.#services = services;
    this.#body = body;
    this.#plan = exchange.plan;
    this.#exchange = exchange;
  }

  /** Sends the request. Throws Node's error for a header that cannot be sent, after releasing the slot. */
  send(): void {
    try {
      this.headers = this.#request.headersFor(this.node);
      this.headers['host'] = this.#request.hostFor(this.node);
      this.#services.proxy.send(this, this.#exchange.res, this.node.upstreams[this.#plan.pool]);
    } catch (thrown) {
      this.destroy();
      throw thrown;
    }
  }

  on(): this {
    return this;
  }

  pipe(upstream: ClientRequest): ClientRequest {
    this.#upstream = upstream;
    // http-proxy joins slashes and completes `http:/`. The classified path must be sent unchanged (H7).
    if (upstream.path !== this.url) upstream.path = this.url;
    upstream.on('close', () => {
      this.#release();
      // Creating an Error captures a stack, so none is created when nothing handles it.
      if (!this.#settled) this.failed(new Error('connection closed without an answer'));
    });
    if (this.#request.multipart) upstream.on('finish', () => this.#startAnswerTimeout(upstream));
    this.#body.sendTo(upstream);
    return upstream;
  }

  answered(answer: IncomingMessage): void {
    clearTimeout(this.#timer);
    if (this.#settled || this.#upstream === undefined) answer.destroy();
    else {
      this.#settled = true;
      this.#exchange.answered(new StreamAnswer(answer, this.#upstream, this.#request.hostFor(this.node)));
    }
  }

  failed(error: NodeJS.ErrnoException): void {
    clearTimeout(this.#timer);
    if (this.#settled) return;
    this.#settled = true;
    this.#release();
    const { socket = null, reusedSocket = false } = this.#upstream ?? {};
    this.#exchange.attemptFailed({ error, connected: isEstablished(socket), reused: reusedSocket });
  }

  finish(): void {
    if (this.#upstream?.writableFinished === false) this.#upstream.destroy();
  }

  destroy(): void {
    const upstream = this.#upstream;
    const isUnanswered = !this.#settled;
    this.#settled = true;
    clearTimeout(this.#timer);
    if (upstream === undefined) this.#release();
    else if (isUnanswered && isWhole(this.#plan.queue) && upstream.writableFinished) this.#abandon(upstream);
    else upstream.destroy();
  }

  /** CouchDB goes on with the read, so its slot is released later (H15). */
  #abandon(upstream: ClientRequest): void {
    this.#upstream = undefined;
    this.#holdsSlot = false;
    abandonRead(upstream, this.node.limiter(this.#plan.queue), this.#request.caller);
  }

  #startAnswerTimeout(upstream: ClientRequest): void {
    if (this.#settled) return;
    this.#timer = setTimeout(
      // Timers run before the answers that arrived while this process was blocked.
      () => setImmediate(() => this.#endUnanswered(upstream)),
      this.#services.multipartTimeoutMs,
    );
  }

  #endUnanswered(upstream: ClientRequest): void {
    if (!this.#settled) upstream.destroy(new NodeTimeout('no answer to a multipart request'));
  }

  #release(): void {
    if (!this.#holdsSlot) return;
    this.#holdsSlot = false;
    this.node.limiter(this.#plan.queue).release(this.#request.caller);
  }
}

type ReceivedAnswer = IncomingMessage & { receiver?: AnswerReceiver };

/** The answer to a request of http-proxy. Its listeners are shared functions that find the receiver. */
class StreamAnswer implements NodeAnswer {
  readonly status: number;
  readonly rawHeaders: readonly string[];
  readonly sentHost: string;
  readonly isAuthorized: boolean;
  readonly #answer: ReceivedAnswer;
  readonly #upstream: ClientRequest;

  constructor(answer: IncomingMessage, upstream: ClientRequest, sentHost: string) {
    this.sentHost = sentHost;
    this.status = answer.statusCode ?? 0;
    this.rawHeaders = answer.rawHeaders;
    this.isAuthorized = upstream.hasHeader('authorization');
    this.#answer = answer;
    this.#upstream = upstream;
  }

  closeAfter(): void {
    this.#upstream.shouldKeepAlive = false;
  }

  receive(receiver: AnswerReceiver): void {
    this.#answer.receiver = receiver;
    this.#answer.on('data', onData).on('end', onEnd).on('close', onClose);
  }

  pause(): void {
    this.#answer.pause();
  }

  resume(): void {
    this.#answer.resume();
  }
}

function onData(this: ReceivedAnswer, chunk: Buffer): void {
  this.receiver?.chunk(chunk);
}

function onEnd(this: ReceivedAnswer): void {
  this.receiver?.ended();
}

function onClose(this: ReceivedAnswer): void {
  if (!this.complete) this.receiver?.brokeOff();
}
