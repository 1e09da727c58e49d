// Finds databases that CouchDB protects by members and admins alone, and adopts selected ones
// (`couchdb_auth_only`).
import { ownDatabases } from '../catalogue/database-name.ts';
import { matchesPattern } from '../permissions/database-pattern.ts';
import { securityPath } from '../couch/document-path.ts';
import { HttpError } from '../http-errors.ts';
import { permissionsIn, versionOf, storedForm } from '../permissions/security-document.ts';
import { parseSecurityPut, type SecurityRequest } from '../permissions/security-request.ts';
import { fieldsOf, succeeded, type Admin } from './admin.ts';
import { type Report } from './node.ts';

/** Access to an existing database by its security object, in the terms of CouchDB. */
export interface OlderDatabase {
  readonly name: string;
  /** `public`: anyone reads and writes; `members`: the listed members; `closed`: server admins only. */
  readonly access: 'public' | 'members' | 'closed';
  readonly security: Readonly<Record<string, unknown>>;
}

const CONCURRENCY = 10;

/**
 * Returns every database without permissions of Couchgate: no `cloudant` map, no markers, no
 * `couchdb_auth_only`.
 */
export async function olderDatabases(admin: Admin, storeDatabase: string): Promise<readonly OlderDatabase[]> {
  const own = ownDatabases(storeDatabase);
  const all = succeeded(await admin.ask('GET', '/_all_dbs'), 'listing the databases');
  const names = (Array.isArray(all) ? all.map(String) : []).filter(
    (name) => !own.includes(name) && !name.startsWith('_') && !/\/_(?:users|replicator)$/u.test(name),
  );
  const found: OlderDatabase[] = [];
  for (let from = 0; from < names.length; from += CONCURRENCY) {
    const some = await Promise.all(
      names.slice(from, from + CONCURRENCY).map((name) => inspectDatabase(admin, name)),
    );
    found.push(...some.filter((each) => each !== undefined));
  }
  return found;
}

async function inspectDatabase(admin: Admin, name: string): Promise<OlderDatabase | undefined> {
  const answer = await admin.ask('GET', securityPath(name));
  // The database was deleted after it was listed.
  if (answer.status === 404) return undefined;
  const security = fieldsOf(succeeded(answer, `reading the permissions of ${name}`));
  const { couchdbAuthOnly, marked } = permissionsIn(security, name);
  if (couchdbAuthOnly || marked || security['cloudant'] !== undefined) return undefined;
  return { name, access: accessOf(security), security };
}

/** A database without members is public (couch_db.erl check_is_member). */
function accessOf(security: Readonly<Record<string, unknown>>): OlderDatabase['access'] {
  const members = [...textsIn(membersIn(security), 'names'), ...textsIn(membersIn(security), 'roles')];
  if (members.length === 0) return 'public';
  const admins = [...textsIn(security['admins'], 'names'), ...textsIn(security['admins'], 'roles')];
  return [...members, ...admins].every((each) => each === '_admin') ? 'closed' : 'members';
}

/** Sets `couchdb_auth_only` and keeps members and admins, so that CouchDB keeps deciding access. */
export async function adopt(admin: Admin, database: OlderDatabase, now: number): Promise<void> {
  const { security, name } = database;
  const stored = storedForm(requestFor(database), name, { stamp: Math.max(now, versionOf(security) + 1) });
  succeeded(await admin.ask('PUT', securityPath(name), stored), `adopting ${name}`);
}

/** Throws 400 if the object cannot be put. */
function requestFor({ security }: OlderDatabase): SecurityRequest {
  return parseSecurityPut({
    ...security,
    couchdb_auth_only: true,
    // Empty lists are written explicitly: Couchgate reads a missing list as closed.
    members: { ...fieldsOf(membersIn(security)), ...lists(membersIn(security)) },
    admins: { ...fieldsOf(security['admins']), ...lists(security['admins']) },
  });
}

/** Why the database cannot be adopted; `undefined` = it can. */
function refusalFor(database: OlderDatabase): string | undefined {
  try {
    requestFor(database);
    return undefined;
  } catch (error) {
    if (error instanceof HttpError) return error.reason;
    throw error;
  }
}

/** Adopts the databases that match the patterns, and reports the access to every other existing database. */
export async function settleDatabases(
  admin: Admin,
  parameters: {
    readonly storeDatabase: string;
    readonly patterns: readonly string[];
    readonly dryRun: boolean;
    readonly now: () => number;
    readonly report: Report;
  },
): Promise<void> {
  const { patterns, dryRun, report } = parameters;
  const older = await olderDatabases(admin, parameters.storeDatabase);
  const isWanted = ({ name }: OlderDatabase): boolean =>
    patterns.some((pattern) => matchesPattern(pattern, name));
  for (const database of older.filter(isWanted)) {
    const refusal = refusalFor(database);
    if (refusal !== undefined) {
      report.line(`  not adopted ${database.name}, which only the owner can access: ${refusal}`);
      continue;
    }
    report.line(
      `  ${dryRun ? 'would be ' : ''}adopted ${database.name}: CouchDB keeps deciding access (couchdb_auth_only)`,
    );
    if (!dryRun) await adopt(admin, database, parameters.now());
  }
  for (const pattern of patterns.filter((each) => !older.some(({ name }) => matchesPattern(each, name))))
    report.line(`  no database to adopt matches ${pattern}`);
  const left = older.filter((database) => !isWanted(database));
  const relied = left.filter(({ access }) => access !== 'closed');
  for (const database of relied) report.line(describe(database));
  const closed = left.length - relied.length;
  if (closed > 0) report.line(`  closed to all but server admins until you grant roles: ${closed} more`);
  if (relied.length > 0)
    report.line(
      '  Through Couchgate, only the owner can access databases marked "closes". Grant roles (PUT /{db}/_security) or use --adopt.',
    );
}

function describe({ name, access, security }: OlderDatabase): string {
  if (access === 'public') return `  closes  ${name}: it was public`;
  const listed = (value: unknown): string => {
    const roles = textsIn(value, 'roles').map((role) => `role ${role}`);
    return [...textsIn(value, 'names'), ...roles].join(', ') || 'nobody';
  };
  const members = listed(membersIn(security));
  return `  closes  ${name}: it was open to members ${members}; admins ${listed(security['admins'])}`;
}

/**
 * Before CouchDB 1.2, members were called readers. CouchDB still reads `readers` if there are no members
 * (couch_db.erl get_members).
 */
function membersIn(security: Readonly<Record<string, unknown>>): unknown {
  return security['members'] ?? security['readers'];
}

function lists(value: unknown): { readonly names: readonly string[]; readonly roles: readonly string[] } {
  return { names: textsIn(value, 'names'), roles: textsIn(value, 'roles') };
}

function textsIn(value: unknown, field: string): readonly string[] {
  const list = fieldsOf(value)[field];
  return Array.isArray(list) ? list.filter((each) => typeof each === 'string') : [];
}
