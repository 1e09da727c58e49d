// Passes an answer on: its head by the allow-list, its body as fast as the client takes it and without keeping any of it.
import { type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { contextOf } from '../context.ts';
import { type CouchNode, type Queue } from './node.ts';
import { type Nodes } from './nodes.ts';
import { responseHead } from './response-headers.ts';

export interface BodyServices {
  readonly nodes: Nodes;
  /** Origin under which clients reach Couchgate, without a slash at its end; empty = Location becomes a path. */
  readonly publicUrl: string;
}

/** What came from CouchDB, and on which way. */
export interface Incoming {
  readonly answer: IncomingMessage;
  readonly upstream: ClientRequest;
  readonly node: CouchNode;
  readonly queue: Queue;
}

/** The ends of an answer; exactly one is called, unless the exchange was over before. */
export interface Ends {
  /** CouchDB has said all of it, and so has been passed on. */
  complete(upstream: ClientRequest): void;
  /** The connection to CouchDB ended in the middle (M4). */
  broken(error: Error): void;
  /** The client gets an error in place of the answer. */
  fail(error: unknown): void;
  /** A feed is ended by us; visibly = so that its client cannot take what it has for all there was. */
  end(reason: string, visibly: boolean): void;
}

/** Bytes up to which Node hands a text over without asking for memory, less room for the head. */
const SMALL_BYTES = 12_288;
/**
 * Behind the first piece others are gathered up to that size, and the first of them waits that long: CouchDB sends rows in pieces of
 * 1.5 KB, each of which would be a write. The end of an answer waits for nothing.
 */
const GATHERED_BYTES = 32_768;
const GATHER_MS = 2;

type Relayed = IncomingMessage & { relayedBy?: AnswerBody };

/** The body on its way to the client. The listeners are the same for all answers and find theirs by the answer. */
export class AnswerBody {
  readonly #services: BodyServices;
  readonly #incoming: Incoming;
  readonly #res: ServerResponse;
  readonly #ends: Ends;
  readonly #length: number;
  #gathered: Buffer[] = [];
  #size = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(services: BodyServices, incoming: Incoming, res: ServerResponse, ends: Ends, length: number) {
    this.#services = services;
    this.#incoming = incoming;
    this.#res = res;
    this.#ends = ends;
    this.#length = length;
    const answer: Relayed = incoming.answer;
    answer.relayedBy = this;
    answer.on('data', onData).on('end', onEnd).on('close', onClose);
  }

  /** Writes the head. */
  begin(): void {
    const { answer, node } = this.#incoming;
    const { req } = this.#res;
    const status = answer.statusCode ?? 0;
    const context = contextOf(req);
    const head = responseHead(status, answer.rawHeaders, context, {
      nodeHost: node.host,
      publicUrl: this.#services.publicUrl,
      ownPage: context.operation?.endpoint.id === 'utils',
    });
    // CouchDB answered before it had the whole body: the rest must never be taken for a next request.
    if (!req.complete) head.push('Connection', 'close');
    this.#res.writeHead(status, head);
  }

  take(chunk: Buffer): void {
    const res = this.#res;
    if (res.writableEnded) return;
    if (chunk.length === this.#length && chunk.length <= SMALL_BYTES && !res.headersSent) {
      this.begin();
      this.#complete();
      // One text, head and body together, is one piece to the system; a text and a buffer are two, which costs 4 % more.
      res.end(chunk.toString('latin1'), 'latin1');
    } else if (this.#incoming.queue === 'feed' || !res.headersSent) this.#send(chunk);
    else this.#gather(chunk);
  }

  #gather(chunk: Buffer): void {
    this.#gathered.push(chunk);
    this.#size += chunk.length;
    if (this.#size >= GATHERED_BYTES) this.#send(this.#taken());
    else this.#timer ??= setTimeout(sendGathered, GATHER_MS, this);
  }

  /** What was gathered, in one piece. */
  #taken(): Buffer {
    const [first] = this.#gathered;
    const all =
      this.#gathered.length === 1 && first !== undefined ? first : Buffer.concat(this.#gathered, this.#size);
    this.forget();
    return all;
  }

  /** Drops what was gathered. */
  forget(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#gathered = [];
    this.#size = 0;
  }

  sendGathered(): void {
    if (this.#size > 0 && !this.#res.writableEnded && !this.#res.destroyed) this.#send(this.#taken());
  }

  #send(chunk: Buffer): void {
    const res = this.#res;
    const { answer } = this.#incoming;
    if (!res.headersSent) this.begin();
    if (res.write(chunk)) return;
    answer.pause();
    res.once('drain', () => answer.resume());
  }

  finish(): void {
    const res = this.#res;
    if (res.writableEnded) return;
    if (!res.headersSent) this.begin();
    if (this.#size > 0) res.end(this.#taken());
    else res.end();
    this.#complete();
  }

  #complete(): void {
    const { node, upstream } = this.#incoming;
    this.#services.nodes.recordSuccess(node);
    this.#ends.complete(upstream);
  }

  closed(): void {
    this.forget();
    if (!this.#incoming.answer.complete)
      this.#ends.broken(new Error('the node ended its answer in the middle'));
  }
}

function onData(this: Relayed, chunk: Buffer): void {
  this.relayedBy?.take(chunk);
}

function onEnd(this: Relayed): void {
  this.relayedBy?.finish();
}

function onClose(this: Relayed): void {
  this.relayedBy?.closed();
}

function sendGathered(body: AnswerBody): void {
  body.sendGathered();
}
