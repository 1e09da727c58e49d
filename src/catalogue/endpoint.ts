// Types of an endpoint of the catalogue.
import { type Role, type RoleSet } from '../permissions/role.ts';
import { type IdClass } from './document-id.ts';
import { type DecidedByBody } from './operation.ts';

/**
 * Right that CouchDB requires for an operation. `none` = no token; `member` and `dbadmin` = the marker of the
 * database (H5); `metrics` = the role `_metrics`, for numbers about a node; `server_admin` = the role
 * `_admin`.
 */
export type Privilege = 'none' | 'member' | 'dbadmin' | 'metrics' | 'server_admin';

/** Kind of resource that the path names. docs/endpoints.md has one section for each. */
export type Scope = 'server' | 'db' | 'partition' | 'design' | 'local' | 'doc' | 'attachment' | 'cloudant';

/** Known methods. A request with another method is refused before its path is classified. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY', 'PATCH', 'OPTIONS'] as const;

export type Method = (typeof METHODS)[number];

/** Status of a blocked endpoint: 403 if it is closed on purpose, or the status of CouchDB for a mistake. */
export type ClosedStatus = 400 | 403 | 404 | 405;

/**
 * Which principals, besides the owner, get the reason why a request matches no open endpoint. `signed-in` =
 * every principal with a name; `holders` = principals with a role on the database; `everybody` = also callers
 * without a name. All others get 401 or 403.
 */
export type ExplainedTo = 'owner' | 'signed-in' | 'holders' | 'everybody';

/** A refusal of every caller. */
export interface Blocked {
  readonly kind: 'blocked';
  readonly status: ClosedStatus;
  /** CouchDB's name of the error. */
  readonly error: string;
  /** CouchDB's sentence. For 405 `method_not_allowed`, the methods that the path has. */
  readonly reason: string;
  readonly explainedTo: ExplainedTo;
  /**
   * An endpoint of the same path. CouchDB checks the right to it before the method, so a caller who lacks its
   * roles gets 403 with their names.
   */
  readonly after?: Endpoint;
}

/**
 * Who may call an endpoint. The owner may call every endpoint that is not `blocked`. A principal with
 * `_admin` on the database may call every endpoint that names a role.
 * `roles` lists alternative sets: `[['_reader'], ['_design', '_writer']]` = `_reader`, or both `_design` and
 * `_writer`. An empty list = the owner alone. `sets` holds the same sets as bits.
 */
export type Permit =
  | { readonly kind: 'public' }
  | { readonly kind: 'authenticated' }
  | Blocked
  | {
      readonly kind: 'roles';
      readonly roles: readonly (readonly Role[])[];
      readonly sets: readonly RoleSet[];
    };

/**
 * Chooses between endpoints with the same method and path: `by` names the source of the document ids, and
 * `ids` holds the classes of ids that select this endpoint.
 */
export interface Choice {
  readonly by: DecidedByBody | 'destination';
  readonly ids: IdClass;
}

/**
 * `couchdb` = the request is forwarded unchanged. `guard` = Couchgate checks the request or its body, then
 * forwards it. `couchgate` = Couchgate answers itself; a blocked endpoint is always refused.
 */
export type ServedBy = 'couchdb' | 'guard' | 'couchgate';

/**
 * Kind of upstream connection: `pooled` = keep-alive; `single-use` = never reused (H2, H3); `feed` =
 * long-lived.
 */
export type PoolKind = 'pooled' | 'single-use' | 'feed';

/**
 * What CouchDB does with a request body (H20). `attachment` = stores it as it comes. `document` = parses it,
 * but stores a multipart body part by part. `write` = parses it as a document. `bulk` = parses it as a list
 * of documents. `text` = gives it to a function unparsed. `selector` = parses it and rewrites its selector.
 * `rows` = parses it as the query of a view, which may request attachments. `bulk-get` = parses it as a list
 * of documents to read. `query` = parses it; the endpoint also has this kind if it takes no body.
 */
export type BodyKind =
  'attachment' | 'document' | 'write' | 'bulk' | 'text' | 'selector' | 'rows' | 'bulk-get' | 'query';

/** One endpoint of the catalogue: one or more methods on one path pattern. */
export interface Endpoint {
  readonly id: string;
  readonly methods: readonly Method[] | '*';
  /**
   * Path pattern, for example `/{db}/_design/{ddoc}/_view/{view}`; classify/pattern.ts defines the syntax.
   */
  readonly path: string;
  readonly scope: Scope;
  readonly permit: Permit;
  readonly privilege: Privilege;
  readonly servedBy: ServedBy;
  readonly pool: PoolKind;
  /** Endpoints of system databases have the kind of the endpoint that they replace. */
  readonly body: BodyKind;
  /**
   * Label of metrics and audit events; it decides about nothing. The set of values is fixed, so a label never
   * holds a name from a request.
   */
  readonly action: AuditAction;
  /** Link of docs/endpoints.md to the page that describes the endpoint: a URL, or a page of docs/. */
  readonly manual: string;
  /** Undefined if method and path identify the endpoint. */
  readonly choice?: Choice | undefined;
}

/** Classes of operations in the audit log and the metrics. */
export const AUDIT_ACTIONS = [
  'read',
  'write',
  'design',
  'feed',
  'replicate',
  'administer',
  'session',
  'permissions',
  'key',
  'configuration',
  'backup',
  'status',
] as const;

export type AuditAction = (typeof AUDIT_ACTIONS)[number];
