// The answer step: runs the handler or the guard of the endpoint, or passes the request on to forwarding.
import { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { type Context, contextOf, known, overrule } from '../context.ts';
import { type AnsweredId, type GuardedId } from '../catalogue/catalogue.ts';

/** Sends the response. Throws an HttpError to refuse the request. */
export type Handler = (req: Request, res: Response, context: Context) => void | Promise<void>;

/**
 * Checks a request before it is forwarded; never sends a response. Throws an HttpError to refuse it. Returns
 * the body for CouchDB, or undefined to leave the body unchanged.
 */
export type Guard = (
  req: Request,
  context: Context,
  res: Response,
) => Buffer | undefined | Promise<Buffer | undefined>;

/** One handler for each endpoint with `servedBy: couchgate` that is not blocked. */
export type Answers = Readonly<Record<AnsweredId, Handler>>;
/** One guard for each endpoint with `servedBy: guard`. */
export type Guards = Readonly<Record<GuardedId, Guard>>;

export interface Handlers {
  readonly answers: Answers;
  readonly guards: Guards;
}

/**
 * Makes the step. It dispatches on the endpoint that authorize decided on. An endpoint without its handler is
 * a programming error and is never forwarded.
 */
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
