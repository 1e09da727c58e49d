// Computes what a permissions file changes: per database, the roles of each name before and after.
import { matchesPattern } from '../../permissions/database-pattern.ts';
import { kindOfName } from '../../catalogue/database-name.ts';
import { NO_ROLES, rolesOf, roleSet, type Role, type RoleSet } from '../../permissions/role.ts';
import { type Widening, wideningOf } from '../../permissions/widening.ts';
import { type Admin, fieldsOf } from '../../setup/admin.ts';
import { type CouchdbList, type FileEntry, type PermissionsFile } from './file.ts';
import { type FileProblem, quoted } from './file-nodes.ts';
import { type GrantChange, planGrants, principalOf } from './plan-grants.ts';
import {
  readDatabases,
  readKeys,
  readMany,
  type RemoteKeys,
  type RemotePermissions,
  requestOf,
  unknownAmong,
} from './remote.ts';
import { readGrants } from './remote-grants.ts';

/** The change of one name. */
export interface NameChange {
  readonly name: string;
  readonly before: readonly Role[];
  readonly after: readonly Role[];
}

/** CouchDB's part of a security object. */
export interface CouchdbPart {
  readonly couchdb_auth_only: boolean;
  readonly members?: CouchdbList;
  readonly admins?: CouchdbList;
}

/** The change of one database. It applies to exactly one revision. */
export interface DatabaseChange {
  readonly database: string;
  readonly revision: string;
  readonly names: readonly NameChange[];
  /** Undefined = it stays as it is. */
  readonly couchdb?: CouchdbPart;
  /** What the change needs a flag for. */
  readonly widening: readonly Widening[];
}

export interface Plan {
  readonly version: 1;
  readonly made_at: string;
  readonly prune: boolean;
  readonly databases: readonly DatabaseChange[];
  /** Prefix grants and server grants. */
  readonly grants: readonly GrantChange[];
  readonly warnings: readonly string[];
}

/** Problems that only the running Couchgate shows, such as a label that fits no key. */
export class PlanProblems extends Error {
  readonly problems: readonly FileProblem[];

  constructor(problems: readonly FileProblem[]) {
    super('the file does not fit the databases and keys');
    this.problems = problems;
  }
}

/** What the file asks for on one database. */
interface Wanted {
  readonly roles: Map<string, RoleSet>;
  couchdb: CouchdbPart | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** Names whose existence is looked up. */
const MAX_LOOKED_UP = 100;

/** Makes the plan. Throws PlanProblems, and what the requests throw. */
export async function makePlan(
  couchgate: Admin,
  file: Omit<PermissionsFile, 'problems'>,
  { prune }: { readonly prune: boolean },
): Promise<Plan> {
  const keys = await readKeys(couchgate);
  const { wanted, problems, warnings } = expand(file.entries, await readDatabases(couchgate), keys, prune);
  const present = file.managed.size === 0 ? [] : await readGrants(couchgate);
  const grants = planGrants(file, present, keys, prune);
  const all = [...problems, ...grants.problems].sort((a, b) => a.line - b.line);
  if (all.length > 0) throw new PlanProblems(all);
  const changes: DatabaseChange[] = [];
  const gaining = new Set<string>();
  for await (const [database, found] of readMany(couchgate, [...wanted.keys()].sort())) {
    const asked = wanted.get(database);
    // A database that was deleted meanwhile is none of the plan.
    if (found === undefined || asked === undefined) continue;
    const change = changeOf(found, asked, prune);
    if (change === undefined) continue;
    changes.push(change);
    for (const { name, before, after } of change.names)
      if (name !== 'nobody' && after.some((role) => !before.includes(role)) && !keys.names.has(name))
        gaining.add(name);
  }
  for (const { after } of grants.changes)
    if (after !== null && !keys.names.has(after.principal)) gaining.add(after.principal);
  const unknown = await unknownAmong(couchgate, [...gaining].slice(0, MAX_LOOKED_UP));
  const unread = gaining.size - MAX_LOOKED_UP;
  return {
    version: 1,
    made_at: new Date().toISOString(),
    prune,
    databases: changes,
    grants: grants.changes,
    warnings: [
      ...warnings,
      ...grants.warnings,
      ...unknown.map((name) => `no such key or user: ${quoted(name)}`),
      ...(unread > 0 ? [`${unread} further names that gain a role were not looked up`] : []),
    ],
  };
}

/** Finds the databases of every entry, and the key of every label. */
function expand(
  entries: readonly FileEntry[],
  databases: readonly string[],
  keys: RemoteKeys,
  prune: boolean,
): {
  readonly wanted: ReadonlyMap<string, Wanted>;
  readonly problems: readonly FileProblem[];
  readonly warnings: readonly string[];
} {
  const wanted = new Map<string, Wanted>();
  const problems: FileProblem[] = [];
  const warnings: string[] = [];
  const existing = new Set(databases);
  for (const entry of entries) {
    const { database, line } = entry;
    const isPattern = database.includes('*');
    if (isPattern && prune)
      problems.push({ line, reason: `${quoted(database)} is a pattern; --prune needs exact names` });
    const fitting = isPattern
      ? databases.filter((name) => kindOfName(name) === 'ordinary' && matchesPattern(database, name))
      : [database].filter((name) => existing.has(name));
    if (fitting.length === 0 && !isPattern)
      problems.push({ line, reason: `there is no database ${quoted(database)}` });
    if (fitting.length === 0 && isPattern)
      warnings.push(`line ${line}: no database fits ${quoted(database)}`);
    const roles = rolesByName(entry, keys, problems);
    for (const name of fitting) mergeInto(wanted, name, roles, entry, problems);
  }
  return { wanted, problems, warnings };
}

function rolesByName(
  entry: FileEntry,
  keys: RemoteKeys,
  problems: FileProblem[],
): ReadonlyMap<string, RoleSet> {
  const roles = new Map<string, RoleSet>();
  for (const grant of entry.grants) {
    const holder = principalOf(grant, keys, problems);
    if (holder !== undefined) roles.set(holder, (roles.get(holder) ?? NO_ROLES) | grant.roles);
  }
  return roles;
}

/** Several entries may fit a database: their roles add up. */
function mergeInto(
  wanted: Map<string, Wanted>,
  database: string,
  roles: ReadonlyMap<string, RoleSet>,
  { couchdbAuthOnly, members, admins, line }: FileEntry,
  problems: FileProblem[],
): void {
  const found = wanted.get(database) ?? { roles: new Map<string, RoleSet>(), couchdb: undefined };
  for (const [name, given] of roles) found.roles.set(name, (found.roles.get(name) ?? NO_ROLES) | given);
  if (couchdbAuthOnly !== undefined) {
    const part: CouchdbPart = {
      couchdb_auth_only: couchdbAuthOnly,
      ...(members === undefined ? {} : { members }),
      ...(admins === undefined ? {} : { admins }),
    };
    if (found.couchdb !== undefined && JSON.stringify(found.couchdb) !== JSON.stringify(part))
      problems.push({
        line,
        reason: `another entry says otherwise about \`couchdb_auth_only\` of ${quoted(database)}`,
      });
    found.couchdb = part;
  }
  wanted.set(database, found);
}

/** `undefined` = the database is as the file wants it. */
function changeOf(
  found: RemotePermissions,
  { roles, couchdb }: Wanted,
  prune: boolean,
): DatabaseChange | undefined {
  const names: NameChange[] = [];
  for (const name of new Set([...found.grants.keys(), ...roles.keys()])) {
    const before = found.grants.get(name) ?? NO_ROLES;
    const asked = roles.get(name) ?? NO_ROLES;
    const after = prune ? asked : before | asked;
    if (after !== before) names.push({ name, before: rolesOf(before), after: rolesOf(after) });
  }
  names.sort((a, b) => (a.name < b.name ? -1 : 1));
  const part = couchdbPartOf(found, couchdb, prune);
  if (names.length === 0 && part === undefined) return undefined;
  const { database, revision } = found;
  const change = { database, revision, names, ...(part === undefined ? {} : { couchdb: part }) };
  return { ...change, widening: wideningBy(found, change) };
}

/** What the change needs a flag for, on the present permissions. */
export function wideningBy(
  found: RemotePermissions,
  change: Pick<DatabaseChange, 'names' | 'couchdb'>,
): readonly Widening[] {
  const { database, grants, couchdbAuthOnly, security } = found;
  const inForce = { database, grants, couchdbAuthOnly, marked: true };
  return [...wideningOf(inForce, security, requestOf(securityAfter(found, change)))].sort();
}

/** CouchDB's part after the change; `undefined` = it stays. */
function couchdbPartOf(
  { security, couchdbAuthOnly }: RemotePermissions,
  wanted: CouchdbPart | undefined,
  prune: boolean,
): CouchdbPart | undefined {
  if (wanted === undefined) return undefined;
  if (!wanted.couchdb_auth_only) return couchdbAuthOnly ? { couchdb_auth_only: false } : undefined;
  const list = (field: 'members' | 'admins'): CouchdbList => {
    const given = wanted[field];
    const held = couchdbAuthOnly ? listIn(security[field]) : NO_LIST;
    if (given === undefined) return held;
    return prune ? given : { names: union(held.names, given.names), roles: union(held.roles, given.roles) };
  };
  const after = { couchdb_auth_only: true, members: list('members'), admins: list('admins') };
  const isEqual =
    couchdbAuthOnly &&
    (['members', 'admins'] as const).every((field) => isSameList(listIn(security[field]), after[field]));
  return isEqual ? undefined : after;
}

const NO_LIST: CouchdbList = Object.freeze({ names: [], roles: [] });

/** The names and roles of a list of a security object. */
export function listIn(value: unknown): CouchdbList {
  const { names, roles } = fieldsOf(value);
  return {
    names: Array.isArray(names) ? names.map(String) : [],
    roles: Array.isArray(roles) ? roles.map(String) : [],
  };
}

function union(held: readonly string[], given: readonly string[]): readonly string[] {
  return [...new Set([...held, ...given])];
}

function isSameList(a: CouchdbList, b: CouchdbList): boolean {
  return (['names', 'roles'] as const).every(
    (kind) => JSON.stringify([...new Set(a[kind])].sort()) === JSON.stringify([...new Set(b[kind])].sort()),
  );
}

/** The security object after the change. */
export function securityAfter(
  { security }: Pick<RemotePermissions, 'security'>,
  { names, couchdb }: Pick<DatabaseChange, 'names' | 'couchdb'>,
): Fields {
  const cloudant = new Map(Object.entries(fieldsOf(security['cloudant'])));
  for (const { name, after } of names) {
    if (after.length === 0) cloudant.delete(name);
    else cloudant.set(name, after);
  }
  return { ...security, cloudant: Object.fromEntries(cloudant), ...couchdb };
}

/** True if the list of roles in a saved plan can be one. */
export function areRoles(value: unknown): value is readonly Role[] {
  return Array.isArray(value) && rolesOf(roleSet(value as Role[])).length === value.length;
}
