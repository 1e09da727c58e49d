// Decides again about a request that was permitted before: after a wait, and while it runs (H17, H19).
import { type KeyStore } from '../identity/api-key.ts';
import { type SessionStore } from '../identity/session-store.ts';
import { type PermissionReader } from '../permissions/permission-store.ts';
import { type IsStillAuthenticated } from '../revocation/after-wait.ts';
import { type WatchedExchange } from '../revocation/revocation-watch.ts';
import { decideNow, type OtherGrants } from './decide-now.ts';

export interface StillPermittedDeps {
  readonly keys: Pick<KeyStore, 'holds'>;
  readonly sessions: Pick<SessionStore, 'isEnded'>;
  readonly permissions: Pick<PermissionReader, 'permissionsOf'>;
  readonly grants: OtherGrants;
}

/** Decides whether a credential is still valid: its session has not ended, and its key has that password. */
export function createStillAuthenticated({
  keys,
  sessions,
}: Pick<StillPermittedDeps, 'keys' | 'sessions'>): IsStillAuthenticated {
  return function isStillAuthenticated({ principal, sessionId, keyVersion }) {
    const isEnded = sessionId === undefined ? false : sessions.isEnded(sessionId);
    const holds = keyVersion === undefined ? true : keys.holds(principal.name, keyVersion);
    if (!(isEnded instanceof Promise) && !(holds instanceof Promise)) return !isEnded && holds;
    return Promise.all([isEnded, holds]).then(([ended, valid]) => !ended && valid);
  };
}

/**
 * Decides whether the permissions in force now still permit the endpoint that was applied. A form that is not
 * complete has named no database yet; it is decided when it has. Rejects when the permissions cannot be read.
 */
export function createStillPermitted(
  deps: StillPermittedDeps,
): (exchange: WatchedExchange) => Promise<boolean> {
  const isStillAuthenticated = createStillAuthenticated(deps);
  return async function isStillPermitted(exchange) {
    const { principal, database, endpoint } = exchange;
    if (!(await isStillAuthenticated(exchange))) return false;
    if (endpoint.id === 'legacy-set-permissions') return true;
    const permissions = database === undefined ? undefined : await deps.permissions.permissionsOf(database);
    const operation = {
      endpoint,
      alternatives: [],
      decidedByBody: undefined,
      database,
      documentId: undefined,
    };
    return decideNow(deps.grants, principal, operation, permissions, undefined).allow;
  };
}
