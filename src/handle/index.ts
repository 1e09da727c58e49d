// Chooses the handler of an endpoint that Couchgate answers itself, or looks at before CouchDB does. Everything else goes on to forward.
import { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { type Context, contextOf, known, overrule } from '../context.ts';

/** Answers the request, or calls `next` to have it forwarded. */
export type Handler = (
  req: Request,
  res: Response,
  next: NextFunction,
  context: Context,
) => void | Promise<void>;

/** Handlers by catalogue id. Every row that is not blocked and not served by `couchdb` must have one. */
export type Handlers = Readonly<Record<string, Handler>>;

/** Dispatches on the row that authorize applied. A row of ours without a handler is a fault and is never forwarded. */
export function answerOwnEndpoint(handlers: Handlers): RequestHandler {
  const byId = new Map(Object.entries(handlers));
  return function answerOwnEndpointStep(req, res, next) {
    const context = contextOf(req);
    const decision = known(context.decision, 'decision');
    if (!decision.allow) throw new Error('a refused request reached its handler');
    const handler = byId.get(decision.endpoint.id);
    if (handler !== undefined) return handle(handler, req, res, next, context);
    if (decision.endpoint.servedBy === 'couchgate')
      throw new Error(`endpoint ${decision.endpoint.id} has no handler`);
    next();
  };
}

/** What a handler refuses was refused, whatever authorize had said. */
async function handle(handler: Handler, ...request: Parameters<Handler>): Promise<void> {
  try {
    await handler(...request);
  } catch (thrown) {
    overrule(request[3], thrown);
    throw thrown;
  }
}
