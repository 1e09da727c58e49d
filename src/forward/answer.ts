// Decides what becomes of CouchDB's answer and of the connection it came on. Passing it on is answer-body.ts's business.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { contextOf } from '../context.ts';
import { BadGateway, Unauthorized } from '../http-errors.ts';
import { AnswerBody, type BodyServices, type Ends, type Incoming } from './answer-body.ts';
import { type Feeds } from './feeds.ts';
import { loginReason } from './location.ts';
import { factsOf } from './response-headers.ts';
import { mayBeKept } from './connection-plan.ts';

export interface AnswerServices extends BodyServices {
  readonly feeds: Feeds;
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
  const { answer, upstream, node, queue } = incoming;
  const status = answer.statusCode ?? 0;
  const raw = answer.rawHeaders;
  const context = contextOf(req);
  context.upstream.status = status;
  context.upstream.answeredAt = performance.now();
  const { type, location, requestId, length } = factsOf(raw);
  if (!mayBeKept(status, type) || !isWhole(requestId, req)) upstream.shouldKeepAlive = false;
  // CouchDB says 400 to a token of another key and 401 to one of another hour. Others have both from it for reasons of their own, so it is asked.
  if ((status === 401 || status === 400) && upstream.hasHeader('authorization'))
    services.nodes.recheckToken(node);
  const reason = loginReason(status, location, node.host);
  if (reason !== undefined) {
    ends.fail(new Unauthorized(reason));
    return;
  }
  // A show function may choose any status, and Node sends none below 100.
  if (status < 200) {
    ends.fail(new BadGateway("CouchDB's answer cannot be passed on."));
    return;
  }
  const body = new AnswerBody(services, incoming, res, ends, Number(length));
  if (queue !== 'feed') return;
  body.begin();
  res.flushHeaders();
  // After the relay: the line that ends a feed has to be passed on before the feed is ended.
  services.feeds.add(req, res, answer, (reason, visibly) => ends.end(reason, visibly));
}

/**
 * True when nobody can have ended the head of the answer before CouchDB did. A client can store line ends not only in an attachment's
 * type: with `new_edits=false` a revision may hold them, and CouchDB sends it out as the ETag of the document (H3). What CouchDB writes
 * behind ETag is cut off from the head then, and that is where it repeats our request id. An id that the client chose proves nothing.
 */
function isWhole(requestId: string | undefined, req: IncomingMessage): boolean {
  return requestId === contextOf(req).id && requestId !== req.headers['x-couch-request-id'];
}
