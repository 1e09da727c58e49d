// Checks a body that will be forwarded: whether it must be read first, its size, and its structure (H20).
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { announcesBody, encodedMultipart, isEncoded, isMultipart } from '../body/decode.ts';
import { refuseForFunction, refuseStructure } from '../body/body-meter.ts';
import { checkBulkGet } from '../body/bulk-get.ts';
import { type BodyHolder } from '../body/json-meter.ts';
import { bodyLimit, structureLimits, type BodyLimits } from '../body/limits.ts';
import { namesWholeAnswer } from '../body/whole-answer.ts';
import { type Endpoint } from '../catalogue/endpoint.ts';
import { callerOf, contextOf, type Decision, known } from '../context.ts';
import { BadContentType, TooLarge } from '../http-errors.ts';
import { sharedKeyOf } from '../principal/caller.ts';

/**
 * True if the body must be in memory before it is forwarded. CouchDB inflates a gzip body without a limit:
 * 510 KiB took a node to 2 GB. Only attachments are forwarded encoded, because CouchDB stores them as they
 * come. Pinned by test/hostile/h20-parsers.test.ts. A body that may request attachments decides on the queue,
 * and a slow one must not hold a place in it (H15).
 */
export function mustRead(req: IncomingMessage, decision: Decision): boolean {
  if (!decision.allow || decision.endpoint.servedBy === 'couchgate') return false;
  const { body, pool, permit } = decision.endpoint;
  if (body !== 'attachment' && isEncoded(req)) return true;
  const context = contextOf(req);
  if (context.body !== undefined || !announcesBody(req)) return false;
  if (body === 'rows' || body === 'bulk-get') return true;
  const reads = req.method === 'GET' || req.method === 'HEAD' || pool === 'feed';
  return reads && permit.kind !== 'public' && namesWholeAnswer(known(context.target, 'target').query);
}

/**
 * Refuses a request by its head, before the body is read. No endpoint that is open to everybody takes a body.
 */
export function refuseByHead(limits: BodyLimits, req: IncomingMessage, endpoint: Endpoint): void {
  if (isEncoded(req)) {
    if (isMultipart(req)) throw encodedMultipart();
    if (endpoint.permit.kind === 'public')
      throw new BadContentType('This endpoint takes no Content-Encoding');
  }
  if (isTooLong(limits, req, endpoint)) throw new TooLarge();
}

/** True if Content-Length exceeds the limit of the endpoint. A chunked body is measured while it arrives. */
export function isTooLong(limits: BodyLimits, req: IncomingMessage, endpoint: Endpoint): boolean {
  const length = req.headers['content-length'];
  return length !== undefined && Number(length) > bodyLimit(endpoint, req, limits);
}

/**
 * Refuses a body for what it holds. A streamed body is measured on its way (forward/request-body.ts). The
 * refusal is recorded in the outcome: no decision is written before.
 */
export async function refuseReadStructure(
  limits: BodyLimits & Pick<BodyHolder, 'valueBudget' | 'atoms'>,
  req: IncomingMessage,
  res: ServerResponse,
  endpoint: Endpoint,
): Promise<void> {
  const context = contextOf(req);
  const body = known(context.body, 'body');
  const { valueBudget, atoms } = limits;
  const holder = { valueBudget, atoms, res, caller: sharedKeyOf(callerOf(context)) };
  const { query } = known(context.target, 'target');
  refuseForFunction(body, endpoint, req, holder);
  try {
    await refuseStructure(body, structureLimits(endpoint, query, limits), holder);
  } catch (error) {
    context.outcome.refuseBy(error);
    throw error;
  }
  if (endpoint.body === 'bulk-get') context.sentQuery = await checkBulkGet(body, query);
}
