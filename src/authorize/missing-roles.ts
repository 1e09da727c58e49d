// Builds the refusal for missing roles with Cloudant's sentences, which clients parse. Runs for refusals
// only.
import { type Endpoint } from '../catalogue/endpoint.ts';
import { rolesOf, type RoleSet } from '../permissions/role.ts';

/** The refusal, for the client and for the access log. */
export interface Missing {
  /** For example `_reader access is required for this request`. */
  readonly reason: string;
  /** The role names alone; names separated by a space mean any of them. */
  readonly needed: string;
}

export const SERVER_ADMIN: Missing = access(['server_admin']);

/** For `PUT /{db}`. Begins with Cloudant's sentence. */
export const CREATOR: Missing = {
  reason: `${SERVER_ADMIN.reason}, or a prefix grant with \`create\` for this name`,
  needed: SERVER_ADMIN.needed,
};

/** For endpoints that any signed-in caller may call; CouchDB's own sentence. */
export const ANY_NAME: Missing = { reason: 'Authentication required.', needed: 'authenticated' };

/**
 * Returns what `held` lacks for the endpoint. If a role set has two roles and one is held, only the other is
 * named. If both are missing, they are named together, as `_reader+_writer`. Of several role sets, those with
 * the fewest missing roles are named, in alphabetical order.
 */
export function missingFor(endpoint: Endpoint, held: RoleSet): Missing {
  if (endpoint.permit.kind !== 'roles' || endpoint.permit.sets.length === 0) return SERVER_ADMIN;
  const lacking = endpoint.permit.sets.map((set) => rolesOf(set & ~held));
  const fewest = Math.min(...lacking.map((roles) => roles.length));
  return access(
    lacking.filter((roles) => roles.length === fewest).map((roles) => [...roles].sort().join('+')),
  );
}

/** The refusal if one of `names` is required. */
export function access(names: readonly string[]): Missing {
  const sorted = [...new Set(names)].sort();
  const reason =
    sorted.length === 1
      ? `${sorted[0] ?? ''} access is required for this request`
      : `one of ${sorted.join(', ')} is required for this request`;
  return { reason, needed: sorted.join(' ') };
}
