// Combines several request handlers into one.
import { type NextFunction, type Request, type RequestHandler, type Response } from 'express';

/**
 * Returns one handler that runs `steps` in order; each step calls `next` for the following one. An error that
 * a step throws, rejects with or passes to `next` goes to the `next` of the whole. Express does the same with
 * one layer per step. It also matches path and parameters again for each layer, which costs as much as the
 * steps themselves.
 */
export function compose(steps: readonly RequestHandler[]): RequestHandler {
  return function runSteps(req: Request, res: Response, done: NextFunction): void {
    let index = 0;
    function next(error?: unknown): void {
      const step = steps[index];
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

/** `undefined` may be thrown too. It must not continue the request, so it is replaced by an error. */
function fail(done: NextFunction, thrown: unknown): void {
  done(thrown ?? new Error('a step failed without an error value'));
}
