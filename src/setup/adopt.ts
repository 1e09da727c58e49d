// Databases that were there before Couchgate: who relies on their members and admins, and which are left to CouchDB's own rules.
import { permissionsIn, versionOf, storedForm } from '../permissions/security-document.ts';
import { parseSecurityPut } from '../permissions/security-request.ts';
import { fieldsOf, succeeded, type Admin } from './admin.ts';
import { type Report } from './node.ts';

/** What an older database's security object says, in CouchDB's own terms. */
export interface OlderDatabase {
  readonly name: string;
  /** `public`: everybody reads and writes; `closed`: server admins only; `members`: those who are named. */
  readonly access: 'public' | 'members' | 'closed';
  readonly security: Readonly<Record<string, unknown>>;
}

const AT_ONCE = 10;

/** Every database that Couchgate has not been given yet: no `cloudant` map, no markers, and not `couchdb_auth_only`. */
export async function olderDatabases(admin: Admin, storeDatabase: string): Promise<readonly OlderDatabase[]> {
  const all = succeeded(await admin.ask('GET', '/_all_dbs'), 'listing the databases');
  const names = (Array.isArray(all) ? all.map(String) : []).filter(
    (name) => name !== storeDatabase && !name.startsWith('_') && !/\/_(?:users|replicator)$/u.test(name),
  );
  const found: OlderDatabase[] = [];
  for (let from = 0; from < names.length; from += AT_ONCE) {
    const some = await Promise.all(names.slice(from, from + AT_ONCE).map((name) => look(admin, name)));
    found.push(...some.filter((each) => each !== undefined));
  }
  return found;
}

async function look(admin: Admin, name: string): Promise<OlderDatabase | undefined> {
  const answer = await admin.ask('GET', securityPath(name));
  // Deleted since it was listed.
  if (answer.status === 404) return undefined;
  const security = fieldsOf(succeeded(answer, `reading the permissions of ${name}`));
  const { couchdbAuthOnly, marked } = permissionsIn(security, name);
  if (couchdbAuthOnly || marked || security['cloudant'] !== undefined) return undefined;
  return { name, access: accessOf(security), security };
}

/** CouchDB's reading: a database whose members name nobody is everybody's (couch_db.erl check_is_member). */
function accessOf(security: Readonly<Record<string, unknown>>): OlderDatabase['access'] {
  const members = [...textsIn(membersIn(security), 'names'), ...textsIn(membersIn(security), 'roles')];
  if (members.length === 0) return 'public';
  const admins = [...textsIn(security['admins'], 'names'), ...textsIn(security['admins'], 'roles')];
  return [...members, ...admins].every((each) => each === '_admin') ? 'closed' : 'members';
}

/** Marks a database `couchdb_auth_only`, its members and admins as they are: CouchDB goes on deciding about its users. */
export async function adopt(admin: Admin, database: OlderDatabase, now: number): Promise<void> {
  const { security, name } = database;
  const request = parseSecurityPut({
    ...security,
    couchdb_auth_only: true,
    // Spelt out, also where nobody is named: a list that is missing would be taken for a closed one.
    members: { ...fieldsOf(membersIn(security)), ...lists(membersIn(security)) },
    admins: { ...fieldsOf(security['admins']), ...lists(security['admins']) },
  });
  const stored = storedForm(request, name, Math.max(now, versionOf(security) + 1));
  succeeded(await admin.ask('PUT', securityPath(name), stored), `adopting ${name}`);
}

/** The patterns' reading of a name: `*` stands for any characters, everything else for itself. */
export function matches(pattern: string, name: string): boolean {
  const pieces = pattern.split('*').map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/gu, '\\$&'));
  return new RegExp(`^${pieces.join('.*')}$`, 'su').test(name);
}

/** Adopts what the patterns name, and says of every other database what becomes of it. */
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
  const isWanted = ({ name }: OlderDatabase): boolean => patterns.some((pattern) => matches(pattern, name));
  for (const database of older.filter(isWanted)) {
    report.line(
      `  ${dryRun ? 'would be ' : ''}adopted ${database.name}: CouchDB goes on deciding (couchdb_auth_only)`,
    );
    if (!dryRun) await adopt(admin, database, parameters.now());
  }
  for (const pattern of patterns.filter((each) => !older.some(({ name }) => matches(each, name))))
    report.line(`  nothing to adopt matches ${pattern}`);
  const left = older.filter((database) => !isWanted(database));
  const relied = left.filter(({ access }) => access !== 'closed');
  for (const database of relied) report.line(describe(database));
  const closed = left.length - relied.length;
  if (closed > 0)
    report.line(
      `  ${closed} more were open to server admins only, and stay so until somebody is granted a role`,
    );
  if (relied.length > 0)
    report.line(
      '  Through Couchgate only the owner reaches these, until you grant roles (PUT /{db}/_security) or --adopt them.',
    );
}

function describe({ name, access, security }: OlderDatabase): string {
  if (access === 'public') return `  closes  ${name}: it was open to everybody`;
  const listed = (value: unknown): string => {
    const roles = textsIn(value, 'roles').map((role) => `role ${role}`);
    return [...textsIn(value, 'names'), ...roles].join(', ') || 'nobody';
  };
  const members = listed(membersIn(security));
  return `  closes  ${name}: it relied on members ${members}; admins ${listed(security['admins'])}`;
}

/** Members were called readers before CouchDB 1.2, and where there are none CouchDB still reads those (couch_db.erl get_members). */
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

function securityPath(database: string): string {
  return `/${encodeURIComponent(database)}/_security`;
}
