// Watches a request while its body is still arriving: its right may be revoked before the last byte (H17).
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { announcesBody } from '../body/decode.ts';
import { contextOf } from '../context.ts';
import { type RevocationWatch, type WatchedExchange } from './revocation-watch.ts';
import { watchedBy } from './watched-exchange.ts';

/**
 * Cuts the request when its right is revoked before the body has arrived. A client decides how slowly it sends: without
 * the watch, it would keep a revoked right until the last byte. Pinned by test/hostile/h17-slow-bodies.test.ts.
 */
export function watchUpload(
  watch: Pick<RevocationWatch, 'register'>,
  { req, res }: { readonly req: IncomingMessage; readonly res: ServerResponse },
  applied: Pick<WatchedExchange, 'endpoint' | 'identity'>,
): void {
  if (!announcesBody(req) || req.readableEnded) return;
  const context = contextOf(req);
  const forget = watch.register(
    watchedBy(context, applied, (reason) => {
      context.outcome.cut(reason);
      res.destroy();
    }),
  );
  req.once('end', forget);
  res.once('close', forget);
}
