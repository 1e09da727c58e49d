// Describes why an exchange with CouchDB failed, without credentials.
import { Unavailable, UnknownOutcome } from '../http-errors.ts';

/**
 * Progress of an exchange: `unsent` = no byte was sent, so another node may get it; `sent` = CouchDB may have
 * acted.
 */
export type Reached = 'unsent' | 'sent';

/**
 * A failed exchange as named fields. Errors of nano and fetch are never passed on: they contain the request
 * with its body, headers and credentials (M5; pinned by test/hostile/m5-client-errors.test.ts).
 */
export interface CouchFailure {
  /** `host:port` of the node. */
  readonly node: string;
  readonly method: string;
  readonly reached: Reached;
  /**
   * A code such as `ECONNREFUSED`, `timeout`, `truncated response`, or `status 500 no_majority`; never text
   * from the request.
   */
  readonly reason: string;
}

/**
 * Connections that may break after a request was sent on them. A request that ends a node would otherwise end
 * every node in turn (H15.11). Pinned by test/hostile/h15-deadly-reads.test.ts.
 */
export const MAX_BROKEN = 2;

/** True if the node closed the connection although the request was sent. */
export function isBroken({ reached, reason }: CouchFailure): boolean {
  return reached === 'sent' && reason !== 'timeout' && !reason.startsWith('status ');
}

/** Returns `host:port` of a node URL, without credentials. */
export function nodeName(url: string): string {
  return new URL(url).host;
}

/**
 * Returns the code of a network error, from the places where fetch and undici store it; never an error
 * message.
 */
export function codeOf(error: unknown): string {
  for (let at = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth += 1) {
    const code: unknown = (at as NodeJS.ErrnoException).code;
    if (typeof code === 'string') return code;
    if (at.name === 'TimeoutError') return 'timeout';
  }
  return 'connection failed';
}

/** Returns one line for the log. The path is omitted: it can contain a user name. */
export function describeFailure(failure: CouchFailure): string {
  return `${failure.method} to ${failure.node} failed (${failure.reached}): ${failure.reason}`;
}

/**
 * A failure on this side of the connection, for example of the file that is sent: it is passed on as it is,
 * because another attempt or another node would fail too.
 */
export class LocalFailure extends Error {}

/** `reason` of an answer that is longer than the request permits. Another node would give it too. */
export const ANSWER_TOO_LARGE = 'answer too large';

/** An answer was broken off because it is longer than the request permits. */
export class AnswerTooLarge extends Unavailable {}

/**
 * The refusal of a request that no node has answered; `undefined` = none was available. A change that a node
 * may have received may stand.
 */
export function unavailable(failure: CouchFailure | undefined): Unavailable {
  const detail = failure === undefined ? 'no CouchDB node is available' : describeFailure(failure);
  if (failure?.reason === ANSWER_TOO_LARGE)
    return new AnswerTooLarge("CouchDB's answer is too large.", { detail });
  if (failure?.reached === 'sent' && (failure.method === 'PUT' || failure.method === 'DELETE'))
    return new UnknownOutcome('The change may or may not stand: CouchDB did not answer.', { detail });
  return new Unavailable('CouchDB cannot be reached at present.', { detail });
}
