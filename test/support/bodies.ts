// Creates a body reader without tight limits, and a context for requests that no listener created.
import { type IncomingMessage } from 'node:http';
import { BodyReader } from '../../src/body/read.ts';
import { Context } from '../../src/context.ts';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';

/** A reader with budgets that no test exceeds. */
export function testBodies(): BodyReader {
  return new BodyReader({ scannedBytes: 1e9, parsedBytes: 1e9 });
}

/** Adds a context to a request that did not come through Couchgate's listeners. */
export function attachContext(req: IncomingMessage, principal: Principal = NOBODY): Context {
  const context = new Context();
  context.client = { ip: '192.0.2.1', port: 1, secure: false, schemeKnown: false, mayAdminister: true };
  context.identified = { principal, method: 'basic' };
  return Object.assign(req, { context }).context;
}
