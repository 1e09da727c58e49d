// Describes a request for the revocation watch.
import { type Context, known } from '../context.ts';
import { type WatchedExchange } from './revocation-watch.ts';

/**
 * Builds the description from the context. `cut` breaks the exchange, so that its client sees the answer as
 * incomplete; its argument is the reason for the access log.
 */
export function watchedBy(
  context: Context,
  { endpoint, identity }: Pick<WatchedExchange, 'endpoint' | 'identity'>,
  cut: (reason: string) => void,
): WatchedExchange {
  const { principal, sessionId, keyVersion } = known(context.identified, 'identified');
  const { database } = known(context.operation, 'operation');
  return { principal, database, sessionId, keyVersion, endpoint, identity, cut };
}
