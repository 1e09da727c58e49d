// Describes a request to the revocation watch, from its context.
import { type Context, known } from '../context.ts';
import { type WatchedExchange } from './revocation-watch.ts';

/** `cut` ends the exchange so that its client sees it broken off; its argument is the reason for the access log. */
export function watchedBy(
  context: Context,
  { endpoint, identity }: Pick<WatchedExchange, 'endpoint' | 'identity'>,
  cut: (reason: string) => void,
): WatchedExchange {
  const { principal, sessionId, keyVersion } = known(context.identified, 'identified');
  const { database } = known(context.operation, 'operation');
  return { principal, database, sessionId, keyVersion, endpoint, identity, cut };
}
