// Says to the client what became of a request that CouchDB did not answer. Never 401 or 408: clients take those as final.
import { BadGateway, GatewayTimeout, type HttpError, TooBusy, Unavailable } from '../http-errors.ts';
import { NodeSilent } from './agents.ts';

/** No node takes the request: all are away, all are full, or all that were asked failed. */
export function noNode(someAreUp: boolean, anyTried: boolean): HttpError {
  if (anyTried) return new Unavailable('CouchDB could not be reached.');
  return someAreUp ? new TooBusy() : new Unavailable('No CouchDB node is available.');
}

/** The node had the request, or part of it, and no answer came. */
export function failureOf(
  error: NodeJS.ErrnoException,
  request: { readonly repeatable: boolean },
): HttpError {
  const detail = `${error.code ?? 'ERROR'}: ${error.message}`;
  if (error instanceof NodeSilent)
    return new GatewayTimeout(withOutcome('CouchDB did not answer in time.', request));
  // Node's parser refuses what is not HTTP: header lines that a stored content type brought along, two lengths (H3).
  if (isUnreadable(error))
    return new BadGateway(withOutcome("CouchDB's answer is not valid HTTP.", request), detail);
  return new BadGateway(withOutcome('CouchDB ended the connection before it answered.', request), detail);
}

/** True when the answer, not the connection, was at fault: another node would give the same. */
export function isUnreadable(error: NodeJS.ErrnoException): boolean {
  return error.code?.startsWith('HPE_') === true;
}

/** A write may have been carried out all the same, and the client must know that it has to look. */
function withOutcome(sentence: string, { repeatable }: { readonly repeatable: boolean }): string {
  return repeatable ? sentence : `${sentence} Whether the request was carried out is not known.`;
}
