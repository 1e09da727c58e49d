// Forwards one client request: node choice, queue, retries, and every way in which the exchange can end.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { onClosed } from '../closed-response.ts';
import {
  type Allowed,
  callerOf,
  type Context,
  contextOf,
  type CutReason,
  known,
  permitted,
} from '../context.ts';
import { sharedKeyOf } from '../principal/caller.ts';
import { type BodyBudget } from '../body/budget.ts';
import { bodyMeter } from '../body/body-meter.ts';
import { bodyLimit, type BodyLimits } from '../body/limits.ts';
import { type HttpError, RightsReduced, Unavailable } from '../http-errors.ts';
import { abortAnswer } from '../respond.ts';
import { requireStillPermitted, revoked } from '../revocation/after-wait.ts';
import { type IsStillPermitted } from '../revocation/revocation-watch.ts';
import { type RunningExchange, type RunningExchanges } from '../revocation/running-exchanges.ts';
import { codeOf, MAX_BROKEN } from '../couch/failure.ts';
import { NodeTimeout } from './agents.ts';
import { type AnswerServices, relayAnswer } from './answer.ts';
import { type AnsweredExchange } from './answer-body.ts';
import { type Attempt, type AttemptFailure, type NodeAnswer } from './carrier.ts';
import { failureOf, isInvalidHttp, noNode } from './failures.ts';
import { KeptAttempt } from './kept-attempt.ts';
import { type CouchNode, isFeed, type Queue } from './node.ts';
import { OutgoingRequest, type OutgoingServices } from './outgoing-request.ts';
import { OutgoingBody, type SendingExchange } from './request-body.ts';
import { StreamAttempt, type StreamedExchange, type StreamServices } from './stream-attempt.ts';
import { type Waiter } from '../limits/concurrency-limiter.ts';
import { type Entry } from '../limits/linked-list.ts';
import { onNewConnection, type ConnectionPlan } from './connection-plan.ts';

export interface ExchangeServices extends AnswerServices, StreamServices, BodyLimits, OutgoingServices {
  readonly running: RunningExchanges;
  readonly isStillPermitted: IsStillPermitted;
  /** Counts the JSON values of large bodies. */
  readonly valueBudget: BodyBudget;
}

export class Exchange
  implements Waiter, StreamedExchange, SendingExchange, AnsweredExchange, RunningExchange
{
  readonly caller: string;
  readonly context: Context;
  readonly res: ServerResponse;
  readonly request: OutgoingRequest;
  plan: ConnectionPlan;
  running: Entry<RunningExchange> | undefined = undefined;
  queued: Entry<Waiter> | undefined = undefined;
  readonly #services: ExchangeServices;
  readonly #req: IncomingMessage;
  readonly #next: (error: unknown) => void;
  readonly #decision: Allowed;
  #body: OutgoingBody | undefined;
  #node: CouchNode | undefined;
  #attempt: Attempt | undefined;
  #tried: Set<CouchNode> | undefined;
  /** Number of connections that broke after the request was sent. */
  #broken = 0;
  #over = false;
  /** True if it waited since authorize decided: it must be decided again before it is sent (H19). */
  #waited = false;

  /** Throws BadRequest for headers that have more than one reading. */
  constructor(services: ExchangeServices, res: ServerResponse, next: (error: unknown) => void) {
    const { req } = res;
    const context = contextOf(req);
    const decision = permitted(context);
    this.#services = services;
    this.#req = req;
    this.res = res;
    this.#next = next;
    this.context = context;
    this.request = new OutgoingRequest(req, context, decision, services);
    this.plan = this.request.plan;
    this.caller = this.request.caller;
    this.#decision = decision;
    // Created before a slot is taken, because the meter of a stream may refuse the head of the body. A body
    // that is not streamed needs it for http-proxy only, later.
    if (this.request.body.kind === 'stream') this.#body = this.#createBody();
    // The only event for a client that disconnected: Node emits `aborted` only while the request is
    // incomplete (M3).
    onClosed(res, () => this.#clientClosed());
  }

  get isOver(): boolean {
    return this.#over;
  }

  get node(): CouchNode {
    if (this.#node === undefined) throw new Error('no node was chosen');
    return this.#node;
  }

  get queue(): Queue {
    return this.plan.queue;
  }

  /** Starts the exchange, unless the client has gone. */
  start(): void {
    if (this.#over) return;
    const { running } = this.#services;
    running.add(this);
    if (isFeed(this.queue)) running.watch(this);
    this.#choose();
  }

  /** Picks a node and sends the request, or waits in the queue of the node. */
  #choose(): void {
    const { nodes } = this.#services;
    const { queue } = this;
    const node = this.request.asksOneNode
      ? nodes.pickFirst(queue, this.caller, this.#tried)
      : nodes.pick(queue, this.caller, this.#tried);
    this.#node = node;
    const acquired = node?.limiter(queue).acquire(this) ?? 'full';
    if (node === undefined || acquired === 'full') this.fail(noNode(nodes.usable, this.#tried !== undefined));
    else if (acquired === 'queued') {
      this.#waited = true;
      this.#services.running.watch(this);
    } else if (this.#waited) void this.#sendIfPermitted(node);
    else this.#send(node);
  }

  granted(): void {
    void this.#sendIfPermitted(this.node);
  }

  /** The slot of `node` is acquired; it is released where nothing is sent. */
  async #sendIfPermitted(node: CouchNode): Promise<void> {
    try {
      if (!this.#over) await requireStillPermitted(this.#services.isStillPermitted, this.context);
    } catch (error) {
      this.fail(error);
    }
    if (this.#over) node.limiter(this.queue).release(this.caller);
    else this.#send(node);
  }

  displaced(): void {
    if (!this.#over) this.#choose();
  }

  answered(answer: NodeAnswer): void {
    relayAnswer(this.#services, answer, this);
  }

  attemptFailed({ error, connected, reused }: AttemptFailure): void {
    const { node } = this;
    const { nodes } = this.#services;
    if (this.#over) return;
    if (connected) this.#broken += 1;
    if (!connected) nodes.markFailed(node);
    else if (!isInvalidHttp(error)) nodes.markSuspect(node, `request failed: ${codeOf(error)}`);
    if (connected && !this.#mayRetry(error)) {
      this.fail(failureOf(error, this.request));
      return;
    }
    this.context.outcome.failure = `${node.host}: ${error.message}`;
    // The node may close an idle connection at any time, so a failed reused connection does not exclude the
    // node.
    if (reused) this.plan = onNewConnection(this.plan);
    else (this.#tried ??= new Set()).add(node);
    this.#waited = true;
    this.#choose();
  }

  #send(node: CouchNode): void {
    const { upstream } = this.context;
    upstream.node = node.host;
    upstream.sentAt = performance.now();
    try {
      if (this.plan.pool === 'pooled' && this.request.mayUseKeptConnection) this.#sendKept(node);
      else this.#sendStream();
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  #sendKept(node: CouchNode): void {
    const attempt = new KeptAttempt(this.request, node, this.queue, this);
    this.#attempt = attempt;
    attempt.send();
  }

  #sendStream(): void {
    const body = (this.#body ??= this.#createBody());
    const attempt = new StreamAttempt(this.#services, this, body);
    this.#attempt = attempt;
    attempt.send();
  }

  #createBody(): OutgoingBody {
    const { body } = this.request;
    const { endpoint } = this.#decision;
    const services = this.#services;
    const limitBytes = bodyLimit(endpoint, this.#req, services);
    const caller = sharedKeyOf(callerOf(this.context));
    const { query } = known(this.context.target, 'target');
    const meter =
      body.kind === 'stream'
        ? bodyMeter({ endpoint, query, length: body.length }, this.#req, this.res, caller, services)
        : undefined;
    return new OutgoingBody(this, limitBytes, meter);
  }

  /**
   * True if another attempt cannot have a second effect, cannot end a third node, and the client has seen
   * nothing of the answer.
   */
  #mayRetry(error: Error): boolean {
    return (
      this.request.retryable &&
      this.#broken < MAX_BROKEN &&
      this.#body?.consumed !== true &&
      !this.res.headersSent &&
      !(error instanceof NodeTimeout) &&
      !isInvalidHttp(error)
    );
  }

  complete(): void {
    this.#over = true;
    this.#services.running.remove(this);
    this.#body?.stop();
    this.#attempt?.finish();
  }

  /** The answer broke off (M4): retries, or aborts the client's answer if it has begun. */
  truncated(error: Error): void {
    if (this.#over) return;
    if (!this.res.headersSent) {
      this.attemptFailed({ error, connected: true, reused: false });
      return;
    }
    this.#services.nodes.markSuspect(this.node, 'answer truncated');
    this.end('upstream truncated', true);
  }

  /** Ends an answer that has begun. `abort` = the client sees the answer as incomplete. */
  end(reason: CutReason, abort: boolean): void {
    if (this.#over) return;
    this.context.outcome.cut(reason);
    this.#finish();
    if (abort) abortAnswer(this.res);
    else this.res.end();
  }

  /**
   * The permission is revoked, or permits less than the token says. A client that has seen nothing gets the
   * refusal; another one sees its answer broken off.
   */
  cut(reason: CutReason): void {
    if (this.#over) return;
    if (this.res.headersSent) {
      this.end(reason, true);
      return;
    }
    this.context.outcome.cut(reason);
    if (reason === 'revoked') this.fail(revoked(this.context));
    else if (reason === RightsReduced.ENDED) this.fail(new RightsReduced());
    else this.fail(new Unavailable('The permissions cannot be read.'));
  }

  #clientClosed(): void {
    if (!this.#over) this.context.outcome.cut('client left');
    this.#finish();
  }

  fail(error: unknown): void {
    if (this.#over) return;
    this.#finish();
    this.#next(error);
  }

  /** Refuses a body whose content is forbidden or too large. */
  refuse(error: HttpError): void {
    this.context.outcome.refuseBy(error);
    this.fail(error);
  }

  #finish(): void {
    this.#over = true;
    this.#services.running.remove(this);
    this.#body?.stop();
    this.#node?.limiter(this.queue).abandon(this);
    this.#attempt?.destroy();
  }
}
