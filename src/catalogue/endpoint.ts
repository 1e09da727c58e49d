// What one row of the endpoint catalogue says. The rows are catalogue.ts's business, finding one is classify's.
import { type Role, type RoleSet } from '../permissions/role.ts';
import { type IdClass } from './document-id.ts';
import { type DecidedByBody } from './operation.ts';

/** What CouchDB is asked to concede: nothing, the database's member marker, its dbadmin marker, or `_admin`. */
export type Privilege = 'none' | 'member' | 'dbadmin' | 'server_admin';

export type Scope = 'server' | 'db' | 'partition' | 'design' | 'local' | 'doc' | 'attachment' | 'cloudant';

/** Methods the project knows at all; every other one is refused before a path is looked at. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY', 'PATCH', 'OPTIONS'] as const;

export type Method = (typeof METHODS)[number];

/** What the owner is told by a blocked row: 403, or what CouchDB itself says where it has nothing to serve. Others get 401 or 403. */
export type ClosedStatus = 400 | 403 | 404 | 405;

/**
 * Who may call a row. The owner may call every row that is not `blocked`, `_admin` on the database every row that names a role.
 * `roles` is a choice of sets: `[['_reader'], ['_design', '_writer']]` = `_reader`, or both of the others; empty = the owner alone.
 * `sets` are the same sets as bits.
 */
export type Permit =
  | { readonly kind: 'public' }
  | { readonly kind: 'authenticated' }
  | { readonly kind: 'blocked'; readonly owner: ClosedStatus; readonly reason: string }
  | {
      readonly kind: 'roles';
      readonly roles: readonly (readonly Role[])[];
      readonly sets: readonly RoleSet[];
    };

/** Where several rows share method and path: what decides between them, and the document ids for which this row is meant. */
export interface Choice {
  readonly by: DecidedByBody | 'destination';
  readonly ids: IdClass;
}

/**
 * Who serves a row: `couchdb` = the request is forwarded as it is; `guard` = Couchgate checks the request or its body, then forwards it;
 * `couchgate` = Couchgate answers itself, a closed row with a refusal.
 */
export type ServedBy = 'couchdb' | 'guard' | 'couchgate';

/** Which upstream connection may carry it: `pooled` keep-alive, `fresh` never reused (H2, H3), `feed` long-lived. */
export type PoolKind = 'pooled' | 'single-use' | 'feed';

export interface Endpoint {
  readonly id: string;
  readonly methods: readonly Method[] | '*';
  /** The row's pattern as documented, for example `/{db}/_design/{ddoc}/_view/{view}`. */
  readonly path: string;
  readonly scope: Scope;
  readonly permit: Permit;
  readonly privilege: Privilege;
  readonly servedBy: ServedBy;
  readonly pool: PoolKind;
  /** Operation class of metrics and audit: bounded, never a name. */
  readonly action: AuditAction;
  /** Address of the page that describes the endpoint. */
  readonly manual: string;
  /** Undefined where method and path alone name the row. */
  readonly choice?: Choice | undefined;
}

/** Classes by which the audit log and the metrics group operations. */
export type AuditAction =
  | 'read'
  | 'write'
  | 'design'
  | 'feed'
  | 'replicate'
  | 'administer'
  | 'session'
  | 'permissions'
  | 'key'
  | 'configuration'
  | 'status';
