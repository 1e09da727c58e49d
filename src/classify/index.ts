// The classify step: writes the operation of a request to its context.
import { type RequestHandler } from 'express';
import { contextOf, known } from '../context.ts';
import { type ClassifyRules, createClassify } from './classify.ts';

/**
 * Makes the step. It writes `context.operation` from `context.target` and `context.destination`. It never
 * refuses a request: an unknown endpoint becomes a blocked operation.
 */
export function classifyRequest(rules: ClassifyRules): RequestHandler {
  const classify = createClassify(rules);
  return function classifyRequestStep(req, _res, next) {
    const context = contextOf(req);
    context.operation = classify(req.method, known(context.target, 'target'), context.destination);
    next();
  };
}
