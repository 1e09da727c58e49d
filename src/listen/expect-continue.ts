// Sends `100 Continue` when the body of a request is wanted, and not before.
import { type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { contextOf } from '../context.ts';

/**
 * By default Node sends 100 before the first step. A client that asked first would then upload a body that is
 * refused. RFC 9110 section 10.1.1: the final status comes at once when method, target and headers decide.
 * Node closes the connection behind a final status without 100, because the client may send the body or not.
 */
export function deferContinue(server: Server): void {
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
    contextOf(req).sendContinue = () => {
      if (!res.headersSent) res.writeContinue();
    };
    server.emit('request', req, res);
  });
}
