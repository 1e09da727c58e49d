// Sends what was permitted to CouchDB and brings the answer back. Whether it is permitted was decided before; how each part is done is said in the files beside this one.
import { type RequestHandler } from 'express';
import { contextOf, known } from '../context.ts';
import { Exchange, type ExchangeServices } from './exchange.ts';

/** The last step: every allowed request that no handler of ours has answered. */
export function forwardToCouch(services: ExchangeServices): RequestHandler {
  return function forwardToCouchStep(req, res, next) {
    const context = contextOf(req);
    const decision = known(context.decision, 'decision');
    if (!decision.allow) throw new Error('a refused request reached forwarding');
    new Exchange(services, req, res, next, context, decision).start();
  };
}
