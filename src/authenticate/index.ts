// The authenticate step: finds the principal of a request by trying each method in order.
import { type NextFunction, type RequestHandler } from 'express';
import { type Context, contextOf, type Identified } from '../context.ts';
import { NOBODY } from '../principal/principal.ts';
import { type Authenticator, type Authentication } from './authenticator.ts';

export { type Authenticator } from './authenticator.ts';
export { createBasicAuthenticator } from './basic.ts';
export { createCookieAuthenticator, type CookieOptions } from './cookie.ts';
export { createDashboardAuthenticator } from './dashboard.ts';

const UNAUTHENTICATED: Identified = Object.freeze({ principal: NOBODY, method: 'none' });

/**
 * Makes the step. The first method that does not return `notApplicable` decides. If there is none, the
 * principal is `nobody`. Wrong credentials are refused and never fall back to `nobody` (H12). A renewed
 * cookie is added to the response here.
 */
export function identifyPrincipal(authenticators: readonly Authenticator[]): RequestHandler {
  return function identifyPrincipalStep(req, _res, next) {
    const context = contextOf(req);
    for (let index = 0; index < authenticators.length; index += 1) {
      const result = authenticators[index]?.(req, context);
      if (result instanceof Promise) {
        void finishLater(authenticators.slice(index + 1), result, { req, context, next });
        return;
      }
      if (result !== undefined && settle(result, context, next)) return;
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

/** Continues asynchronously from the first method that returned a promise. */
async function finishLater(
  rest: readonly Authenticator[],
  first: Promise<Authentication>,
  { req, context, next }: Exchange,
): Promise<void> {
  let result: Authentication;
  try {
    result = await first;
    for (const authenticate of rest) {
      if (result.outcome !== 'notApplicable') break;
      result = await authenticate(req, context);
    }
  } catch (error) {
    next(error);
    return;
  }
  if (settle(result, context, next)) return;
  context.identified = UNAUTHENTICATED;
  next();
}

/** Applies a result; false for `notApplicable`. */
function settle(result: Authentication, context: Context, next: NextFunction): boolean {
  if (result.outcome === 'notApplicable') return false;
  if (result.outcome === 'refused') {
    if (result.login !== undefined) context.outcome.refuseLogin(result.login);
    next(result.error);
    return true;
  }
  const { identified } = result;
  context.identified = identified;
  if (identified.renewedCookie !== undefined) context.setAnswerHeader('Set-Cookie', identified.renewedCookie);
  next();
  return true;
}
