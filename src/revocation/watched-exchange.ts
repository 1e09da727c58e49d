// Describes a request for the revocation watch.
import { type Context, type CutReason, known } from '../context.ts';
import { type Credential, type WatchedExchange } from './revocation-watch.ts';

/** What was applied. A decision that becomes a token for CouchDB is passed as a whole. */
export type Applied = Pick<WatchedExchange, 'endpoint' | 'identity' | 'privilege' | 'roles'>;

/** Of a decision that is made again before it is applied, only the permission counts: it becomes no token. */
export function withoutToken({ endpoint, identity }: Applied): Applied {
  return { endpoint, identity };
}

/** The credential of a request. */
export function credentialOf({ identified, userChanges }: Context): Credential {
  const { principal, sessionId, keyVersion } = known(identified, 'identified');
  return {
    principal,
    sessionId,
    keyVersion,
    userChanges: principal.kind === 'user' ? userChanges : undefined,
  };
}

/**
 * Builds the description from the context. `cut` breaks the exchange, so that its client sees the answer as
 * incomplete; its argument is the reason for the access log.
 */
export function watchedBy(
  context: Context,
  { endpoint, identity, privilege, roles }: Applied,
  cut: (reason: CutReason) => void,
): WatchedExchange {
  const { database } = known(context.operation, 'operation');
  return { ...credentialOf(context), database, endpoint, identity, privilege, roles, cut };
}
