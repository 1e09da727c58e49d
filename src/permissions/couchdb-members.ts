// Decides whom CouchDB admits to a database that is left to it (`couchdb_auth_only`).
import { type CouchdbMembers } from './permission-index.ts';

/** Whose access is asked for. */
export interface AdmittedName {
  readonly name: string;
  /** True for requests without credentials. */
  readonly isNobody: boolean;
  /** Roles of the user in `_users`. */
  readonly roles: readonly string[];
}

/** True if CouchDB's own lists name the caller. What they open to everybody counts for `nobody`. */
export function isMember(
  { name, isNobody, roles }: AdmittedName,
  members: CouchdbMembers | undefined,
): boolean {
  if (members === undefined) return false;
  if (isNobody) return members.isPublic;
  return members.names.includes(name) || roles.some((role) => members.roles.includes(role));
}
