// Decides which bodies are kept in memory only because a short request is cheaper to forward as a whole.
import { type IncomingMessage } from 'node:http';
import { runsWithRequest } from '../catalogue/functions.ts';
import { type Endpoint } from '../catalogue/endpoint.ts';
import { type BodyBudget, createBudget } from './budget.ts';
import { mediaTypeOf } from './decode.ts';

/** Longest short body. With a longer one, the bytes cost more than the carrier. */
const SHORT_BODY_BYTES = 65_536;
/** Bytes that all short bodies of one process may reserve at the same time. */
const SHORT_BODIES_BYTES = 16_777_216;
/** Part of it that one caller may use (H15). */
const SHARE = 1 / 4;

/**
 * Returns the length of a body that may be kept, in bytes; 0 = the body is streamed, or there is none. Such a
 * body is JSON of a stated length, for an endpoint whose connections are kept. A kept body travels with
 * undici, which costs half of a stream, and holds no slot of a node while the client is still sending it.
 */
export function shortBodyLength(req: Pick<IncomingMessage, 'headers'>, endpoint: Endpoint): number {
  if (endpoint.servedBy !== 'couchdb' || endpoint.pool !== 'pooled' || endpoint.body === 'attachment')
    return 0;
  // An encoded body is read by another rule: CouchDB must not decode it (H20).
  if (req.headers['transfer-encoding'] !== undefined || req.headers['content-encoding'] !== undefined)
    return 0;
  const length = Number(req.headers['content-length'] ?? '0');
  const isShort = length > 0 && length <= SHORT_BODY_BYTES;
  return isShort && mediaTypeOf(req) === 'application/json' && !runsWithRequest(endpoint) ? length : 0;
}

/**
 * Creates the budget of short bodies. Beyond it, a body is streamed, not refused: clients that send slowly
 * can use up the memory, but not the service.
 */
export function createShortBodyBudget(): BodyBudget {
  return createBudget({
    total: SHORT_BODIES_BYTES,
    share: SHARE,
    busy: { reason: 'Too many short bodies are being kept at once.', retryAfterSeconds: 1 },
  });
}
