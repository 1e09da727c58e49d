// Sends a request to one node once, and reports the answer or the failure.
import {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { type Socket } from 'node:net';
import { isEstablished, NodeTimeout } from './agents.ts';
import { type CouchProxy, type ProxiedRequest } from './couch-proxy.ts';
import { type CouchNode } from './node.ts';
import { type OutgoingRequest } from './outgoing-request.ts';
import { type OutgoingBody } from './request-body.ts';
import { type ConnectionPlan } from './connection-plan.ts';

export interface AttemptServices {
  readonly proxy: CouchProxy;
  /** Longest wait, in ms, after a multipart request was sent completely: CouchDB may never answer it (H2). */
  readonly multipartTimeoutMs: number;
}

/** How an attempt failed before the head of an answer arrived. */
export interface AttemptFailure {
  readonly error: NodeJS.ErrnoException;
  /** False = no connection was established, so no byte was sent. */
  readonly connected: boolean;
  /** True = the connection was reused, so the node may have closed it for being idle. */
  readonly reused: boolean;
}

export interface AttemptEvents {
  answered(answer: IncomingMessage, upstream: ClientRequest): void;
  /** Called at most once, and not after `answered`. */
  attemptFailed(failure: AttemptFailure): void;
}

/** One attempt, and the request object that http-proxy sees. */
export class Attempt implements ProxiedRequest {
  readonly method: string;
  readonly url: string;
  headers: OutgoingHttpHeaders = {};
  readonly socket: Socket;
  readonly node: CouchNode;
  readonly #request: OutgoingRequest;
  readonly #services: AttemptServices;
  readonly #body: OutgoingBody;
  readonly #events: AttemptEvents;
  readonly #plan: ConnectionPlan;
  #upstream: ClientRequest | undefined;
  #settled = false;
  #holdsSlot = true;
  #timer: NodeJS.Timeout | undefined;

  /** The caller has acquired a slot of `node`; the attempt releases it when it ends. */
  constructor(
    services: AttemptServices,
    request: OutgoingRequest,
    body: OutgoingBody,
    plan: ConnectionPlan,
    node: CouchNode,
    socket: Socket,
    events: AttemptEvents,
  ) {
    this.method = request.method;
    this.url = request.url;
    this.socket = socket;
    this.node = node;
    this.#request = request;
    this.#services = services;
    this.#body = body;
    this.#plan = plan;
    this.#events = events;
  }

  /** Sends the request. Throws Node's error for a header that cannot be sent, after releasing the slot. */
  send(res: ServerResponse): void {
    try {
      this.headers = this.#request.headersFor(this.node);
      this.#services.proxy.send(this, res, this.node.upstreams[this.#plan.pool]);
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
      this.#events.answered(answer, this.#upstream);
    }
  }

  failed(error: NodeJS.ErrnoException): void {
    clearTimeout(this.#timer);
    if (this.#settled) return;
    this.#settled = true;
    this.#release();
    const { socket = null, reusedSocket = false } = this.#upstream ?? {};
    this.#events.attemptFailed({ error, connected: isEstablished(socket), reused: reusedSocket });
  }

  /** Ends the attempt in any state. No event follows. */
  destroy(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
    if (this.#upstream === undefined) this.#release();
    else this.#upstream.destroy();
  }

  #startAnswerTimeout(upstream: ClientRequest): void {
    if (this.#settled) return;
    this.#timer = setTimeout(
      () => upstream.destroy(new NodeTimeout('no answer to a multipart request')),
      this.#services.multipartTimeoutMs,
    );
  }

  #release(): void {
    if (!this.#holdsSlot) return;
    this.#holdsSlot = false;
    this.node.limiter(this.#plan.queue).release(this.#request.caller);
  }
}
