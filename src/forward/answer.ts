// Decides whether CouchDB's answer is sent to the client, and whether its connection is reused.
import { type IncomingMessage } from 'node:http';
import { contextOf } from '../context.ts';
import { BadGateway, Unauthorized } from '../http-errors.ts';
import { AnswerBody, type AnsweredExchange, type BodyServices } from './answer-body.ts';
import { type NodeAnswer } from './carrier.ts';
import { type Feeds } from './feeds.ts';
import { loginReason } from './location.ts';
import { readHeadFields } from './response-headers.ts';
import { isReusableAfter } from './connection-plan.ts';
import { isFeed } from './node.ts';

export interface AnswerServices extends BodyServices {
  readonly feeds: Feeds;
}

/**
 * Sends CouchDB's answer to the client and calls one method of `exchange` when it ends. The head is written
 * together with the first byte: if the answer breaks off before that, another node can be tried. The head of
 * a feed is written at once, because its first byte may arrive much later.
 * Calls `fail` with Unauthorized for CouchDB's redirect to its login page, with BadGateway for an
 * informational status.
 */
export function relayAnswer(services: AnswerServices, answer: NodeAnswer, exchange: AnsweredExchange): void {
  const { res } = exchange;
  const { req } = res;
  const { status, rawHeaders, sentHost } = answer;
  const context = contextOf(req);
  context.upstream.status = status;
  context.upstream.answeredAt = performance.now();
  const { type, location, requestId, length } = readHeadFields(rawHeaders);
  if (!isReusableAfter(status, type) || !isHeadIntact(requestId, req)) answer.closeAfter();
  // CouchDB answers 400 to a token of an unknown key and 401 to an expired one. Both also have other causes,
  // so the node is probed with a token.
  if ((status === 401 || status === 400) && answer.isAuthorized) services.nodes.recheckToken(exchange.node);
  const reason = loginReason(status, location, sentHost);
  if (reason !== undefined) {
    exchange.fail(new Unauthorized(reason));
    return;
  }
  // A show function may choose any status. Node does not send one below 100.
  if (status < 200) {
    exchange.fail(new BadGateway("CouchDB's answer cannot be forwarded."));
    return;
  }
  const body = new AnswerBody(services, answer, exchange, Number(length));
  answer.receive(body);
  if (!isFeed(exchange.queue)) return;
  body.writeHead();
  res.flushHeaders();
  body.feed = services.feeds.add(req, res, (reason, abort) => exchange.end(reason, abort));
}

/**
 * True if stored data cannot have ended the head of the answer early (H3). A client can store line ends in
 * the type of an attachment. With `new_edits=false` a revision may hold them too, and CouchDB sends it as
 * ETag. Such a line end cuts off the headers that CouchDB writes after ETag, our request id among them. An id
 * that the client chose proves nothing.
 */
function isHeadIntact(requestId: string | undefined, req: IncomingMessage): boolean {
  return requestId === contextOf(req).id && requestId !== req.headers['x-couch-request-id'];
}
