// Maps a request that CouchDB did not answer to an HTTP error. Never 401 or 408: clients do not retry them.
import { errors } from 'undici';
import { BadGateway, GatewayTimeout, type HttpError, TooBusy, Unavailable } from '../http-errors.ts';
import { NodeTimeout } from './agents.ts';

/**
 * The error if no node accepts the request. `anyUsable` = at least one node is up; `anyTried` = an attempt
 * failed.
 */
export function noNode(anyUsable: boolean, anyTried: boolean): HttpError {
  if (anyTried) return new Unavailable('CouchDB could not be reached.');
  return anyUsable ? new TooBusy() : new Unavailable('No CouchDB node is available.');
}

/** The error after the node received the request, or part of it, and did not answer. */
export function failureOf(error: NodeJS.ErrnoException, request: { readonly retryable: boolean }): HttpError {
  const detail = `${error.code ?? 'ERROR'}: ${error.message}`;
  if (error instanceof NodeTimeout)
    return new GatewayTimeout(withOutcome('CouchDB did not answer in time.', request));
  // Node's parser rejects invalid HTTP: two lengths, or header lines from a stored content type (H3).
  if (isInvalidHttp(error))
    return new BadGateway(withOutcome("CouchDB's answer is not valid HTTP.", request), detail);
  return new BadGateway(withOutcome('CouchDB ended the connection before it answered.', request), detail);
}

/** undici's errors for an invalid answer; node:http has codes that begin with HPE_. */
const INVALID = [
  errors.HTTPParserError,
  errors.HeadersOverflowError,
  // Before the head is complete: it has two lengths, or a length and chunks.
  errors.ResponseContentLengthMismatchError,
] as const;

/** True if the answer is invalid, not the connection. Another node would send the same answer. */
export function isInvalidHttp(error: NodeJS.ErrnoException): boolean {
  return error.code?.startsWith('HPE_') === true || INVALID.some((invalid) => error instanceof invalid);
}

/** Adds to the sentence for a write that its result is unknown, so that the client checks it. */
function withOutcome(sentence: string, { retryable }: { readonly retryable: boolean }): string {
  return retryable ? sentence : `${sentence} It is unknown whether the request was executed.`;
}
