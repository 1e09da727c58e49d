// Defines the roles of Cloudant's security model, as names and as bit masks.

/**
 * Every role that a `cloudant` map may contain; any other is a 400.
 * Source: IBM Cloudant, "Authorization", tables 1 and 2, and its older roles for one purpose.
 */
export const ROLES = [
  '_reader',
  '_writer',
  '_admin',
  '_design',
  '_replicator',
  '_security',
  '_shards',
  '_db_updates',
] as const;

export type Role = (typeof ROLES)[number];

/** A set of roles as a bit mask, so that a decision is one `&`. */
export type RoleSet = number;

const BIT = new Map<unknown, RoleSet>(ROLES.map((role, index) => [role, 1 << index]));

export const NO_ROLES: RoleSet = 0;

/** True for a name from ROLES. */
export function isRole(name: unknown): name is Role {
  return typeof name === 'string' && BIT.has(name);
}

/** The bit mask of some roles. */
export function roleSet(roles: readonly Role[]): RoleSet {
  return roleSetIn(roles);
}

/** The bit mask of the roles among some values. */
export function roleSetIn(values: readonly unknown[]): RoleSet {
  let set = NO_ROLES;
  for (const value of values) set |= BIT.get(value) ?? 0;
  return set;
}

/** The roles of a set, in the order of ROLES. */
export function rolesOf(set: RoleSet): readonly Role[] {
  return ROLES.filter((_, index) => (set & (1 << index)) !== 0);
}

/** Who holds one of these roles can change the permissions of the database. */
export const PERMISSION_WRITERS: RoleSet = roleSet(['_admin', '_security']);
