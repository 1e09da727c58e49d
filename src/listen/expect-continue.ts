// Sends `100 Continue` when a step reads the body of a request, and not before.
import { type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { contextOf } from '../context.ts';

/**
 * By default Node sends 100 before the first step. A client with `Expect: 100-continue` would then upload a
 * body that is refused. If method, target and headers decide, the final status is sent at once (RFC 9110
 * section 10.1.1). After a final status without 100, Node closes the connection: the client may send the body
 * or not.
 */
export function deferContinue(server: Server): void {
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
    const sendContinue = (): void => {
      if (!res.headersSent) res.writeContinue();
    };
    contextOf(req).sendContinue = sendContinue;
    server.emit('request', req, res);
  });
}
