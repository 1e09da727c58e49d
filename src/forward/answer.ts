// Passes CouchDB's answer on: its head by the allow-list, its body as fast as the client takes it and without keeping any of it.
import { type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { contextOf, known } from '../context.ts';
import { BadGateway, Unauthorized } from '../http-errors.ts';
import { type Feeds } from './feeds.ts';
import { loginReason } from './location.ts';
import { type CouchNode, type Line } from './node.ts';
import { type Nodes } from './nodes.ts';
import { factsOf, responseHead } from './response-headers.ts';
import { mayBeKept } from './transport.ts';

export interface AnswerServices {
  readonly nodes: Nodes;
  readonly feeds: Feeds;
  /** Origin under which clients reach Couchgate, without a slash at its end; empty = Location becomes a path. */
  readonly publicUrl: string;
}

/** What came from CouchDB, and on which way. */
export interface Incoming {
  readonly answer: IncomingMessage;
  readonly upstream: ClientRequest;
  readonly node: CouchNode;
  readonly line: Line;
}

/** The ends of an answer; exactly one is called, unless the exchange was over before. */
export interface Ends {
  /** CouchDB has said all of it, and so has been passed on. */
  readonly complete: () => void;
  /** The connection to CouchDB ended in the middle (M4). */
  readonly broken: (error: Error) => void;
  /** The client gets an error in place of the answer. */
  readonly refused: (error: unknown) => void;
  /** A feed is ended by us; visibly = so that its client cannot take what it has for all there was. */
  readonly end: (reason: string, visibly: boolean) => void;
}

/**
 * Relays the answer until one of its ends has come. The head is written as late as the first byte, so that an answer that breaks off
 * before it can still be had from another node; a feed's head goes out at once, for its first byte may be long in coming.
 */
export function relayAnswer(
  services: AnswerServices,
  incoming: Incoming,
  req: IncomingMessage,
  res: ServerResponse,
  ends: Ends,
): void {
  const { answer, upstream, node, line } = incoming;
  const status = answer.statusCode ?? 0;
  const raw = answer.rawHeaders;
  const context = contextOf(req);
  context.upstream.status = status;
  context.upstream.answeredAt = performance.now();
  const { type, location, requestId, length } = factsOf(raw);
  if (!mayBeKept(status, type) || !isWhole(requestId, req)) upstream.shouldKeepAlive = false;
  // CouchDB says 400 to a token of another key and 401 to one of another hour. Others have both from it for reasons of their own, so it is asked.
  if ((status === 401 || status === 400) && upstream.hasHeader('authorization')) services.nodes.suspect(node);
  const reason = loginReason(status, location, node.host);
  if (reason !== undefined) {
    ends.refused(new Unauthorized(reason));
    return;
  }
  // A show function may choose any status, and Node sends none below 100.
  if (status < 200) {
    ends.refused(new BadGateway("CouchDB's answer cannot be passed on."));
    return;
  }
  const begin = (): void => {
    const head = responseHead(status, raw, res, node.host, services.publicUrl);
    const { renewedCookie } = known(context.identified, 'identified');
    if (renewedCookie !== undefined) head.push('Set-Cookie', renewedCookie);
    // CouchDB answered before it had the whole body: the rest must never be taken for a next request.
    if (!req.complete) head.push('Connection', 'close');
    res.writeHead(status, head);
  };
  relayBody(services, incoming, res, { begin, length: Number(length) }, ends);
  if (line !== 'feed') return;
  begin();
  res.flushHeaders();
  // After the relay: the line that ends a feed has to be passed on before the feed is ended.
  services.feeds.add(req, res, answer, ends.end);
}

/**
 * True when nobody can have ended the head of the answer before CouchDB did. A client can store line ends not only in an attachment's
 * type: with `new_edits=false` a revision may hold them, and CouchDB sends it out as the ETag of the document (H3). What CouchDB writes
 * behind ETag is cut off from the head then, and that is where it repeats our request id. An id that the client chose proves nothing.
 */
function isWhole(requestId: string | undefined, req: IncomingMessage): boolean {
  return requestId === contextOf(req).id && requestId !== req.headers['x-couch-request-id'];
}

/** Bytes up to which Node hands a text over without asking for memory, less room for the head. */
const SMALL_BYTES = 12_288;

function relayBody(
  services: AnswerServices,
  { answer, node }: Incoming,
  res: ServerResponse,
  { begin, length }: { readonly begin: () => void; readonly length: number },
  ends: Ends,
): void {
  const complete = (): void => {
    services.nodes.answered(node);
    ends.complete();
  };
  answer.on('data', (chunk: Buffer) => {
    if (res.writableEnded) return;
    if (!res.headersSent) {
      begin();
      if (chunk.length === length && length <= SMALL_BYTES) {
        complete();
        // One text, head and body together, is one piece to the system; a text and a buffer are two, which costs 4 % more.
        res.end(chunk.toString('latin1'), 'latin1');
        return;
      }
    }
    if (!res.write(chunk)) answer.pause();
  });
  res.on('drain', () => answer.resume());
  answer.on('end', () => {
    if (!res.headersSent) begin();
    else if (res.writableEnded) return;
    res.end();
    complete();
  });
  answer.on('close', () => {
    if (!answer.complete) ends.broken(new Error('the node ended its answer in the middle'));
  });
}
