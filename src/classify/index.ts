// The step that writes the operation of a request. Finding it is classify.ts's business.
import { type RequestHandler } from 'express';
import { contextOf, known } from '../context.ts';
import { createClassify } from './classify.ts';

/** Writes `context.operation` from `context.target` and `context.destination`; never refuses: an unknown endpoint is a blocked operation. */
export function classifyRequest(rules: { readonly storeDatabase: string }): RequestHandler {
  const classify = createClassify(rules);
  return function classifyRequestStep(req, _res, next) {
    const context = contextOf(req);
    context.operation = classify(req.method, known(context.target, 'target'), context.destination);
    next();
  };
}
