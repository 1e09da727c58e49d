// Makes one handler of several, for the path of every request. Their order is app.ts's business.
import { type NextFunction, type Request, type RequestHandler, type Response } from 'express';

/**
 * One handler that lets each step hand on to the next one; what a step throws, rejects with or hands on as an error leaves by `next` of
 * the whole. That is what Express does with a layer for each, which looks at the path, the parameters and the traces again for every
 * step and costs as much as the steps themselves.
 */
export function compose(steps: readonly RequestHandler[]): RequestHandler {
  return function takeTurns(req: Request, res: Response, leave: NextFunction): void {
    let turn = 0;
    function next(error?: unknown): void {
      const step = steps[turn];
      if (error !== undefined || step === undefined) {
        leave(error);
        return;
      }
      turn += 1;
      try {
        const done: unknown = step(req, res, next);
        if (done instanceof Promise) done.catch((thrown: unknown) => fail(leave, thrown));
      } catch (thrown) {
        fail(leave, thrown);
      }
    }
    next();
  };
}

/** Nothing at all may be thrown as well; that must not pass for leave to go on. */
function fail(leave: NextFunction, thrown: unknown): void {
  leave(thrown ?? new Error('a step failed without saying why'));
}
