// The authenticate step: finds the principal of a request by trying each method in order.
import { type NextFunction, type RequestHandler } from 'express';
import { type Context, contextOf, type Identified } from '../context.ts';
import { Unavailable } from '../http-errors.ts';
import { type UserChanges } from '../invalidation/user-changes.ts';
import { NOBODY } from '../principal/principal.ts';
import { type Authenticator, type Authentication, NOT_APPLICABLE } from './authenticator.ts';

export { type Authenticator } from './authenticator.ts';
export { createBasicAuthenticator } from './basic.ts';
export { createCookieAuthenticator, type CookieOptions } from './cookie.ts';
export { createDashboardAuthenticator } from './dashboard.ts';

type Changes = Pick<UserChanges, 'count' | 'hasChanged'>;

const UNAUTHENTICATED: Identified = Object.freeze({ principal: NOBODY, method: 'none' });

/**
 * Makes the step. The first method that does not return `notApplicable` decides. If there is none, the
 * principal is `nobody`. Wrong credentials are refused and never fall back to `nobody` (H12). A renewed
 * cookie is added to the response here.
 */
export function identifyPrincipal(
  authenticators: readonly Authenticator[],
  userChanges: Changes,
): RequestHandler {
  return function identifyPrincipalStep(req, _res, next) {
    const context = contextOf(req);
    context.userChanges = userChanges.count;
    for (let index = 0; index < authenticators.length; index += 1) {
      const result = authenticators[index]?.(req, context);
      if (result instanceof Promise) {
        const exchange = { req, context };
        identifyLater(authenticators.slice(index), result, userChanges, exchange).then(
          (identified) => settle(identified, context, next),
          next,
        );
        return;
      }
      if (result !== undefined && result.outcome !== 'notApplicable') {
        settle(result, context, next);
        return;
      }
    }
    settle(NOT_APPLICABLE, context, next);
  };
}

interface Exchange {
  readonly req: Parameters<Authenticator>[0];
  readonly context: Context;
}

/**
 * Continues asynchronously with the promise of the first method. If the user changed meanwhile, perhaps its
 * password, the result is void and the methods run again.
 */
async function identifyLater(
  methods: readonly Authenticator[],
  first: Promise<Authentication>,
  userChanges: Changes,
  exchange: Exchange,
): Promise<Authentication> {
  const { context } = exchange;
  const isVoid = (result: Authentication): boolean =>
    result.outcome === 'accepted' &&
    result.identified.principal.kind === 'user' &&
    userChanges.hasChanged(result.identified.principal.name, context.userChanges);
  const result = await firstOf(methods.slice(1), await first, exchange);
  if (!isVoid(result)) return result;
  context.userChanges = userChanges.count;
  const again = await firstOf(methods, NOT_APPLICABLE, exchange);
  if (isVoid(again)) throw new Unavailable('The user changes at present; try again.');
  return again;
}

/** The first result that is final: `result`, or one of the methods. */
async function firstOf(
  methods: readonly Authenticator[],
  result: Authentication,
  { req, context }: Exchange,
): Promise<Authentication> {
  for (const authenticate of methods) {
    if (result.outcome !== 'notApplicable') break;
    result = await authenticate(req, context);
  }
  return result;
}

/** Applies the final result. */
function settle(result: Authentication, context: Context, next: NextFunction): void {
  if (result.outcome === 'refused') {
    if (result.login !== undefined) context.outcome.refuseLogin(result.login);
    next(result.error);
    return;
  }
  const identified = result.outcome === 'accepted' ? result.identified : UNAUTHENTICATED;
  context.identified = identified;
  if (identified.renewedCookie !== undefined) context.setAnswerHeader('Set-Cookie', identified.renewedCookie);
  next();
}
