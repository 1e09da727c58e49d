// Answers `GET /_api/v2/access`: who may do what on a database, and what a name may do on which databases.
import { type Context, known, callerOf } from '../context.ts';
import { type Couch } from '../couch/couch.ts';
import { mayHaveGrants } from '../catalogue/database-name.ts';
import { BadRequest, NotFound } from '../http-errors.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { readAdminNames } from '../identity/couch-accounts.ts';
import { accountNamed, type NamedAccount, type NamedAccountDeps } from '../identity/named-account.ts';
import { type AdmittedName } from '../permissions/couchdb-members.ts';
import { type PermissionStore } from '../permissions/permission-store.ts';
import { type ExistingDatabases } from '../permissions/existing-databases.ts';
import { textOfRevision } from '../permissions/precondition.ts';
import { fieldsOfGrant } from '../permissions/prefix-grant.ts';
import { type PrefixGrants } from '../permissions/prefix-grants.ts';
import { roleSourcesByName } from '../permissions/role-sources.ts';
import { shownForm } from '../permissions/security-document.ts';
import { MONITOR, type ServerReader } from '../permissions/server-grants.ts';
import { sendJson } from '../respond.ts';
import { refuseEnded } from '../revocation/after-wait.ts';
import {
  type AccessRow,
  type AccessRowsDeps,
  databaseRows,
  databasesByPrefix,
  givesRoles,
  type Page,
  pageOf,
  prefixGrantsField,
  requireGrantsKnown,
  requireIndexLoaded,
  rowOf,
} from './access-rows.ts';
import { type AskedDatabaseDeps, isOneself, requireMayAsk } from './asked-database.ts';
import { type Answers } from './index.ts';
import { kindsOf } from './account-kinds.ts';
import { ownAccess } from './own-access.ts';
import { revisionHeaders } from './security-conditions.ts';

export interface AccessDeps extends AskedDatabaseDeps, NamedAccountDeps, AccessRowsDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly keys: Pick<KeyStore, 'describe' | 'isKeyName' | 'named'>;
  readonly permissions: Pick<PermissionStore, 'inForce' | 'index'>;
  readonly existing: ExistingDatabases;
  readonly prefixGrants: Pick<PrefixGrants, 'accessOf' | 'grantsOf' | 'grantsOn' | 'isKnown'>;
  readonly serverGrants: ServerReader;
  /** False = only the owner may list databases (setting `all_dbs`), those of a caller itself too. */
  readonly areListsOpen: boolean;
}

interface NameRow extends AccessRow {
  readonly name: string;
}

interface Question extends Page {
  readonly database: string | undefined;
  readonly principal: string | undefined;
}

const MAX_ROWS = 1000;
const PARAMETERS = new Set(['database', 'principal', 'limit', 'after']);
const OWNER_ROLES: readonly string[] = Object.freeze(['server_admin']);

/**
 * Creates the handler. `?database=` is for the owner and for holders of `_security` on it, `?principal=` for
 * the owner and for the principal itself. Rows are sorted by name; `next` is the `after` of the following
 * page.
 */
export function accessHandlers(deps: AccessDeps): Pick<Answers, 'api-access'> {
  return {
    async 'api-access'(_req, res, context) {
      const question = questionOf(context);
      const { principal } = known(context.identified, 'identified');
      if (principal.kind !== 'owner' && deps.areListsOpen && isOneself(principal, question.principal)) {
        sendJson(res, 200, await ownAccess(deps, context, principal, question));
        return;
      }
      await requireMayAsk(deps, context, question.database);
      requireGrantsKnown(deps);
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
  const found = isKept ? await deps.permissions.inForce(database, callerOf(context)) : undefined;
  refuseEnded(context);
  // The read may have waited: the right to ask may have ended meanwhile.
  await requireMayAsk(deps, context, database);
  if (found === undefined) throw new NotFound('Database does not exist.');
  const isOwner = known(context.identified, 'identified').principal.kind === 'owner';
  const { couchdbAuthOnly } = found.permissions;
  const bySource = roleSourcesByName(database, found.permissions, deps.prefixGrants);
  const owners = isOwner ? await readAdminNames(deps.couch) : [];
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
  requireIndexLoaded(deps);
  const account = await accountNamed(deps, name);
  const rows = databaseRows(deps, admittedBy(account, name), await databasesByPrefix(deps, name));
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
    ...prefixGrantsField(prefixGrants, (grant) => ({ id: grant.id, ...fieldsOfGrant(grant) })),
    databases: shown,
    ...next,
  };
}

function admittedBy({ kind, principal }: NamedAccount, name: string): AdmittedName {
  const roles = principal !== undefined && 'roles' in principal ? principal.roles : [];
  return { name, isNobody: kind === 'nobody', roles };
}
