// The step behind authorize: answers what Couchgate answers itself, checks what is guarded, and passes on what is forwarded.
import { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { type Context, contextOf, known, overrule } from '../context.ts';
import { type AnsweredId, type GuardedId } from '../catalogue/catalogue.ts';

/** Answers the request. Throws an HttpError to refuse it. */
export type Handler = (req: Request, res: Response, context: Context) => void | Promise<void>;

/**
 * Checks a request that is forwarded afterwards, and never answers. Throws an HttpError to refuse it. Returns the body that CouchDB gets,
 * or undefined to leave the body as it is.
 */
export type Guard = (
  req: Request,
  context: Context,
  res: Response,
) => Buffer | undefined | Promise<Buffer | undefined>;

/** Exactly one handler for each endpoint of the catalogue that needs one. */
export type Answers = Readonly<Record<AnsweredId, Handler>>;
export type Guards = Readonly<Record<GuardedId, Guard>>;

export interface Handlers {
  readonly answers: Answers;
  readonly guards: Guards;
}

/** Dispatches on the row that authorize applied. A row without its handler is a fault and is never forwarded. */
export function answerOwnEndpoint(handlers: {
  readonly answers: Partial<Answers>;
  readonly guards: Partial<Guards>;
}): RequestHandler {
  const answers = new Map<string, Handler>(Object.entries(handlers.answers));
  const guards = new Map<string, Guard>(Object.entries(handlers.guards));
  return function answerOwnEndpointStep(req, res, next) {
    const context = contextOf(req);
    const decision = known(context.decision, 'decision');
    if (!decision.allow) throw new Error('a refused request reached its handler');
    const { id, servedBy } = decision.endpoint;
    if (servedBy === 'couchdb') {
      next();
      return;
    }
    if (servedBy === 'guard') return check(handlerOf(guards, id), req, res, next);
    return answer(handlerOf(answers, id), req, res, context);
  };
}

function handlerOf<T>(handlers: ReadonlyMap<string, T>, id: string): T {
  const handler = handlers.get(id);
  if (handler === undefined) throw new Error(`endpoint ${id} has no handler`);
  return handler;
}

async function answer(handler: Handler, ...request: Parameters<Handler>): Promise<void> {
  try {
    await handler(...request);
  } catch (thrown) {
    overrule(request[2], thrown);
    throw thrown;
  }
}

async function check(guard: Guard, req: Request, res: Response, next: NextFunction): Promise<void> {
  const context = contextOf(req);
  let body: Buffer | undefined;
  try {
    body = await guard(req, context, res);
  } catch (thrown) {
    overrule(context, thrown);
    throw thrown;
  }
  const decision = known(context.decision, 'decision');
  if (body !== undefined && decision.allow) context.decision = { ...decision, body };
  next();
}
