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
import { compose } from './compose.ts';
import { asHttpError, sendError } from './respond.ts';

/** One handler per step, created at start. */
export interface Steps {
  readonly recordRequest: RequestHandler;
  readonly refuseUnknownAddress: RequestHandler;
  readonly applyOriginRules: RequestHandler;
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
export type ReportFault = (thrown: unknown, requestId: string) => void;

/** Creates the application. Every request ends in a step or in `answerError`. */
export function createApp(steps: Steps, report: ReportFault): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', false);
  const runSteps = compose([
    steps.recordRequest,
    steps.refuseUnknownAddress,
    steps.applyOriginRules,
    steps.refuseAmbiguousFraming,
    steps.readTarget,
    steps.classifyRequest,
    steps.identifyPrincipal,
    steps.authorizeOperation,
    steps.guardRequest,
    steps.answerOwnEndpoint,
    steps.forwardToCouch,
  ]);
  const answerError = errorExit(report);
  app.use(runSteps, answerError);
  handleUnparsed(app, (req, res) => {
    runSteps(req, res, (error) => answerError(error, req, res, () => undefined));
  });
  return app;
}

/**
 * The only error handler: sends the public sentence, and records why for the access log. An error before the
 * decision is no refusal by the step that was not finished: while CouchDB is away, passwords are not wrong.
 */
function errorExit(report: ReportFault): ErrorRequestHandler {
  // Express recognises an error handler by its four parameters.
  return function answerError(thrown: unknown, req: Request, res: Response, _next: NextFunction): void {
    const { id, identified, decision, outcome } = contextOf(req);
    const error = asHttpError(thrown);
    const isFailure = error.status >= 500;
    outcome.failure ??= error.detail ?? (isFailure ? error.reason : undefined);
    if (decision === undefined && (isFailure || identified !== undefined))
      outcome.refuse('undecided', error.reason);
    if (res.headersSent) outcome.cut(isFailure ? 'upstream truncated' : 'revoked');
    if (error !== thrown) report(thrown, id);
    sendError(req, res, error);
  };
}

/** What Express calls for every request; not part of its types. */
interface Handling {
  handle(req: Request, res: Response, done?: (error?: unknown) => void): void;
}

/**
 * Express calls no handler for a target that it cannot parse, such as `http://[`, and answers with a page of
 * its own. `handler` runs in its place. A target that begins with a slash can always be parsed.
 * Pinned by test/hostile/h07-unrouted-targets.test.ts.
 */
function handleUnparsed(app: Express, handler: (req: Request, res: Response) => void): void {
  const handling = app as unknown as Handling;
  const handle = handling.handle.bind(app);
  // eslint-disable-next-line no-restricted-syntax -- made once, at the start
  handling.handle = (req, res, done) => {
    if (req.url.startsWith('/')) handle(req, res, done);
    else handle(req, res, (error) => (error === undefined ? handler(req, res) : res.destroy()));
  };
}
