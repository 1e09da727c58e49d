// Decides again about a request that was permitted before: after a wait, and while it runs (H17, H19).
import { type Privilege } from '../catalogue/endpoint.ts';
import { runsFunctions } from '../catalogue/functions.ts';
import { type Allowed } from '../context.ts';
import { RightsReduced } from '../http-errors.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { type SessionStore } from '../identity/session-store.ts';
import { type UserChanges } from '../invalidation/user-changes.ts';
import { NO_ROLES } from '../permissions/role.ts';
import { type PermissionReader } from '../permissions/permission-store.ts';
import { type IsStillAuthenticated } from '../revocation/after-wait.ts';
import { type JudgedExchange } from '../revocation/revocation-watch.ts';
import { decideNow, type OtherGrants, unknownGrants } from './decide-now.ts';

/** `metrics` is never compared with another one. */
const RANK: Readonly<Record<Privilege, number>> = {
  none: 0,
  member: 1,
  metrics: 1,
  dbadmin: 2,
  server_admin: 3,
};

export interface StillPermittedDeps {
  readonly keys: Pick<KeyStore, 'holds'>;
  readonly sessions: Pick<SessionStore, 'isEnded'>;
  readonly userChanges: Pick<UserChanges, 'hasChanged'>;
  readonly permissions: Pick<PermissionReader, 'permissionsOf'>;
  readonly grants: OtherGrants;
}

/**
 * Decides whether a credential is still valid: its session has not ended, its key has that password, and its
 * user has not changed since the password was checked.
 */
export function createStillAuthenticated({
  keys,
  sessions,
  userChanges: users,
}: Pick<StillPermittedDeps, 'keys' | 'sessions' | 'userChanges'>): IsStillAuthenticated {
  return function isStillAuthenticated({ principal, sessionId, keyVersion, userChanges }) {
    if (userChanges !== undefined && users.hasChanged(principal.name, userChanges)) return false;
    const isEnded = sessionId === undefined ? false : sessions.isEnded(sessionId);
    const holds = keyVersion === undefined ? true : keys.holds(principal.name, keyVersion);
    if (!(isEnded instanceof Promise) && !(holds instanceof Promise)) return !isEnded && holds;
    return Promise.all([isEnded, holds]).then(([ended, valid]) => !ended && valid);
  };
}

/**
 * Decides whether the permissions in force now still permit the endpoint that was applied. A form that is not
 * complete has named no database yet; it is decided when it has.
 * Rejects when the permissions cannot be read, and with `RightsReduced` when they permit less than the token
 * of the exchange says.
 */
export function createStillPermitted(
  deps: StillPermittedDeps,
): (exchange: JudgedExchange) => Promise<boolean> {
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
    const decision = decideNow(deps.grants, principal, operation, permissions, undefined);
    // Grants that are not known give no roles: nothing was taken away.
    if (decision.allow && permitsLess(decision, exchange))
      throw areKnown(deps.grants, exchange) ? new RightsReduced() : unknownGrants();
    return decision.allow;
  };
}

function areKnown(
  { prefixGrants, serverGrants }: OtherGrants,
  { principal, database }: JudgedExchange,
): boolean {
  const prefix = prefixGrants.accessOf(principal, database);
  return prefix !== undefined && serverGrants.isMonitor(principal) !== undefined;
}

/**
 * True if a token of the decision would say less than the one that the exchange has. Roles matter to
 * functions of design documents alone. The privilege of the owner depends on the markers of the database, not
 * on a right that can end.
 */
function permitsLess(
  now: Allowed,
  { principal, endpoint, identity, privilege, roles = NO_ROLES }: JudgedExchange,
): boolean {
  if (privilege === undefined || principal.kind === 'owner') return false;
  if (now.identity !== identity || RANK[now.privilege] < RANK[privilege]) return true;
  return runsFunctions(endpoint) && (roles & ~now.roles) !== 0;
}
