// Decides whether an operation is permitted, and which privilege CouchDB must see. Pure functions.
import { type AllowedRule, type Decision, type DeniedRule, type Denied } from '../context.ts';
import { INTERNAL, type IdClass } from '../catalogue/document-id.ts';
import { type EndpointId } from '../catalogue/catalogue.ts';
import { kindOfName } from '../catalogue/database-name.ts';
import { type Blocked, type Endpoint, type Permit, type Privilege } from '../catalogue/endpoint.ts';
import { isPermitted } from '../catalogue/is-permitted.ts';
import { monitorPrivilege } from '../catalogue/monitor.ts';
import { runsFunctions, runsValidation } from '../catalogue/functions.ts';
import { type Operation } from '../catalogue/operation.ts';
import { type Principal } from '../principal/principal.ts';
import { type DatabasePermissions, rolesOn } from '../permissions/grants.ts';
import { NO_PREFIX_ACCESS, type PrefixAccess } from '../permissions/prefix-grants.ts';
import { NO_ROLES, roleSet, type RoleSet } from '../permissions/role.ts';
import { endpointForBulk, endpointForDocument, mayStreamBulk } from './endpoint-by-ids.ts';
import { ANY_NAME, CREATOR, missingFor, SERVER_ADMIN, type Missing } from './missing-roles.ts';

const ADMIN = roleSet(['_admin']);
const CLOSED: Missing = { reason: 'This endpoint is closed for everybody.', needed: 'nothing opens it' };
const NO_DATABASE: Denied = Object.freeze({
  allow: false,
  status: 404,
  reason: 'Database does not exist.',
  rule: 'no database',
  needed: CLOSED.needed,
});
const SECURITY_ENDPOINTS: ReadonlySet<string> = new Set<EndpointId>([
  'security-get',
  'security-put',
  'api-security-get',
  'api-security-put',
  'api-security-history',
  'api-security-revision',
  'api-security-rollback',
  'legacy-set-permissions',
]);

/** Kinds of permit that open an endpoint to somebody. */
const OPEN: readonly string[] = ['public', 'authenticated', 'roles'] satisfies Permit['kind'][];

/**
 * Decides `operation` for `principal`. `permissions` are those of `operation.database`; undefined = it does
 * not exist or does not matter. `ids` are the kinds of document ids in the body; undefined = the body has not
 * been read. Then the decision says whether any endpoint that the body could select is open to the principal.
 * `prefix` is what prefix grants give the principal on that database; without it, they give nothing.
 * Sources: IBM Cloudant's role tables, hazards H1, H8, H10, H11, H16.
 */
export function decide(
  principal: Principal,
  operation: Operation,
  permissions: DatabasePermissions | undefined,
  ids: IdClass | undefined,
  prefix: PrefixAccess = NO_PREFIX_ACCESS,
): Decision {
  const { permit } = operation.endpoint;
  if (permit.kind === 'blocked') return refuseClosed(principal, permit, permissions, prefix);
  if (!OPEN.includes(permit.kind)) return refuse(principal, CLOSED, 'blocked');
  if (ids !== undefined && (ids & INTERNAL) !== 0) return refuse(principal, CLOSED, 'blocked');
  if (permit.kind === 'public')
    return allow(operation.endpoint, operation.endpoint.privilege, NO_ROLES, 'public');
  if (principal.kind === 'owner') return allowOwner(operation, permissions, ids);
  if (permit.kind === 'authenticated') {
    if (principal.kind === 'nobody') return refuse(principal, ANY_NAME, 'not signed in');
    return allow(operation.endpoint, operation.endpoint.privilege, NO_ROLES, 'signed in');
  }
  if (operation.endpoint.id === 'db-create') return decideCreation(principal, operation.endpoint, prefix);
  if (permissions === undefined) return refuseWithoutDatabase(principal, operation);
  const held = rolesOn(principal, permissions);
  if (permissions.couchdbAuthOnly) return delegateToCouch(principal, operation, held, ids);
  return decideByRoles(principal, operation, { own: held, prefix }, ids);
}

/** What a principal holds on one database, by its source. */
interface Held {
  /** The roles of the security object. */
  readonly own: RoleSet;
  readonly prefix: PrefixAccess;
}

/**
 * True if the body must be read before the request is forwarded. A bulk write by a caller that has only
 * `_writer` is streamed: CouchDB gets it with member privilege and refuses every design document in it (H10).
 */
export function mustInspect(principal: Principal, operation: Operation, decision: Decision): boolean {
  if (!decision.allow || operation.decidedByBody === undefined) return false;
  if (operation.decidedByBody === 'document-id') return true;
  if (decision.identity === 'own') return false;
  return principal.kind === 'owner' || !mayStreamBulk(decision.roles);
}

/** Besides the owner, only holders of a prefix grant create databases. The handler checks the parameters. */
function decideCreation(principal: Principal, endpoint: Endpoint, { mayCreate }: PrefixAccess): Decision {
  if (mayCreate) return allow(endpoint, endpoint.privilege, NO_ROLES, 'prefix grant');
  return refuse(principal, principal.kind === 'nobody' ? SERVER_ADMIN : CREATOR, 'grant');
}

function decideByRoles(
  principal: Principal,
  operation: Operation,
  { own, prefix }: Held,
  ids: IdClass | undefined,
): Decision {
  const held = own | prefix.roles;
  const endpoint = selectEndpoint(operation, held, ids);
  if (!('id' in endpoint)) return refuse(principal, endpoint, 'grant');
  if (!isPermitted(endpoint, held)) {
    if (endpoint.id === 'db-delete' && prefix.mayDelete)
      return allow(endpoint, endpoint.privilege, held, 'prefix grant');
    return refuse(principal, missingFor(endpoint, held), 'grant');
  }
  const byPrefix = prefix.roles !== NO_ROLES && !isPermitted(endpoint, own);
  if ((held & ADMIN) === 0)
    return allow(endpoint, endpoint.privilege, held, byPrefix ? 'prefix grant' : 'grant');
  return allow(
    endpoint,
    privilegeOfAdmin(endpoint, operation),
    held,
    byPrefix ? 'prefix grant' : 'admin grant',
  );
}

/**
 * Validation functions recognize an admin of the database by a role in `admins`, as
 * `is_server_or_database_admin` of CouchDB's manual does. So a document write of a holder of `_admin` carries
 * both markers. The second one adds design documents to what CouchDB accepts in the request, which `_admin`
 * permits as well. In system databases it would pass CouchDB's own checks of the author.
 */
function privilegeOfAdmin(endpoint: Endpoint, { database }: Operation): Privilege {
  if (endpoint.privilege !== 'member' || !runsValidation(endpoint)) return endpoint.privilege;
  return database !== undefined && kindOfName(database) === 'ordinary' ? 'dbadmin' : 'member';
}

/** The endpoint that the body selects. If the body has not been read, the first one that is permitted. */
function selectEndpoint(operation: Operation, held: RoleSet, ids: IdClass | undefined): Endpoint | Missing {
  const { endpoint: first, alternatives, decidedByBody } = operation;
  if (decidedByBody === undefined) return first;
  if (ids === undefined) return alternatives.find((each) => isPermitted(each, held)) ?? first;
  return decidedByBody === 'document-id'
    ? endpointForDocument(alternatives, ids)
    : endpointForBulk(alternatives, held, ids);
}

/**
 * The owner may call every endpoint that is not closed. CouchDB gets the server-admin privilege in two cases.
 * 1. It would not accept the markers: a database older than Couchgate, a system database, a missing database.
 * 2. Functions of the database look for `_admin` in the caller's roles, as many validation functions do.
 */
function allowOwner(
  operation: Operation,
  permissions: DatabasePermissions | undefined,
  ids: IdClass | undefined,
): Decision {
  const endpoint = selectEndpoint(operation, ADMIN, ids);
  if (!('id' in endpoint)) throw new Error('no endpoint of the owner matches the body');
  const needsMarker = endpoint.privilege === 'member' || endpoint.privilege === 'dbadmin';
  const hasMarker = permissions?.marked === true && !permissions.couchdbAuthOnly;
  const asAdmin = needsMarker && (!hasMarker || runsFunctions(endpoint));
  return allow(endpoint, asAdmin ? 'server_admin' : endpoint.privilege, NO_ROLES, 'owner');
}

/**
 * `couchdb_auth_only`: CouchDB decides by its own members and admins, with the caller's own name and roles.
 * Endpoints that need server-admin privilege are refused. The endpoints of the security object need a grant
 * of the `cloudant` map: in CouchDB every member can read the object, and Couchgate writes it itself.
 */
function delegateToCouch(
  principal: Principal,
  operation: Operation,
  held: RoleSet,
  ids: IdClass | undefined,
): Decision {
  const first = operation.endpoint;
  if (SECURITY_ENDPOINTS.has(first.id))
    return decideByRoles(principal, operation, { own: held, prefix: NO_PREFIX_ACCESS }, undefined);
  if (first.privilege === 'server_admin') return refuse(principal, SERVER_ADMIN, 'couchdb_auth_only');
  const endpoint =
    operation.decidedByBody === 'document-id' && ids !== undefined
      ? endpointForDocument(operation.alternatives, ids)
      : first;
  return {
    allow: true,
    endpoint,
    privilege: endpoint.privilege,
    identity: 'own',
    roles: held,
    rule: 'couchdb_auth_only',
  };
}

/** 404 for signed-in callers. Anonymous callers get 401 for missing and closed databases alike. */
function refuseWithoutDatabase(principal: Principal, operation: Operation): Decision {
  const missing = missingFor(operation.endpoint, NO_ROLES);
  const isOwnerOnly = missing.needed === 'server_admin';
  const { database, endpoint } = operation;
  if (principal.kind === 'nobody' || database === undefined || endpoint.scope === 'server' || isOwnerOnly) {
    return refuse(principal, missing, 'grant');
  }
  return { ...NO_DATABASE, needed: missing.needed };
}

/**
 * An endpoint that is closed on purpose is a 403 for everybody. For a mistake, the principals of
 * `explainedTo` get CouchDB's status and reason. All others get the same refusal as for a closed endpoint.
 * Pinned by test/conformance/refusals.test.ts.
 */
function refuseClosed(
  principal: Principal,
  closed: Blocked,
  permissions: DatabasePermissions | undefined,
  prefix: PrefixAccess,
): Decision {
  const { status, error, reason, explainedTo, after } = closed;
  const isSilent = principal.kind === 'nobody' && explainedTo !== 'everybody';
  if (status === 403 || isSilent) return refuse(principal, CLOSED, 'blocked');
  const isOwner = principal.kind === 'owner';
  if (explainedTo === 'owner' && !isOwner) return refuse(principal, CLOSED, 'blocked');
  if (explainedTo === 'holders' && after?.scope !== 'server' && permissions === undefined) return NO_DATABASE;
  if (explainedTo === 'holders' && !isOwner) {
    const own = permissions === undefined ? NO_ROLES : rolesOn(principal, permissions);
    const added = permissions === undefined || permissions.couchdbAuthOnly ? NO_ROLES : prefix.roles;
    const held = own | added;
    if (held === NO_ROLES && permissions?.couchdbAuthOnly !== true)
      return refuse(principal, CLOSED, 'blocked');
    if (after !== undefined && !isPermitted(after, held)) {
      return refuse(principal, missingFor(after, held), 'grant');
    }
  }
  const rule = error === 'illegal_database_name' ? error : 'blocked';
  return { allow: false, status, error, reason, rule, needed: CLOSED.needed };
}

/**
 * Decides for a holder of the server role `_monitor`; `undefined` = the endpoint is closed to it, or the
 * database is missing. Where CouchDB decides, its members say nothing about monitors.
 */
export function decideForMonitor(
  { endpoint, database }: Operation,
  permissions: DatabasePermissions | undefined,
): Decision | undefined {
  const privilege = monitorPrivilege(endpoint);
  if (privilege === undefined) return undefined;
  if (privilege !== 'database') return allow(endpoint, privilege, NO_ROLES, 'server grant');
  if (permissions === undefined || database === undefined || kindOfName(database) !== 'ordinary')
    return undefined;
  const hasMarker = permissions.marked && !permissions.couchdbAuthOnly;
  return allow(endpoint, hasMarker ? 'member' : 'server_admin', NO_ROLES, 'server grant');
}

function refuse(principal: Principal, missing: Missing, rule: DeniedRule): Decision {
  const { reason, needed } = missing;
  return { allow: false, status: principal.kind === 'nobody' ? 401 : 403, reason, rule, needed };
}

function allow(endpoint: Endpoint, privilege: Privilege, roles: RoleSet, rule: AllowedRule): Decision {
  return { allow: true, endpoint, privilege, identity: 'marker', roles, rule };
}
