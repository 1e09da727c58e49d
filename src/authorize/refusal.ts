// Refuses a request: the error of a denial, and the delay of a caller that reads too much.
import { type NextFunction } from 'express';
import { type Denied } from '../context.ts';
import {
  BadRequest,
  Forbidden,
  MethodNotAllowed,
  NotFound,
  TooBusy,
  Unauthorized,
  type HttpError,
} from '../http-errors.ts';

/** Delay of the 503 for a caller with too many concurrent reads. */
const TOO_BUSY_DELAY_MS = 1000;

/**
 * Continues with an error. Delays the 503 of a caller with too many reads: thousands of connections that
 * retry at once would starve the event loop (H15).
 */
export function fail(error: unknown, next: NextFunction): void {
  if (error instanceof TooBusy) setTimeout(() => next(error), TOO_BUSY_DELAY_MS);
  else next(error);
}

/** The error that answers a denial. */
export function refusal({ status, error, reason }: Denied): HttpError {
  if (status === 401) return new Unauthorized(reason);
  if (status === 403) return new Forbidden(reason);
  if (status === 404) return new NotFound(reason, error);
  if (status === 405) return new MethodNotAllowed(reason);
  return new BadRequest(reason, error);
}
