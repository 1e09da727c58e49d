// Has a request watched while its body is still on its way: what permitted it may be taken away before it has all come (H17).
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { contextOf, known } from '../context.ts';
import { announcesBody } from '../body/decode.ts';
import { type WatchedExchange, type RevocationWatch } from './revocation-watch.ts';

/**
 * A body may come as slowly as its sender likes, and what it asks for is done when it has all come: whoever sends all but the last byte keeps a
 * right that is taken away in the meantime, for as long as it sends a byte now and then. So the request is decided afresh like an open
 * feed, and cut before its end. Pinned by test/hostile/h17-slow-bodies.test.ts.
 */
export function watchBody(
  revocationWatch: Pick<RevocationWatch, 'register'>,
  { req, res }: { readonly req: IncomingMessage; readonly res: ServerResponse },
  { endpoint, identity }: Pick<WatchedExchange, 'endpoint' | 'identity'>,
): void {
  if (!announcesBody(req) || req.readableEnded) return;
  const context = contextOf(req);
  const { principal, sessionId, keyVersion } = known(context.identified, 'identified');
  const forget = revocationWatch.register({
    principal,
    database: known(context.operation, 'operation').database,
    sessionId,
    keyVersion,
    endpoint,
    identity,
    cut(reason) {
      context.ended ??= reason;
      res.destroy();
    },
  });
  req.once('end', forget);
  res.once('close', forget);
}
