// Reads a list of roles from the command line.
import { nearest } from '../config/nearest.ts';
import { isRole, ROLES, type Role } from '../permissions/role.ts';
import { UsageError } from '../setup/arguments.ts';

/** Parses roles that are separated by commas. Throws a UsageError for an unknown or empty one. */
export function rolesIn(text: string): readonly Role[] {
  const roles = text.split(',').map((role) => role.trim());
  for (const role of roles) {
    if (isRole(role)) continue;
    const near = nearest(role, ROLES);
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    throw new UsageError(`${JSON.stringify(role)} is not one of ${ROLES.join(', ')}${hint}`);
  }
  return [...new Set(roles as Role[])];
}
