// Builds the rows of `GET /_api/v2/access`: the databases of a name with its roles, and their pages.
import { mayHaveGrants } from '../catalogue/database-name.ts';
import { Unavailable } from '../http-errors.ts';
import { type AdmittedName, isMember } from '../permissions/couchdb-members.ts';
import { type ExistingDatabases } from '../permissions/existing-databases.ts';
import { type PermissionIndex } from '../permissions/permission-index.ts';
import { type PrefixGrant } from '../permissions/prefix-grant.ts';
import { type PrefixGrants } from '../permissions/prefix-grants.ts';
import { NO_ROLES, rolesOf, type RoleSet } from '../permissions/role.ts';
import { type RoleSource } from '../permissions/role-sources.ts';

export interface AccessRowsDeps {
  readonly permissions: { readonly index: PermissionIndex };
  readonly existing: ExistingDatabases;
  readonly prefixGrants: Pick<PrefixGrants, 'grantsOf' | 'isKnown'>;
  /** Databases of Couchgate, which can have no grants. */
  readonly reservedDatabases: readonly string[];
}

/**
 * Where a role comes from. `_security` = the security object of the database; `prefix grant` = a grant on
 * every database of a prefix; `owner` = a server admin of CouchDB; `couchdb` = CouchDB decides by its own
 * members and admins (`couchdb_auth_only`).
 */
export type AccessSource = '_security' | 'prefix grant' | 'owner' | 'couchdb';

/** One row of an answer. A name with roles of several sources has several rows. */
export interface AccessRow {
  readonly roles: readonly string[];
  readonly source: AccessSource;
  /** The id of the prefix grant. */
  readonly grant?: string;
}

/** A database that a name may use. */
export interface DatabaseRow extends AccessRow {
  readonly database: string;
}

/** Which rows of an answer are asked for. */
export interface Page {
  readonly limit: number;
  /** Only rows behind this name. */
  readonly after: string | undefined;
}

/** Throws 503 while the prefix grants are not in memory. */
export function requireGrantsKnown({ prefixGrants }: AccessRowsDeps): void {
  if (!prefixGrants.isKnown)
    throw new Unavailable('The prefix grants are not known at present.', { retryAfterSeconds: 1 });
}

/** Throws 503 while the permissions are not in memory. */
export function requireIndexLoaded({ permissions }: AccessRowsDeps): void {
  if (!permissions.index.isLoaded)
    throw new Unavailable('The permissions are being read; databases cannot be listed yet.', {
      retryAfterSeconds: 1,
    });
}

/** The field `prefix_grants`; none without grants. */
export function prefixGrantsField(
  grants: readonly PrefixGrant[],
  fields: (grant: PrefixGrant) => object,
): object {
  return grants.length === 0 ? {} : { prefix_grants: grants.map(fields) };
}

/** The databases that the prefix grants of a name reach, by prefix. Throws `Unavailable`. */
export async function databasesByPrefix(
  { existing, prefixGrants }: AccessRowsDeps,
  name: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  for (const { prefix } of prefixGrants.grantsOf(name).filter(givesRoles))
    found.set(prefix, await existing.withPrefix(prefix));
  return found;
}

/** The databases on which the name has roles at this moment, and those where CouchDB names it. */
export function databaseRows(
  { prefixGrants, permissions, reservedDatabases }: AccessRowsDeps,
  admitted: AdmittedName,
  byPrefix: ReadonlyMap<string, readonly string[]>,
): readonly DatabaseRow[] {
  const { index } = permissions;
  const { name } = admitted;
  // Roles have no effect where CouchDB decides.
  const leftToCouchdb = index.couchdbAuthOnly();
  const hasRoles = (database: string): boolean =>
    mayHaveGrants(database, reservedDatabases) && !leftToCouchdb.has(database);
  const rows: DatabaseRow[] = [];
  for (const [database, roles] of index.databasesOf(name))
    if (hasRoles(database)) rows.push({ database, ...rowOf({ from: '_security', roles }) });
  for (const database of leftToCouchdb)
    if (mayHaveGrants(database, reservedDatabases) && isMember(admitted, index.couchdbMembersOf(database)))
      rows.push({ database, roles: [], source: 'couchdb' });
  for (const grant of prefixGrants.grantsOf(name).filter(givesRoles))
    for (const database of byPrefix.get(grant.prefix) ?? [])
      if (hasRoles(database) && !index.isDeleted(database))
        rows.push({ database, ...rowOf({ from: 'prefix grant', roles: grant.roles, grant }) });
  return rows;
}

/** True if it gives a role, and not only the right to create databases. */
export function givesRoles({ roles }: { readonly roles: RoleSet }): boolean {
  return roles !== NO_ROLES;
}

/** The fields of a row that say what it gives. */
export function rowOf(source: RoleSource): AccessRow {
  const roles = rolesOf(source.roles);
  return source.from === '_security'
    ? { roles, source: '_security' }
    : { roles, source: 'prefix grant', grant: source.grant.id };
}

/** The rows of a page in order, and what names the following page. A name is never split over two pages. */
export function pageOf<Row>(
  rows: readonly Row[],
  nameOf: (row: Row) => string,
  { limit, after }: Page,
): { readonly shown: readonly Row[]; readonly next: { readonly next?: string } } {
  const sorted = rows
    .filter((row) => after === undefined || nameOf(row) > after)
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0));
  let end = Math.min(limit, sorted.length);
  const nameAt = (at: number): string | undefined => {
    const row = sorted[at];
    return row === undefined ? undefined : nameOf(row);
  };
  while (end > 0 && end < sorted.length && nameAt(end) === nameAt(end - 1)) end += 1;
  const last = nameAt(end - 1);
  const isWhole = end === sorted.length || last === undefined;
  return { shown: sorted.slice(0, end), next: isWhole ? {} : { next: last } };
}
