// Parses the tuples of the catalogue into endpoints.
import { roleSet, isRole, type Role } from '../permissions/role.ts';
// Nothing is loaded: catalogue.ts needs this module, which may be loaded first.
import type { EndpointId, IdWithBody } from './catalogue.ts';
import {
  METHODS,
  type AuditAction,
  type BodyKind,
  type Blocked,
  type Choice,
  type Endpoint,
  type Method,
  type Permit,
  type Privilege,
  type Scope,
  type ServedBy,
  type PoolKind,
} from './endpoint.ts';

/**
 * One tuple of the table: id, methods (`*` = every one), path, permit, privilege, server, connection, action,
 * manual page, and optionally choice.
 * Permit: `public`, `authenticated`, `server_admin` (the owner alone), a key of CLOSED, or roles. A blank
 * separates alternatives and a plus joins roles, as in `_reader+_writer _design+_writer`.
 */
export type Row = readonly [
  id: string,
  methods: string,
  path: string,
  permit: string,
  privilege: Privilege,
  servedBy: ServedBy,
  pool: PoolKind,
  action: AuditAction,
  manual: string,
  choice?: Choice,
];

const COUCHDB_MANUAL = 'https://docs.couchdb.org/en/stable/';
/** An address, or a page of docs/; anything else is a page of CouchDB's manual. */
const WHOLE_LINK = /^https:|^[\w-]+\.md\b/;

/**
 * Refusals by the permit of a blocked endpoint. classify/ replaces the reasons that depend on the request:
 * the methods of a path, the name of a database, what is wrong with a path in a database.
 */
const CLOSED: Readonly<Record<string, Blocked>> = {
  blocked: refusal(403, 'forbidden', 'This endpoint is closed for everybody.', 'owner'),
  'blocked attachment': refusal(400, 'bad_request', '_local documents do not accept attachments.', 'holders'),
  'blocked name': refusal(400, 'illegal_database_name', '', 'owner'),
  'blocked database': refusal(404, 'not_found', 'Database does not exist.', 'signed-in'),
  'blocked server': refusal(404, 'not_found', 'Database does not exist.', 'owner'),
  'blocked missing': refusal(404, 'not_found', 'missing', 'holders'),
  'blocked api': refusal(404, 'not_found', 'missing', 'owner'),
  'blocked grants': refusal(
    400,
    'bad_request',
    'Grants have no effect on this database: only the owner may use it. Its security object stays as CouchDB made it.',
    'owner',
  ),
  'blocked method': refusal(405, 'method_not_allowed', '', 'owner'),
};

/**
 * What CouchDB does with the body. An endpoint that is not here has `query`. Every endpoint outside SYSTEM
 * whose body CouchDB gets must be here (`IdWithBody`).
 */
const BODIES: Readonly<Record<string, BodyKind>> = {
  'att-put': 'attachment',
  'ddoc-att-put': 'attachment',
  'doc-put': 'document',
  'ddoc-put': 'document',
  'local-put': 'document',
  'doc-post-form': 'document',
  'ddoc-post-form': 'document',
  'local-post-form': 'document',
  'db-post-doc': 'write',
  'db-post-design': 'write',
  'db-post-local': 'write',
  'bulk-docs': 'bulk',
  'bulk-docs-design-holder': 'bulk',
  'bulk-docs-design-only': 'bulk',
  'bulk-docs-local-only': 'bulk',
  find: 'selector',
  explain: 'selector',
  'index-create': 'selector',
  'partition-find': 'selector',
  'partition-explain': 'selector',
  'partition-index-create': 'selector',
  changes: 'selector',
  'bulk-get': 'bulk-get',
  'all-docs': 'rows',
  'all-docs-queries': 'rows',
  'design-docs': 'rows',
  'design-docs-queries': 'rows',
  'local-docs': 'rows',
  'local-docs-queries': 'rows',
  view: 'rows',
  'view-queries': 'rows',
  list: 'rows',
  'partition-all-docs': 'rows',
  'partition-all-docs-queries': 'rows',
  'partition-view': 'rows',
  'partition-view-queries': 'rows',
  'partition-show-list': 'rows',
  show: 'text',
  'update-null': 'text',
  'update-doc': 'text',
  'partition-update': 'text',
  'reload-query-servers': 'query',
  replicate: 'query',
  'reshard-state': 'query',
  'reshard-jobs': 'query',
  'reshard-job-state': 'query',
  'search-analyze': 'query',
  'nouveau-analyze': 'query',
  'revs-diff': 'query',
  'missing-revs': 'query',
  'ensure-full-commit': 'query',
  'revs-limit-put': 'query',
  'purged-infos-limit-put': 'query',
  purge: 'query',
  compact: 'query',
  'compact-design': 'query',
  'view-cleanup': 'query',
  'search-cleanup': 'query',
  'nouveau-cleanup': 'query',
  'sync-shards': 'query',
  'index-bulk-delete': 'query',
  'partition-index-bulk-delete': 'query',
  search: 'query',
  'partition-search': 'query',
  nouveau: 'query',
} satisfies Partial<Record<EndpointId, BodyKind>> & Record<IdWithBody, BodyKind>;

/** Parses the tuples of one scope. Throws at start for an unknown role or method. */
export function parseEndpoints(scope: Scope, rows: readonly Row[]): readonly Endpoint[] {
  return rows.map(([id, methods, path, permit, privilege, servedBy, pool, action, manual, choice]) =>
    Object.freeze({
      id,
      methods: methods === '*' ? '*' : methods.split(' ').map((name) => methodNamed(name, id)),
      path,
      scope,
      permit: permitOf(permit, id),
      privilege,
      servedBy,
      pool,
      body: BODIES[id] ?? 'query',
      action,
      manual: WHOLE_LINK.test(manual) ? manual : COUCHDB_MANUAL + manual,
      choice,
    }),
  );
}

/** Makes a refusal; see Blocked. */
export function refusal(
  status: Blocked['status'],
  error: string,
  reason: string,
  explainedTo: Blocked['explainedTo'],
  after?: Endpoint,
): Blocked {
  return Object.freeze({
    kind: 'blocked',
    status,
    error,
    reason,
    explainedTo,
    ...(after === undefined ? {} : { after }),
  });
}

/** Makes a permit for any of these sets of roles. An empty list = the owner alone. */
export function grantedTo(roles: readonly (readonly Role[])[]): Permit {
  return Object.freeze({ kind: 'roles', roles, sets: roles.map(roleSet) });
}

function permitOf(text: string, id: string): Permit {
  if (text === 'public' || text === 'authenticated') return { kind: text };
  if (text === 'server_admin') return grantedTo([]);
  const closed = CLOSED[text];
  if (closed !== undefined) return closed;
  return grantedTo(text.split(' ').map((set) => set.split('+').map((name) => roleNamed(name, id))));
}

function roleNamed(name: string, id: string): Role {
  if (!isRole(name)) throw new Error(`endpoint ${id}: there is no role ${name}`);
  return name;
}

function methodNamed(name: string, id: string): Method {
  const method = METHODS.find((known) => known === name);
  if (method === undefined) throw new Error(`endpoint ${id}: there is no method ${name}`);
  return method;
}
