// Finds out who asks, by asking each way of authenticating in its order. What the principal may do is authorize's business.
import { type NextFunction, type RequestHandler } from 'express';
import { type Context, contextOf, type Identified } from '../context.ts';
import { NOBODY } from '../principal/principal.ts';
import { type Authenticator, type Outcome } from './authenticator.ts';

export { type Authenticator } from './authenticator.ts';
export { createBasicAuthenticator } from './basic.ts';
export { createCookieAuthenticator, type CookieOptions } from './cookie.ts';

const UNAUTHENTICATED: Identified = Object.freeze({ principal: NOBODY, method: 'none' });

/**
 * The first that is responsible decides: accepted, or refused. Where none is, the request is nobody's. Wrong credentials are refused
 * and never a fall back to nobody (H12). A renewed cookie is put on the answer here, whoever writes it later.
 */
export function identifyPrincipal(authenticators: readonly Authenticator[]): RequestHandler {
  return function identifyPrincipalStep(req, _res, next) {
    const context = contextOf(req);
    for (let index = 0; index < authenticators.length; index += 1) {
      const outcome = authenticators[index]?.(req, context);
      if (outcome instanceof Promise) {
        void finishLater(authenticators.slice(index + 1), outcome, { req, context, next });
        return;
      }
      if (outcome !== undefined && settle(outcome, context, next)) return;
    }
    context.identified = UNAUTHENTICATED;
    next();
  };
}

interface Exchange {
  readonly req: Parameters<Authenticator>[0];
  readonly context: Context;
  readonly next: NextFunction;
}

/** The same, once an answer has to be waited for. */
async function finishLater(
  rest: readonly Authenticator[],
  first: Promise<Outcome>,
  { req, context, next }: Exchange,
): Promise<void> {
  let outcome: Outcome;
  try {
    outcome = await first;
    for (const authenticate of rest) {
      if (outcome.outcome !== 'notMine') break;
      outcome = await authenticate(req, context);
    }
  } catch (error) {
    next(error);
    return;
  }
  if (settle(outcome, context, next)) return;
  context.identified = UNAUTHENTICATED;
  next();
}

/** Acts on an outcome; false when nobody was responsible yet. */
function settle(outcome: Outcome, context: Context, next: NextFunction): boolean {
  if (outcome.outcome === 'notMine') return false;
  if (outcome.outcome === 'refused') {
    next(outcome.error);
    return true;
  }
  const { identified } = outcome;
  context.identified = identified;
  if (identified.renewedCookie !== undefined) context.setAnswerHeader('Set-Cookie', identified.renewedCookie);
  next();
  return true;
}
