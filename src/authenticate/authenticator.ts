// Interface of an authentication method.
import { type IncomingMessage } from 'node:http';
import { type Context, type Identified } from '../context.ts';
import { type HttpError } from '../http-errors.ts';

/**
 * Result of one method. `notMine` = the request has no credentials of this method, and the next method is
 * tried. `accepted` and `refused` are final.
 */
export type Outcome =
  | { readonly outcome: 'accepted'; readonly identified: Identified }
  | { readonly outcome: 'notMine' }
  | { readonly outcome: 'refused'; readonly error: HttpError };

/**
 * Authenticates a request: directly from memory, or by a promise. Throws 400 for malformed credentials, and
 * `Unavailable` if CouchDB cannot be reached.
 */
export type Authenticator = (req: IncomingMessage, context: Context) => Outcome | Promise<Outcome>;

export const NOT_MINE: Outcome = Object.freeze({ outcome: 'notMine' });
