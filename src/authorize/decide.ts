// Decides whether an operation is allowed, and with which privilege CouchDB is asked. Pure: finding the permissions and reading a body is index.ts's business.
import { type Decision } from '../context.ts';
import { INTERNAL, type IdClass } from '../catalogue/document-id.ts';
import { type Blocked, type Endpoint, type Privilege } from '../catalogue/endpoint.ts';
import { type Operation } from '../catalogue/operation.ts';
import { type Principal } from '../principal/principal.ts';
import { type DatabasePermissions } from '../permissions/grants.ts';
import { NO_ROLES, roleSet, type RoleSet } from '../permissions/role.ts';
import { endpointForBulk, endpointForDocument, streamsBulk } from './endpoint-by-ids.ts';
import { A_NAME, missingFor, SERVER_ADMIN, type Missing } from './missing-roles.ts';

const ADMIN = roleSet(['_admin']);
const CLOSED: Missing = { reason: 'This endpoint is closed for everybody.', needed: 'nothing opens it' };
const NO_DATABASE: Extract<Decision, { allow: false }> = Object.freeze({
  allow: false,
  status: 404,
  reason: 'Database does not exist.',
  rule: 'no database',
  needed: CLOSED.needed,
});
/** Rows of no writing in which functions of the database are told who asks; and those that write more than their class says. */
const FUNCTION_ROWS = new Set(['show', 'list', 'partition-show-list', 'bulk-docs-design-holder']);
const SECURITY_ROWS = new Set([
  'security-get',
  'security-put',
  'api-security-get',
  'api-security-put',
  'legacy-set-permissions',
]);

/**
 * Decides `operation` for `principal`. `permissions` are those of `operation.database`, undefined when it does not exist or has no say.
 * `ids` are the kinds of document ids found in the body; undefined = it has not been read: then the answer says whether any row that the
 * body might choose is open to the caller. Sources: IBM Cloudant's role tables, hazards H1, H8, H10, H11, H16.
 */
export function decide(
  principal: Principal,
  operation: Operation,
  permissions: DatabasePermissions | undefined,
  ids: IdClass | undefined,
): Decision {
  const { permit } = operation.endpoint;
  if (permit.kind === 'blocked') return refuseClosed(principal, permit, permissions);
  if (ids !== undefined && (ids & INTERNAL) !== 0) return refuse(principal, CLOSED, 'blocked');
  if (permit.kind === 'public')
    return allow(operation.endpoint, operation.endpoint.privilege, NO_ROLES, 'public');
  if (principal.kind === 'owner') return allowOwner(operation, permissions, ids);
  if (permit.kind === 'authenticated') {
    if (principal.kind === 'nobody') return refuse(principal, A_NAME, 'not signed in');
    return allow(operation.endpoint, operation.endpoint.privilege, NO_ROLES, 'signed in');
  }
  if (permissions === undefined) return refuseWithoutDatabase(principal, operation);
  const held = heldBy(principal, permissions);
  if (permissions.couchdbAuthOnly) return decideByCouch(principal, operation, held, ids);
  return decideByRoles(principal, operation, held, ids);
}

/** What the principal holds on a database. `nobody` is the entry of the unauthenticated alone: a name cannot claim it (H13). */
export function heldBy(principal: Principal, permissions: DatabasePermissions): RoleSet {
  if (principal.kind !== 'nobody' && principal.name === 'nobody') return NO_ROLES;
  return permissions.grants.get(principal.name) ?? NO_ROLES;
}

/** True when the row names roles and one of its sets is held, or `_admin` is; a row without roles is the owner's alone. */
export function isPermitted(row: Endpoint, held: RoleSet): boolean {
  if (row.permit.kind !== 'roles') return false;
  const { sets } = row.permit;
  if ((held & ADMIN) !== 0) return sets.length > 0;
  for (const set of sets) if ((held & set) === set) return true;
  return false;
}

/**
 * True when the body has to be read before CouchDB may see the request. Bulk writes of a caller whose only way is `_writer` go on as they
 * come: CouchDB, asked as member, refuses each design document among them by itself (H10).
 */
export function mustInspect(principal: Principal, operation: Operation, decision: Decision): boolean {
  if (!decision.allow || operation.decidedByBody === undefined) return false;
  if (operation.decidedByBody === 'document-id') return true;
  if (decision.identity === 'own') return false;
  return principal.kind === 'owner' || !streamsBulk(decision.roles);
}

function decideByRoles(
  principal: Principal,
  operation: Operation,
  held: RoleSet,
  ids: IdClass | undefined,
): Decision {
  const row = chosenRow(operation, held, ids);
  if (!('id' in row)) return refuse(principal, row, 'grant');
  if (!isPermitted(row, held)) return refuse(principal, missingFor(row, held), 'grant');
  return allow(row, row.privilege, held, (held & ADMIN) !== 0 ? 'admin grant' : 'grant');
}

/** The row that applies: the body's choice where it has one, or the first that is open while the body is unread. */
function chosenRow(operation: Operation, held: RoleSet, ids: IdClass | undefined): Endpoint | Missing {
  const { endpoint: first, alternatives, decidedByBody } = operation;
  if (decidedByBody === undefined) return first;
  if (ids === undefined) return alternatives.find((row) => isPermitted(row, held)) ?? first;
  return decidedByBody === 'document-id'
    ? endpointForDocument(alternatives, ids)
    : endpointForBulk(alternatives, held, ids);
}

/**
 * The owner may do everything that is not closed. CouchDB is asked as server admin where it would not know the markers (a database older
 * than Couchgate, one that CouchDB guards itself, one that does not exist), and where functions of the database look for `_admin` among the
 * roles of who asks, as the validation functions of most databases do that only an admin may write to.
 */
function allowOwner(
  operation: Operation,
  permissions: DatabasePermissions | undefined,
  ids: IdClass | undefined,
): Decision {
  const row = chosenRow(operation, ADMIN, ids);
  if (!('id' in row)) throw new Error('a body without a row for the owner');
  const needsMarker = row.privilege === 'member' || row.privilege === 'dbadmin';
  const hasMarker = permissions?.marked === true && !permissions.couchdbAuthOnly;
  const asAdmin = needsMarker && (!hasMarker || meetsFunctions(row));
  return allow(row, asAdmin ? 'server_admin' : row.privilege, NO_ROLES, 'owner');
}

/** Validation functions see who writes, filters who reads changes; shows, lists and updates are told as well. */
function meetsFunctions({ id, action }: Endpoint): boolean {
  return action === 'write' || action === 'feed' || FUNCTION_ROWS.has(id);
}

/**
 * `couchdb_auth_only`: CouchDB decides by its own members and admins, with the caller's own name and roles. Not handed over are rows that
 * need a server admin, which CouchDB would be asked as, and the security object, which CouchDB lets every member read and which Couchgate
 * writes itself: these take a grant of the `cloudant` map.
 */
function decideByCouch(
  principal: Principal,
  operation: Operation,
  held: RoleSet,
  ids: IdClass | undefined,
): Decision {
  const first = operation.endpoint;
  if (SECURITY_ROWS.has(first.id)) return decideByRoles(principal, operation, held, undefined);
  if (first.privilege === 'server_admin') return refuse(principal, SERVER_ADMIN, 'couchdb_auth_only');
  const row =
    operation.decidedByBody === 'document-id' && ids !== undefined
      ? endpointForDocument(operation.alternatives, ids)
      : first;
  return {
    allow: true,
    endpoint: row,
    privilege: row.privilege,
    identity: 'own',
    roles: held,
    rule: 'couchdb_auth_only',
  };
}

/** A database that does not exist is a 404 to the signed-in, as in CouchDB; nobody learns which names exist. */
function refuseWithoutDatabase(principal: Principal, operation: Operation): Decision {
  const missing = missingFor(operation.endpoint, NO_ROLES);
  const isOwners = missing.needed === 'server_admin';
  const { database, endpoint: row } = operation;
  if (principal.kind === 'nobody' || database === undefined || row.scope === 'server' || isOwners) {
    return refuse(principal, missing, 'grant');
  }
  return { ...NO_DATABASE, needed: missing.needed };
}

/**
 * What is closed on purpose is a 403 for everybody. Of a mistake, the owner and holders of a right are told in CouchDB's words; for
 * strangers and callers without a name it looks like what is closed. Pinned by test/conformance/refusals.test.ts.
 */
function refuseClosed(
  principal: Principal,
  closed: Blocked,
  permissions: DatabasePermissions | undefined,
): Decision {
  const { status, error, reason, toldTo, after } = closed;
  if (status === 403 || principal.kind === 'nobody') return refuse(principal, CLOSED, 'blocked');
  const isOwner = principal.kind === 'owner';
  if (toldTo === 'owner' && !isOwner) return refuse(principal, CLOSED, 'blocked');
  if (toldTo === 'holders' && after?.scope !== 'server' && permissions === undefined) return NO_DATABASE;
  if (toldTo === 'holders' && !isOwner) {
    const held = permissions === undefined ? NO_ROLES : heldBy(principal, permissions);
    if (held === NO_ROLES && permissions?.couchdbAuthOnly !== true)
      return refuse(principal, CLOSED, 'blocked');
    if (after !== undefined && !isPermitted(after, held)) {
      return refuse(principal, missingFor(after, held), 'grant');
    }
  }
  const rule = error === 'illegal_database_name' ? error : 'blocked';
  return { allow: false, status, error, reason, rule, needed: CLOSED.needed };
}

function refuse(principal: Principal, missing: Missing, rule: string): Decision {
  const { reason, needed } = missing;
  return { allow: false, status: principal.kind === 'nobody' ? 401 : 403, reason, rule, needed };
}

function allow(row: Endpoint, privilege: Privilege, roles: RoleSet, rule: string): Decision {
  return { allow: true, endpoint: row, privilege, identity: 'marker', roles, rule };
}
