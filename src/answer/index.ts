// The answer step, after guard: answers the endpoints that Couchgate serves itself. All other requests
// continue to forward.
import { type Request, type RequestHandler, type Response } from 'express';
import { type AnsweredId } from '../catalogue/catalogue.ts';
import { type Context, contextOf, permitted } from '../context.ts';
import { whileWatched } from '../revocation/after-wait.ts';
import { type RevocationWatch } from '../revocation/revocation-watch.ts';

/** Sends the response. Throws an HttpError to refuse the request. */
export type Handler = (req: Request, res: Response, context: Context) => void | Promise<void>;

/** Exactly one handler for each endpoint that the catalogue says Couchgate serves. */
export type Answers = Readonly<Record<AnsweredId, Handler>>;

/**
 * Dispatches on the endpoint that authorize applied. An endpoint without its handler is a fault, and is never
 * forwarded.
 */
export function answerOwnEndpoint(
  handlers: Partial<Answers>,
  watch: Pick<RevocationWatch, 'register'>,
): RequestHandler {
  const byId = new Map<string, Handler>(Object.entries(handlers));
  return function answerOwnEndpointStep(req, res, next) {
    const context = contextOf(req);
    const { id, servedBy } = permitted(context).endpoint;
    if (servedBy !== 'couchgate') {
      next();
      return;
    }
    const handler = byId.get(id);
    if (handler === undefined) throw new Error(`endpoint ${id} has no handler`);
    const answering = answer(watch, handler, req, res, context);
    context.answering = answering.catch(() => undefined);
    return answering;
  };
}

async function answer(
  watch: Pick<RevocationWatch, 'register'>,
  handler: Handler,
  req: Request,
  res: Response,
  context: Context,
): Promise<void> {
  try {
    const result = handler(req, res, context);
    // A handler that does not wait is over: its decision still holds.
    if (result instanceof Promise) await whileWatched(watch, context, () => result);
  } catch (thrown) {
    context.outcome.refuseBy(thrown);
    throw thrown;
  }
}
