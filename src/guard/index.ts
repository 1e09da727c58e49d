// The guard step, after authorize: checks requests that are forwarded only if their content is permitted.
import { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { type GuardedId } from '../catalogue/catalogue.ts';
import { type Context, contextOf, permitted } from '../context.ts';
import { requireStillPermitted, whileWatched } from '../revocation/after-wait.ts';
import { type IsStillPermitted, type RevocationWatch } from '../revocation/revocation-watch.ts';

/**
 * Checks a request that is forwarded afterwards. Throws an HttpError to refuse it. Returns the decoded body
 * that CouchDB gets in place of the client's, or undefined to leave the body as it is.
 */
export type Guard = (
  req: Request,
  res: Response,
  context: Context,
) => Buffer | undefined | Promise<Buffer | undefined>;

/** Exactly one guard for each endpoint that the catalogue says is guarded. */
export type Guards = Readonly<Record<GuardedId, Guard>>;

/**
 * Dispatches on the endpoint that authorize applied. A guarded endpoint without its guard is a fault, and is
 * never forwarded.
 */
export function guardRequest(
  guards: Partial<Guards>,
  isStillPermitted: IsStillPermitted,
  watch: Pick<RevocationWatch, 'register'>,
): RequestHandler {
  const byId = new Map<string, Guard>(Object.entries(guards));
  return function guardRequestStep(req, res, next) {
    const { id, servedBy } = permitted(contextOf(req)).endpoint;
    if (servedBy !== 'guard') {
      next();
      return;
    }
    const guard = byId.get(id);
    if (guard === undefined) throw new Error(`endpoint ${id} has no guard`);
    return check({ guard, isStillPermitted, watch }, req, res, next);
  };
}

interface Check {
  readonly guard: Guard;
  readonly isStillPermitted: IsStillPermitted;
  readonly watch: Pick<RevocationWatch, 'register'>;
}

async function check(
  { guard, isStillPermitted, watch }: Check,
  req: Request,
  res: Response,
  next: NextFunction,
): Promise<void> {
  const context = contextOf(req);
  try {
    const result = guard(req, res, context);
    if (result instanceof Promise)
      // A guard may wait for a body, for DNS or for CouchDB (H19).
      context.guardedBody = await whileWatched(watch, context, async () => {
        const body = await result;
        await requireStillPermitted(isStillPermitted, context);
        return body;
      });
    else context.guardedBody = result;
  } catch (thrown) {
    context.outcome.refuseBy(thrown);
    throw thrown;
  }
  next();
}
