// Runs selected steps behind Couchgate's listeners and error handler.
import express, { type ErrorRequestHandler, type RequestHandler } from 'express';
import { type Settings } from '../../src/config/settings.ts';
import { createListeners, type Listeners } from '../../src/listen/server.ts';
import { asHttpError, sendError } from '../../src/respond.ts';
import { rememberingLog, type RememberedLog } from './log.ts';
import { testSettings } from './settings.ts';

export interface StepsServer {
  readonly url: string;
  readonly urls: readonly string[];
  readonly listeners: Listeners;
  readonly log: RememberedLog;
  readonly close: () => void;
}

/** Starts a server with `steps` in this order. Errors are answered as in the real application. */
export async function serveSteps(
  steps: readonly RequestHandler[],
  over: Partial<Settings> = {},
): Promise<StepsServer> {
  const exit: ErrorRequestHandler = (thrown, req, res, _next) => sendError(req, res, asHttpError(thrown));
  const app = express();
  app.use(...steps, exit);
  const log = rememberingLog();
  const listeners = createListeners({ app, settings: testSettings(over), log });
  const urls = await listeners.open();
  return {
    url: urls[0] ?? '',
    urls,
    listeners,
    log,
    close: () => {
      for (const server of listeners.servers) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}
