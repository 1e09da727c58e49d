// The order in which a request passes through Couchgate, and nothing else. What each step decides is in its own folder.
import express, {
  type ErrorRequestHandler,
  type Express,
  type NextFunction,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import { contextOf } from './context.ts';
import { BadRequest } from './http-errors.ts';
import { compose } from './compose.ts';
import { asHttpError, sendError } from './respond.ts';

/** One handler for each step, made once at start by services.ts. */
export interface Steps {
  readonly recordRequest: RequestHandler;
  readonly refuseUnknownAddress: RequestHandler;
  readonly answerPreflight: RequestHandler;
  readonly refuseAmbiguousFraming: RequestHandler;
  readonly readTarget: RequestHandler;
  readonly classifyRequest: RequestHandler;
  readonly identifyPrincipal: RequestHandler;
  readonly authorizeOperation: RequestHandler;
  readonly guardRequest: RequestHandler;
  readonly answerOwnEndpoint: RequestHandler;
  readonly forwardToCouch: RequestHandler;
}

/** Called with what could not be answered otherwise, for the operational log. */
export type Report = (thrown: unknown, requestId: string) => void;

/**
 * The Express application. Every request leaves through one of its steps or through `answerError`; what Express itself cannot
 * route (a target that it fails to parse) is refused by the fallback, recorded like any other.
 */
export function createApp(steps: Steps, report: Report): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', false);
  app.use(
    compose([
      steps.recordRequest,
      steps.refuseUnknownAddress,
      steps.answerPreflight,
      steps.refuseAmbiguousFraming,
      steps.readTarget,
      steps.classifyRequest,
      steps.identifyPrincipal,
      steps.authorizeOperation,
      steps.guardRequest,
      steps.answerOwnEndpoint,
      steps.forwardToCouch,
    ]),
    errorExit(report),
  );
  return app;
}

/** The one exit for errors: the public sentence to the client, the private detail to the log. */
function errorExit(report: Report): ErrorRequestHandler {
  // Express takes a function of four parameters for an error handler.
  return function answerError(thrown: unknown, req: Request, res: Response, _next: NextFunction): void {
    const context = contextOf(req);
    const error = asHttpError(thrown);
    context.outcome.failure ??= error.detail;
    if (error !== thrown) report(thrown, context.id);
    sendError(req, res, error);
  };
}

/** What Express calls when no step could be reached at all: its router gives up on targets that it cannot parse. */
export function refuseUnroutable(steps: Pick<Steps, 'recordRequest'>) {
  return (req: Request, res: Response): void => {
    if (res.headersSent || res.writableEnded) return;
    const refuse = (): void => {
      sendError(req, res, new BadRequest('The request target cannot be read.'));
    };
    if (contextOf(req).id === '') void steps.recordRequest(req, res, refuse);
    else refuse();
  };
}
