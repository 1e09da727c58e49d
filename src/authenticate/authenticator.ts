// Interface of an authentication method.
import { type IncomingMessage } from 'node:http';
import { type Context, type Identified } from '../context.ts';
import { type HttpError } from '../http-errors.ts';
import { type RefusedLogin } from '../identity/refused-login.ts';

/**
 * Result of one method. `notApplicable` = the request has no credentials of this method, or they count as
 * absent; the next method is tried. `accepted` and `refused` are final.
 * `login` describes a refused login for the access log.
 */
export type Authentication =
  | { readonly outcome: 'accepted'; readonly identified: Identified }
  | { readonly outcome: 'notApplicable' }
  | { readonly outcome: 'refused'; readonly error: HttpError; readonly login?: RefusedLogin };

/**
 * Authenticates a request: directly from memory, or by a promise. Throws 400 for malformed credentials, and
 * `Unavailable` if CouchDB cannot be reached.
 */
export type Authenticator = (
  req: IncomingMessage,
  context: Context,
) => Authentication | Promise<Authentication>;

export const NOT_APPLICABLE: Authentication = Object.freeze({ outcome: 'notApplicable' });
