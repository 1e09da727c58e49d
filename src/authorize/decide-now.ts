// Decides with the prefix grants and the server grants that are in force at this moment.
import { type IdClass } from '../catalogue/document-id.ts';
import { monitorPrivilege } from '../catalogue/monitor.ts';
import { type Operation } from '../catalogue/operation.ts';
import { type Decision } from '../context.ts';
import { Unavailable } from '../http-errors.ts';
import { type DatabasePermissions } from '../permissions/grants.ts';
import { NO_PREFIX_ACCESS, type PrefixReader } from '../permissions/prefix-grants.ts';
import { type ServerReader } from '../permissions/server-grants.ts';
import { type Principal } from '../principal/principal.ts';
import { decide, decideForMonitor } from './decide.ts';

/** Grants besides those of the security objects. */
export interface OtherGrants {
  readonly prefixGrants: PrefixReader;
  readonly serverGrants: ServerReader;
}

/**
 * As `decide`. Throws `Unavailable` if the grants are not known and the rest does not permit the request: a
 * 403 would be final for a replicator.
 */
export function decideNow(
  { prefixGrants, serverGrants }: OtherGrants,
  principal: Principal,
  operation: Operation,
  permissions: DatabasePermissions | undefined,
  ids: IdClass | undefined,
): Decision {
  const prefix = prefixGrants.accessOf(principal, operation.database);
  const decision = decide(principal, operation, permissions, ids, prefix ?? NO_PREFIX_ACCESS);
  if (decision.allow && decision.identity === 'marker') return decision;
  if (monitorPrivilege(operation.endpoint) !== undefined) {
    const isMonitor = serverGrants.isMonitor(principal);
    if (isMonitor === true) return decideForMonitor(operation, permissions) ?? decision;
    if (isMonitor === undefined && !decision.allow) throw unknownGrants();
  }
  if (prefix === undefined && !decision.allow) throw unknownGrants();
  return decision;
}

/** The error while the prefix grants or the server grants cannot be read. */
export function unknownGrants(): Unavailable {
  return new Unavailable('The grants are not known at present.', { retryAfterSeconds: 1 });
}
