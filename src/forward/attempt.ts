// One try at one node: takes its slot, makes the upstream request, and says how it went. What follows from that is exchange.ts's business.
import {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { type Socket } from 'node:net';
import { isEstablished, NodeSilent } from './agents.ts';
import { type CouchProxy, type ProxiedRequest } from './couch-proxy.ts';
import { type CouchNode } from './node.ts';
import { type OutgoingRequest } from './outgoing-request.ts';
import { type OutgoingBody } from './request-body.ts';
import { type ConnectionPlan } from './connection-plan.ts';

export interface AttemptServices {
  readonly proxy: CouchProxy;
  /** Longest wait for the answer to a multipart request that was sent completely: CouchDB may never give one (H2). */
  readonly multipartTimeoutMs: number;
}

/** How an attempt failed before its answer's head. */
export interface AttemptFailure {
  readonly error: NodeJS.ErrnoException;
  /** False = no connection stood, so not a byte left. */
  readonly reached: boolean;
  /** True = on a connection that had been used before, which the node may just have closed. */
  readonly reused: boolean;
}

export interface AttemptEvents {
  answered(answer: IncomingMessage, upstream: ClientRequest): void;
  /** Called once at most, and not after `answered`. */
  attemptFailed(failure: AttemptFailure): void;
}

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

  /** The slot of `node` has been taken, and is given back by this attempt when it is over. */
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

  /** Throws what Node throws for a header that cannot be sent; the slot is free again then. */
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
    // http-proxy joins slashes and completes `http:/`; what was classified is what is sent (H7).
    if (upstream.path !== this.url) upstream.path = this.url;
    upstream.on('close', () => {
      this.#release();
      // An error costs what its stack takes to write down, so none is made where nobody would hear of it.
      if (!this.#settled) this.failed(new Error('the connection ended without an answer'));
    });
    if (this.#request.multipart) upstream.on('finish', () => this.#awaitAnswer(upstream));
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
    this.#events.attemptFailed({ error, reached: isEstablished(socket), reused: reusedSocket });
  }

  /** Ends it, whatever its state; nobody hears of it any more. */
  destroy(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
    if (this.#upstream === undefined) this.#release();
    else this.#upstream.destroy();
  }

  #awaitAnswer(upstream: ClientRequest): void {
    if (this.#settled) return;
    this.#timer = setTimeout(
      () => upstream.destroy(new NodeSilent('no answer to a multipart request')),
      this.#services.multipartTimeoutMs,
    );
  }

  #release(): void {
    if (!this.#holdsSlot) return;
    this.#holdsSlot = false;
    this.node.limiter(this.#plan.queue).release(this.#request.caller);
  }
}
