// Replaces the endpoints of an ordinary database on system databases (SYSTEM in the catalogue).
import { endpoint, type EndpointId } from '../catalogue/catalogue.ts';
import { type Endpoint } from '../catalogue/endpoint.ts';

type Overlay = (ordinary: Endpoint) => Endpoint;
/** From the endpoint of an ordinary database to the one that replaces it. */
type Overlaid = Partial<Record<EndpointId, EndpointId>>;

/**
 * Endpoints of `_replicator` by the ordinary endpoint that they replace; any other becomes
 * `replicator-other`, which requires the owner. Reads that may show another user's credentials must not be in
 * this list (H9).
 */
const REPLICATOR: Readonly<Record<string, EndpointId>> = {
  'db-create': 'replicator-create-delete',
  'db-delete': 'replicator-create-delete',
  'all-docs': 'replicator-all-docs-changes',
  'all-docs-queries': 'replicator-all-docs-changes',
  changes: 'replicator-all-docs-changes',
  'security-get': 'security-get',
  'security-put': 'security-put',
  'db-info': 'replicator-read',
  'doc-get': 'replicator-read',
  'att-get': 'replicator-read',
  'local-get': 'replicator-read',
  'ddoc-get': 'replicator-read',
  'ddoc-att-get': 'replicator-read',
  'ddoc-info': 'replicator-read',
  'db-post-doc': 'replicator-write',
  'db-post-design': 'replicator-write',
  'db-post-local': 'replicator-write',
  'bulk-docs': 'replicator-write',
  'bulk-docs-design-holder': 'replicator-write',
  'bulk-docs-design-only': 'replicator-write',
  'bulk-docs-local-only': 'replicator-write',
  'doc-put': 'replicator-write',
  'doc-delete': 'replicator-write',
  'doc-post-form': 'replicator-write',
} satisfies Overlaid;

/**
 * Keeps blocked endpoints. A replacement keeps the pool of the endpoint that it replaces, so that a feed
 * stays a feed, and its kind of body, so that an attachment stays one (H20). If the replacement is
 * `single-use`, it stays `single-use`: responses from system databases may hold arbitrary bytes, as
 * attachments do (H3). Pinned by test/hostile/h03-response-splitting.test.ts.
 */
function unlessBlocked(replace: Overlay): Overlay {
  const known = new Map<string, Endpoint>();
  return (ordinary) => {
    if (ordinary.permit.kind === 'blocked') return ordinary;
    const replacement = replace(ordinary);
    const pool = replacement.pool === 'single-use' ? 'single-use' : ordinary.pool;
    const { body } = ordinary;
    const key = `${replacement.id} ${pool} ${body}`;
    const overlaid: Endpoint = known.get(key) ?? Object.freeze({ ...replacement, pool, body });
    known.set(key, overlaid);
    return overlaid;
  };
}

/** Overlay of `_replicator`. */
export const onReplicator: Overlay = unlessBlocked((ordinary) =>
  endpoint(REPLICATOR[ordinary.id] ?? 'replicator-other'),
);

/** Endpoints of `_users` by the ordinary endpoint that they replace; any other becomes `users-any`. */
const USERS: Readonly<Record<string, EndpointId>> = {
  'db-create': 'users-create-delete',
  'db-delete': 'users-create-delete',
  'security-put': 'system-security-put',
} satisfies Overlaid;

/** Overlay of `_users`. */
export const onUsers: Overlay = unlessBlocked((ordinary) => endpoint(USERS[ordinary.id] ?? 'users-any'));

/** Endpoints of `_global_changes` by the ordinary endpoint that they replace. */
const GLOBAL_CHANGES: Readonly<Record<string, EndpointId>> = {
  'db-create': 'global-changes-create-delete',
  'db-delete': 'global-changes-create-delete',
  'security-get': 'security-get',
  'security-put': 'security-put',
} satisfies Overlaid;

/** Overlay of `_global_changes`, whose grants open `_db_updates`. */
export const onGlobalChanges: Overlay = unlessBlocked((ordinary) =>
  endpoint(GLOBAL_CHANGES[ordinary.id] ?? 'global-changes'),
);

/** Overlay of system databases with a prefix, such as `x/_users`. */
export const onPrefixedSystem: Overlay = unlessBlocked(({ id }) =>
  endpoint(id === 'security-put' ? 'system-security-put' : 'prefixed-system-db'),
);
