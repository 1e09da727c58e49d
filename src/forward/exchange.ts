// One client request on its way through the cluster: whose turn it waits for, which node is tried next, and every way in which it can end.
import { type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Context, type Decision, known } from '../context.ts';
import { meterOf } from '../body/json-meter.ts';
import { bodyLimit, structureLimits, type BodyLimits } from '../body/limits.ts';
import { InternalIdScan } from '../body/stream-scan.ts';
import { type HttpError } from '../http-errors.ts';
import { NodeSilent } from './agents.ts';
import { type AnswerServices, relayAnswer } from './answer.ts';
import { type Ends } from './answer-body.ts';
import { Attempt, type AttemptEvents, type AttemptFailure, type AttemptServices } from './attempt.ts';
import { failureOf, isUnreadable, noNode } from './failures.ts';
import { type Identity } from './identity.ts';
import { type CouchNode } from './node.ts';
import { OutgoingRequest } from './outgoing-request.ts';
import { OutgoingBody } from './request-body.ts';
import { type Waiter } from '../limits/concurrency-limiter.ts';
import { onNewConnection, type ConnectionPlan } from './connection-plan.ts';

export interface ExchangeServices extends AnswerServices, AttemptServices, BodyLimits {
  readonly identity: Identity;
}

export class Exchange implements Waiter, AttemptEvents, Ends {
  readonly caller: string;
  readonly #services: ExchangeServices;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #next: (error: unknown) => void;
  readonly #context: Context;
  readonly #request: OutgoingRequest;
  readonly #body: OutgoingBody;
  #plan: ConnectionPlan;
  #node: CouchNode | undefined;
  #attempt: Attempt | undefined;
  #tried: Set<CouchNode> | undefined;
  #over = false;

  /** Throws BadRequest for headers that cannot be passed on in one meaning. */
  constructor(
    services: ExchangeServices,
    req: IncomingMessage,
    res: ServerResponse,
    next: (error: unknown) => void,
    context: Context,
    decision: Extract<Decision, { allow: true }>,
  ) {
    this.#services = services;
    this.#req = req;
    this.#res = res;
    this.#next = next;
    this.#context = context;
    this.#request = new OutgoingRequest(req, context, decision, services.identity);
    this.#plan = this.#request.plan;
    this.caller = this.#request.caller;
    // Ids in a body that was not read to decide are looked at as they pass.
    const scan = context.operation?.decidedByBody === 'bulk-ids' ? new InternalIdScan() : undefined;
    const limitBytes = bodyLimit(decision.endpoint, req, services);
    const { body } = this.#request;
    const meter =
      body.kind === 'stream'
        ? meterOf(structureLimits(decision.endpoint, req, services), body.length)
        : undefined;
    this.#body = new OutgoingBody(body, req, limitBytes, scan, meter, this);
    // The one sign that a client left: Node emits `aborted` only while the request is incomplete (M3).
    res.on('close', () => this.#clientClosed());
  }

  /** Finds a node and goes to it, or waits in its line. */
  start(): void {
    const { nodes } = this.#services;
    const node = nodes.pick(this.#plan.queue, this.caller, this.#tried);
    this.#node = node;
    if (node === undefined) this.fail(noNode(nodes.usable, this.#tried !== undefined));
    else if (node.limiter(this.#plan.queue).acquire(this)) this.#try(node);
  }

  granted(): void {
    const node = known(this.#node, 'upstream.node');
    if (this.#over) node.limiter(this.#plan.queue).release(this.caller);
    else this.#try(node);
  }

  displaced(): void {
    if (!this.#over) this.start();
  }

  answered(answer: IncomingMessage, upstream: ClientRequest): void {
    const incoming = { answer, upstream, node: known(this.#node, 'upstream.node'), queue: this.#plan.queue };
    relayAnswer(this.#services, incoming, this.#req, this.#res, this);
  }

  attemptFailed({ error, reached, reused }: AttemptFailure): void {
    const { nodes } = this.#services;
    const node = known(this.#node, 'upstream.node');
    if (this.#over) return;
    if (!reached) nodes.markFailed(node);
    else if (!isUnreadable(error)) nodes.markSuspect(node);
    if (reached && !this.#mayRepeat(error)) {
      this.fail(failureOf(error, this.#request));
      return;
    }
    this.#context.outcome.failure = `${node.host}: ${error.message}`;
    // A kept connection that the node has just closed says nothing about the node: it may be asked again, on a new one.
    if (reused) this.#plan = onNewConnection(this.#plan);
    else (this.#tried ??= new Set()).add(node);
    this.start();
  }

  #try(node: CouchNode): void {
    const { upstream } = this.#context;
    upstream.node = node.host;
    upstream.sentAt = performance.now();
    try {
      const attempt = new Attempt(
        this.#services,
        this.#request,
        this.#body,
        this.#plan,
        node,
        this.#req.socket,
        this,
      );
      this.#attempt = attempt;
      attempt.send(this.#res);
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  /** Another node may be asked only for what cannot happen twice, and while the client has seen nothing. */
  #mayRepeat(error: Error): boolean {
    return (
      this.#request.repeatable &&
      !this.#body.consumed &&
      !this.#res.headersSent &&
      !(error instanceof NodeSilent) &&
      !isUnreadable(error)
    );
  }

  complete(upstream: ClientRequest): void {
    this.#over = true;
    this.#body.stop();
    // CouchDB answered before it had read all, so what was left unsent has no meaning for it any more.
    if (!upstream.writableFinished) upstream.destroy();
  }

  /** The answer broke off (M4): the client must see it, unless it has seen nothing of the answer yet. */
  broken(error: Error): void {
    if (this.#over) return;
    if (!this.#res.headersSent) {
      this.attemptFailed({ error, reached: true, reused: false });
      return;
    }
    this.#services.nodes.markSuspect(known(this.#node, 'upstream.node'));
    this.end('upstream truncated', true);
  }

  /** Ends an answer that has begun; visibly = the client's connection breaks, so that it cannot take the answer for whole. */
  end(reason: string, visibly: boolean): void {
    if (this.#over) return;
    this.#context.outcome.cut(reason);
    this.#finish();
    if (visibly) breakOff(this.#req, this.#res);
    else this.#res.end();
  }

  #clientClosed(): void {
    if (!this.#over) this.#context.outcome.cut('client left');
    this.#finish();
  }

  fail(error: unknown): void {
    if (this.#over) return;
    this.#finish();
    this.#next(error);
  }

  /** The body is one that we do not let through. */
  refuse(error: HttpError): void {
    this.#context.outcome.refuseBy(error);
    this.fail(error);
  }

  #finish(): void {
    this.#over = true;
    this.#body.stop();
    this.#node?.limiter(this.#plan.queue).abandon(this);
    this.#attempt?.destroy();
  }
}

/**
 * HTTP/1.0 knows no chunks: there the end of the connection is the end of the answer, and only a reset shows that it is not. Node
 * refuses a reset to TLS, where a missing close_notify shows the same, and leaks a socket that is reset while it is ending.
 */
function breakOff({ httpVersionMinor, socket }: IncomingMessage, res: ServerResponse): void {
  if (httpVersionMinor === 0 && !('encrypted' in socket) && socket.writable) socket.resetAndDestroy();
  else res.destroy();
}
