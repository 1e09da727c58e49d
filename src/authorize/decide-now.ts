// Decides with the prefix grants that are in force at this moment.
import { type IdClass } from '../catalogue/document-id.ts';
import { type Operation } from '../catalogue/operation.ts';
import { type Decision } from '../context.ts';
import { Unavailable } from '../http-errors.ts';
import { type DatabasePermissions } from '../permissions/grants.ts';
import { NO_PREFIX_ACCESS, type PrefixReader } from '../permissions/prefix-grants.ts';
import { type Principal } from '../principal/principal.ts';
import { decide } from './decide.ts';

/**
 * As `decide`. Throws `Unavailable` if the prefix grants are not known and the rest does not permit the
 * request: a 403 would be final for a replicator.
 */
export function decideNow(
  grants: PrefixReader,
  principal: Principal,
  operation: Operation,
  permissions: DatabasePermissions | undefined,
  ids: IdClass | undefined,
): Decision {
  const prefix = grants.accessOf(principal, operation.database);
  const decision = decide(principal, operation, permissions, ids, prefix ?? NO_PREFIX_ACCESS);
  if (prefix === undefined && !decision.allow)
    throw new Unavailable('The prefix grants are not known at present.', { retryAfterSeconds: 1 });
  return decision;
}
