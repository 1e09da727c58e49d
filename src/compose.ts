// Composes several Express handlers into one, for the steps of every request.
import { type NextFunction, type Request, type RequestHandler, type Response } from 'express';

/**
 * Returns a handler that runs the steps in order. If a step throws, rejects or passes an error to `next`, the
 * remaining steps are skipped and the handler passes the error on. No step runs after the client has gone
 * (H17). Express can do the same with one layer per step, but it matches path and parameters again for each
 * layer, which costs as much as the steps themselves.
 */
export function compose(steps: readonly RequestHandler[]): RequestHandler {
  return function runSteps(req: Request, res: Response, done: NextFunction): void {
    let index = 0;
    function next(error?: unknown): void {
      const step = steps[index];
      // Its line in the access log is written already: no further step may have an effect.
      if (res.destroyed && error === undefined) return;
      if (error !== undefined || step === undefined) {
        done(error);
        return;
      }
      index += 1;
      try {
        const result: unknown = step(req, res, next);
        if (result instanceof Promise) result.catch((thrown: unknown) => fail(done, thrown));
      } catch (thrown) {
        fail(done, thrown);
      }
    }
    next();
  };
}

/** A step may throw `undefined`. Passed on as it is, Express would take it for success. */
function fail(done: NextFunction, thrown: unknown): void {
  done(thrown ?? new Error('a step threw undefined'));
}
