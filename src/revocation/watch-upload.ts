// Ends a request whose right is revoked while its body is still arriving (H17).
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { announcesBody } from '../body/decode.ts';
import { onClosed } from '../closed-response.ts';
import { contextOf } from '../context.ts';
import { type RevocationWatch } from './revocation-watch.ts';
import { type Applied, watchedBy } from './watched-exchange.ts';

/**
 * Watches the request until its body is complete, and breaks its connection if its right is revoked before.
 * The client chooses how slowly it sends: without the watch, a revoked right would last until the last byte.
 * Does nothing for a request without a body. Pinned by test/hostile/h17-slow-bodies.test.ts.
 */
export function watchUpload(
  watch: Pick<RevocationWatch, 'register'>,
  { req, res }: { readonly req: IncomingMessage; readonly res: ServerResponse },
  applied: Applied,
): void {
  if (!announcesBody(req) || req.readableEnded) return;
  const context = contextOf(req);
  const unregister = watch.register(
    watchedBy(context, applied, (reason) => {
      context.outcome.cut(reason);
      res.destroy();
    }),
  );
  req.once('end', unregister);
  onClosed(res, unregister);
}
