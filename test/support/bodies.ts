// A body reader with room for everything that a test sends, and a context with whom its budget counts.
import { type IncomingMessage } from 'node:http';
import { BodyReader } from '../../src/body/read.ts';
import { Context } from '../../src/context.ts';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';

export function testBodies(): BodyReader {
  return new BodyReader({ scannedBytes: 1e9, parsedBytes: 1e9 });
}

/** Puts a context on a request that did not come through Couchgate's own listeners. */
export function attachContext(req: IncomingMessage, principal: Principal = NOBODY): Context {
  const context = new Context();
  context.client = { ip: '192.0.2.1', port: 1, secure: false, mayAdminister: true };
  context.identified = { principal, method: 'basic' };
  return Object.assign(req, { context }).context;
}
