// Answers `GET /_api/v2/access`: who may do what on a database, and what a name may do on which databases.
import { type Context, known, callerOf } from '../context.ts';
import { type Couch } from '../couch/couch.ts';
import { mayHaveGrants } from '../catalogue/database-name.ts';
import { BadRequest, NotFound, Unavailable } from '../http-errors.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { accountNamed, type NamedAccount, type NamedAccountDeps } from '../identity/named-account.ts';
import { type AdmittedName, isMember } from '../permissions/couchdb-members.ts';
import { type PermissionKeeper } from '../permissions/permission-keeper.ts';
import { type ExistingDatabases } from '../permissions/existing-databases.ts';
import { textOfRevision } from '../permissions/precondition.ts';
import { fieldsOfGrant } from '../permissions/prefix-grant.ts';
import { type PrefixGrants } from '../permissions/prefix-grants.ts';
import { NO_ROLES, rolesOf, type RoleSet } from '../permissions/role.ts';
import { roleSourcesByName, type RoleSource } from '../permissions/role-sources.ts';
import { shownForm } from '../permissions/security-document.ts';
import { MONITOR, type ServerReader } from '../permissions/server-grants.ts';
import { sendJson } from '../respond.ts';
import { type AskedDatabaseDeps, requireMayAsk } from './asked-database.ts';
import { type Answers } from './index.ts';
import { kindsOf } from './account-kinds.ts';
import { revisionHeaders } from './security-conditions.ts';

export interface AccessDeps extends AskedDatabaseDeps, NamedAccountDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly keys: Pick<KeyStore, 'describe' | 'isKeyName' | 'named'>;
  readonly security: Pick<PermissionKeeper, 'inForce' | 'index'>;
  readonly existing: ExistingDatabases;
  readonly prefixGrants: Pick<PrefixGrants, 'accessOf' | 'grantsOf' | 'grantsOn' | 'isKnown'>;
  readonly serverGrants: ServerReader;
}

/**
 * Where a role comes from. `_security` = the security object of the database; `prefix grant` = a grant on
 * every database of a prefix; `owner` = a server admin of CouchDB; `couchdb` = CouchDB decides by its own
 * members and admins (`couchdb_auth_only`).
 */
export type AccessSource = '_security' | 'prefix grant' | 'owner' | 'couchdb';

/** One row of an answer. A name with roles of several sources has several rows. */
interface AccessRow {
  readonly roles: readonly string[];
  readonly source: AccessSource;
  /** The id of the prefix grant. */
  readonly grant?: string;
}

interface NameRow extends AccessRow {
  readonly name: string;
}

interface DatabaseRow extends AccessRow {
  readonly database: string;
}

interface Question {
  readonly database: string | undefined;
  readonly principal: string | undefined;
  readonly limit: number;
  /** Only rows behind this name. */
  readonly after: string | undefined;
}

const MAX_ROWS = 1000;
const PARAMETERS = new Set(['database', 'principal', 'limit', 'after']);
const OWNER_ROLES: readonly string[] = Object.freeze(['server_admin']);

/**
 * Creates the handler. `?database=` is for the owner and for holders of `_security` on it, `?principal=` for
 * the owner. Rows are sorted by name; `next` is the `after` of the following page.
 */
export function accessHandlers(deps: AccessDeps): Pick<Answers, 'api-access'> {
  return {
    async 'api-access'(_req, res, context) {
      const question = questionOf(context);
      await requireMayAsk(deps, context, question.database);
      if (!deps.prefixGrants.isKnown)
        throw new Unavailable('The prefix grants are not known at present.', { retryAfterSeconds: 1 });
      if (question.database !== undefined) {
        const { headers, body } = await accessTo(deps, context, question.database, question);
        sendJson(res, 200, body, headers);
      } else sendJson(res, 200, await accessOf(deps, question.principal ?? '', question));
    },
  };
}

/** Reads the parameters. Throws 400 for anything else than exactly one of the two questions. */
function questionOf(context: Context): Question {
  const query = new URLSearchParams(known(context.target, 'target').query);
  for (const name of query.keys())
    if (!PARAMETERS.has(name) || query.getAll(name).length > 1)
      throw new BadRequest(
        'Ask with `database` or `principal`, and optionally `limit` and `after`, once each',
      );
  const [database, principal] = [query.get('database') ?? undefined, query.get('principal') ?? undefined];
  if ((database === undefined) === (principal === undefined))
    throw new BadRequest('Ask with either `database` or `principal`');
  const limit = query.get('limit') ?? String(MAX_ROWS);
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_ROWS)
    throw new BadRequest(`\`limit\` must be from 1 to ${MAX_ROWS}`);
  return { database, principal, limit: Number(limit), after: query.get('after') ?? undefined };
}

/** Who may use the database. Only the owner learns what the names stand for, and who the owners are (H23). */
async function accessTo(
  deps: AccessDeps,
  context: Context,
  database: string,
  page: Question,
): Promise<{ readonly headers: Readonly<Record<string, string>>; readonly body: object }> {
  const isKept = mayHaveGrants(database, deps.reservedDatabases);
  const found = isKept ? await deps.security.inForce(database, callerOf(context)) : undefined;
  if (found === undefined) throw new NotFound('Database does not exist.');
  const isOwner = known(context.identified, 'identified').principal.kind === 'owner';
  const { couchdbAuthOnly } = found.permissions;
  const bySource = roleSourcesByName(database, found.permissions, deps.prefixGrants);
  const owners = isOwner ? await ownersIn(deps.couch) : [];
  const rows = [
    ...[...bySource].flatMap(([name, sources]) =>
      sources.filter(givesRoles).map((source): NameRow => ({ name, ...rowOf(source) })),
    ),
    ...owners.map((name): NameRow => ({ name, roles: OWNER_ROLES, source: 'owner' })),
  ];
  const { shown, next } = pageOf(rows, (row) => row.name, page);
  const kinds = isOwner
    ? await kindsOf(
        deps,
        shown.map(({ name }) => name),
        owners,
      )
    : undefined;
  const { members, admins } = shownForm(found.document);
  return {
    headers: revisionHeaders(found),
    body: {
      database,
      revision: textOfRevision(found),
      couchdb_auth_only: couchdbAuthOnly,
      ...(couchdbAuthOnly ? { couchdb: { members: members ?? {}, admins: admins ?? {} } } : {}),
      names: shown.map((row) => ({ ...row, ...kinds?.get(row.name) })),
      ...next,
    },
  };
}

/** What the name may use. */
async function accessOf(deps: AccessDeps, name: string, page: Question): Promise<object> {
  const { index } = deps.security;
  if (!index.isLoaded)
    throw new Unavailable('The permissions are being read; databases cannot be listed yet.', {
      retryAfterSeconds: 1,
    });
  const account = await accountNamed(deps, name);
  const rows = await rowsOf(deps, name, account);
  const existing = new Set(await deps.existing.filter(rows.map(({ database }) => database)));
  const { shown, next } = pageOf(
    rows.filter(({ database }) => existing.has(database)),
    (row) => row.database,
    page,
  );
  const { kind, key, principal } = account;
  const prefixGrants = deps.prefixGrants.grantsOf(name);
  const isMonitor = principal !== undefined && deps.serverGrants.isMonitor(principal) === true;
  const { label, expires_at: expiresAt, last_used: lastUsed } = key ?? {};
  return {
    principal: name,
    kind,
    ...(key === undefined ? {} : { label, expires_at: expiresAt, last_used: lastUsed }),
    // An owner may use every database; only what was granted to the name as well is listed.
    ...(kind === 'owner' ? { all_databases: true } : {}),
    ...(isMonitor ? { server_roles: [MONITOR] } : {}),
    ...(prefixGrants.length === 0
      ? {}
      : { prefix_grants: prefixGrants.map((grant) => ({ id: grant.id, ...fieldsOfGrant(grant) })) }),
    databases: shown,
    ...next,
  };
}

/** The databases on which the name has roles, and those where CouchDB names it. */
async function rowsOf(
  deps: AccessDeps,
  name: string,
  account: NamedAccount,
): Promise<readonly DatabaseRow[]> {
  const { existing, prefixGrants, security, reservedDatabases } = deps;
  const { index } = security;
  // Roles have no effect where CouchDB decides.
  const leftToCouchdb = index.couchdbAuthOnly();
  const hasRoles = (database: string): boolean =>
    mayHaveGrants(database, reservedDatabases) && !leftToCouchdb.has(database);
  const rows: DatabaseRow[] = [];
  for (const [database, roles] of index.databasesOf(name))
    if (hasRoles(database)) rows.push({ database, ...rowOf({ from: '_security', roles }) });
  for (const database of leftToCouchdb)
    if (
      mayHaveGrants(database, reservedDatabases) &&
      isMember(admittedBy(account, name), index.couchdbMembersOf(database))
    )
      rows.push({ database, roles: [], source: 'couchdb' });
  for (const grant of prefixGrants.grantsOf(name).filter(givesRoles))
    for (const database of await existing.withPrefix(grant.prefix))
      if (hasRoles(database) && !index.isDeleted(database))
        rows.push({ database, ...rowOf({ from: 'prefix grant', roles: grant.roles, grant }) });
  return rows;
}

function givesRoles({ roles }: { readonly roles: RoleSet }): boolean {
  return roles !== NO_ROLES;
}

function rowOf(source: RoleSource): AccessRow {
  const roles = rolesOf(source.roles);
  return source.from === '_security'
    ? { roles, source: '_security' }
    : { roles, source: 'prefix grant', grant: source.grant.id };
}

function admittedBy({ kind, principal }: NamedAccount, name: string): AdmittedName {
  const roles = principal !== undefined && 'roles' in principal ? principal.roles : [];
  return { name, isNobody: kind === 'nobody', roles };
}

/** The server admins of CouchDB. */
async function ownersIn(couch: Pick<Couch, 'ask'>): Promise<readonly string[]> {
  const { status, body } = await couch.ask({ method: 'GET', path: '/_node/_local/_config/admins' });
  return status === 200 && typeof body === 'object' && body !== null ? Object.keys(body) : [];
}

/** The rows of a page in order, and what names the following page. A name is never split over two pages. */
function pageOf<Row>(
  rows: readonly Row[],
  nameOf: (row: Row) => string,
  { limit, after }: Pick<Question, 'limit' | 'after'>,
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
