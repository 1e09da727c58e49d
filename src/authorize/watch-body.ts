// Has a request watched while its body is still on its way: what permitted it may be taken away before it has all come (H17).
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { contextOf, known } from '../context.ts';
import { announcesBody } from '../endpoints/request-body.ts';
import { type OpenFeed, type OpenFeeds } from '../identity/open-feeds.ts';

/**
 * A body may come as slowly as its sender likes, and what it asks for is done when it has all come: whoever sends all but the last byte keeps a
 * right that is taken away in the meantime, for as long as it sends a byte now and then. So the request is decided afresh like an open
 * feed, and cut before its end. Pinned by test/hostile/h17-slow-bodies.test.ts.
 */
export function watchBody(
  openFeeds: Pick<OpenFeeds, 'register'>,
  { req, res }: { readonly req: IncomingMessage; readonly res: ServerResponse },
  { endpoint, identity }: Pick<OpenFeed, 'endpoint' | 'identity'>,
): void {
  if (!announcesBody(req) || req.readableEnded) return;
  const context = contextOf(req);
  const { principal, sessionId, keyVersion } = known(context.identified, 'identified');
  const forget = openFeeds.register({
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
