// Defines the order of the steps that every request passes.
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

/** One handler per step, created at start. */
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

/** Called with every error that is not an HttpError, for the operational log. */
export type Report = (thrown: unknown, requestId: string) => void;

/** Creates the application. Every request ends in a step, in `answerError` or in `refuseUnroutable`. */
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

/** The only error handler: sends the public sentence and stores the private detail for the log. */
function errorExit(report: Report): ErrorRequestHandler {
  // Express recognises an error handler by its four parameters.
  return function answerError(thrown: unknown, req: Request, res: Response, _next: NextFunction): void {
    const context = contextOf(req);
    const error = asHttpError(thrown);
    context.outcome.failure ??= error.detail;
    if (error !== thrown) report(thrown, context.id);
    sendError(req, res, error);
  };
}

/** Returns the fallback that answers 400 to targets that Express's router cannot parse. */
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
