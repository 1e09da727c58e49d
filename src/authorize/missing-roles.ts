// Says which access is missing, in Cloudant's words, which clients parse. Runs for refusals only.
import { type Endpoint } from '../catalogue/endpoint.ts';
import { rolesOf, type RoleSet } from '../permissions/role.ts';

/** What the public sentence and the audit log need to know of a refusal. */
export interface Missing {
  /** `_reader access is required for this request`, `one of _design, _reader is required for this request`. */
  readonly reason: string;
  /** The same without the sentence: names separated by a blank mean any of them. */
  readonly needed: string;
}

export const SERVER_ADMIN: Missing = access(['server_admin']);

/** For rows that ask for nothing but a name; CouchDB's own sentence. */
export const A_NAME: Missing = { reason: 'Authentication required.', needed: 'authenticated' };

/**
 * What `held` lacks for the row. Where a row wants two roles and one is held, only the other is named; where both are missing they are
 * named together, as `_reader+_writer`. Of several ways, those with the fewest missing roles are named, in alphabetical order.
 */
export function missingFor(row: Endpoint, held: RoleSet): Missing {
  if (row.permit.kind !== 'roles' || row.permit.sets.length === 0) return SERVER_ADMIN;
  const lacking = row.permit.sets.map((set) => rolesOf(set & ~held));
  const fewest = Math.min(...lacking.map((roles) => roles.length));
  return access(
    lacking.filter((roles) => roles.length === fewest).map((roles) => [...roles].sort().join('+')),
  );
}

/** The sentence for any of `names`. */
export function access(names: readonly string[]): Missing {
  const sorted = [...new Set(names)].sort();
  const reason =
    sorted.length === 1
      ? `${sorted[0] ?? ''} access is required for this request`
      : `one of ${sorted.join(', ')} is required for this request`;
  return { reason, needed: sorted.join(' ') };
}
