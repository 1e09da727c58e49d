// Sends a short request to one node on a kept connection, with undici.
import { type Dispatcher } from 'undici';
import { type AnswerReceiver, type Attempt, type AttemptEvents, type NodeAnswer } from './carrier.ts';
import { type ConnectionUser, type KeptConnection } from './kept-connections.ts';
import { type CouchNode, type Queue } from './node.ts';
import { type OutgoingRequest } from './outgoing-request.ts';

/** Ends an attempt from this side; its reason is not shown. */
const ENDED = new Error('ended by Couchgate');

/**
 * One attempt, undici's handler of it, and the answer: one object, because every request needs one. The body
 * is in memory or there is none.
 * undici 7 has two interfaces for handlers. This is the older one, in which undici itself works. For a
 * handler of the newer one it makes two more objects for each request, and parses the head into an object
 * that Couchgate does not use.
 */
export class KeptAttempt implements Attempt, NodeAnswer, Dispatcher.DispatchHandler, ConnectionUser {
  status = 0;
  rawHeaders: readonly string[] = [];
  sentHost = '';
  isAuthorized = false;
  readonly #request: OutgoingRequest;
  readonly #node: CouchNode;
  readonly #queue: Queue;
  readonly #events: AttemptEvents;
  readonly #connection: KeptConnection;
  #resume: (() => void) | undefined = undefined;
  #receiver: AnswerReceiver | undefined = undefined;
  /** True after `answered` or `attemptFailed`, or when no event may follow. */
  #settled = false;
  #mustClose = false;
  #isOver = false;
  #isPaused = false;
  #nodeHasEnded = false;

  /** The caller has acquired a slot of `node`; the attempt releases it when it ends. */
  constructor(request: OutgoingRequest, node: CouchNode, queue: Queue, events: AttemptEvents) {
    this.#queue = queue;
    this.#request = request;
    this.#node = node;
    this.#events = events;
    this.#connection = node.kept.take();
    this.#connection.user = this;
  }

  /**
   * Sends the request. Throws for a header that cannot be sent, after releasing the slot.
   * On a connection that was used before, undici writes at the end of this turn of the event loop, when all
   * that the node has sent was read (GHSA-35p6-xmwp-9g52, H3). So the requests of a turn are written
   * together, like the answers (WriteBatch).
   */
  send(): void {
    const { method, url, body } = this.#request;
    try {
      // undici writes the Host header of the node itself.
      const headers = this.#request.headersFor(this.#node);
      this.sentHost = this.#request.hostFor(this.#node);
      this.isAuthorized = headers['authorization'] !== undefined;
      const bytes = body.kind === 'bytes' ? body.bytes : null;
      this.#connection.client.dispatch({ method, path: url, headers, body: bytes }, this);
    } catch (thrown) {
      this.#end(false);
      throw thrown;
    }
  }

  onConnect(abort: (error?: Error) => void): void {
    if (this.#isOver) abort(ENDED);
  }

  onHeaders(status: number, rawHeaders: readonly Buffer[], resume: () => void): boolean {
    // Another answer follows an interim one (RFC 9110 section 15.2), but none follows 101, which is invalid.
    if (status < 200 && status !== 101) return true;
    if (!this.#settled) {
      this.#settled = true;
      this.#resume = resume;
      this.status = status;
      this.rawHeaders = textOf(rawHeaders);
      this.#events.answered(this);
    }
    return !this.#isPaused;
  }

  onData(chunk: Buffer): boolean {
    // undici gives an empty chunk when it goes on after a pause.
    if (chunk.length > 0) this.#receiver?.chunk(chunk);
    return !this.#isPaused;
  }

  get isAnswered(): boolean {
    return this.status !== 0;
  }

  /**
   * undici's parser must not be paused when undici handles the end of a connection: that would be a failed
   * assertion, which ends the process (M7). No byte is left that a pause would hold back.
   */
  nodeEnded(): void {
    this.#mustClose = true;
    this.#nodeHasEnded = true;
    this.resume();
  }

  onComplete(): void {
    this.#end(!this.#mustClose);
    this.#receiver?.ended();
  }

  onError(error: NodeJS.ErrnoException): void {
    const { isConnected, isReused } = this.#connection;
    this.#end(false);
    if (this.#settled) {
      this.#receiver?.brokeOff();
      return;
    }
    this.#settled = true;
    this.#events.attemptFailed({ error, connected: isConnected, reused: isReused });
  }

  closeAfter(): void {
    this.#mustClose = true;
  }

  receive(receiver: AnswerReceiver): void {
    this.#receiver = receiver;
  }

  pause(): void {
    this.#isPaused = !this.#nodeHasEnded;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#resume?.();
  }

  finish(): void {
    // undici closes a connection whose request was not read to its end.
  }

  destroy(): void {
    this.#settled = true;
    this.#receiver = undefined;
    this.#end(false);
  }

  /** Releases the slot. `isIntact` = the connection may carry another request. */
  #end(isIntact: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#connection.user = undefined;
    const { kept } = this.#node;
    if (isIntact) {
      this.#connection.isReused = true;
      kept.giveBack(this.#connection);
    } else kept.discard(this.#connection);
    this.#node.limiter(this.#queue).release(this.#request.caller);
  }
}

/**
 * Converts the parts of a head. Usually all are slices of one read from the socket. They are converted at
 * once and then cut: this takes two thirds of the time. A part that arrived in two reads is in another
 * buffer.
 */
function textOf(rawHeaders: readonly Buffer[]): string[] {
  const texts: string[] = [];
  const first = rawHeaders[0];
  const last = rawHeaders[rawHeaders.length - 1];
  if (first === undefined || last === undefined) return texts;
  const { buffer, byteOffset: from } = first;
  const bytes = last.buffer === buffer ? last.byteOffset + last.length - from : 0;
  const all = bytes > 0 ? Buffer.from(buffer, from, bytes).toString('latin1') : '';
  for (const part of rawHeaders) {
    const at = part.byteOffset - from;
    const isInside = part.buffer === buffer && at >= 0 && at + part.length <= all.length;
    texts.push(isInside ? all.slice(at, at + part.length) : part.toString('latin1'));
  }
  return texts;
}
