// What one way of proving who one is says about a request.
import { type IncomingMessage } from 'node:http';
import { type Context, type Identified } from '../context.ts';
import { type HttpError } from '../http-errors.ts';

/** First the one that is responsible: `notMine` passes the question on, the other two end it. */
export type Outcome =
  | { readonly outcome: 'accepted'; readonly identified: Identified }
  | { readonly outcome: 'notMine' }
  | { readonly outcome: 'refused'; readonly error: HttpError };

/** At once where memory is enough, else a promise. Throws `Unavailable` when it cannot be known at present, 400 for what cannot be read. */
export type Authenticator = (req: IncomingMessage, context: Context) => Outcome | Promise<Outcome>;

export const NOT_MINE: Outcome = Object.freeze({ outcome: 'notMine' });
