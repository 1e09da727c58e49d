// Decides by roles alone whether an endpoint is permitted.
import { roleSet, type RoleSet } from '../permissions/role.ts';
import { type Endpoint } from './endpoint.ts';

const ADMIN = roleSet(['_admin']);

/** True if `held` has one of the role sets, or `_admin`. Endpoints without sets are for the owner only. */
export function isPermitted(endpoint: Endpoint, held: RoleSet): boolean {
  if (endpoint.permit.kind !== 'roles') return false;
  const { sets } = endpoint.permit;
  if ((held & ADMIN) !== 0) return sets.length > 0;
  for (const set of sets) if ((held & set) === set) return true;
  return false;
}
