// Which row stands for an ordinary one on the databases that CouchDB keeps for itself. What is closed on a database is closed there too.
import { endpoint, type EndpointId } from '../catalogue/catalogue.ts';
import { type Endpoint } from '../catalogue/endpoint.ts';

type Overlay = (row: Endpoint) => Endpoint;

/** Rows of `_replicator` by the ordinary row they stand for. Reads that could show another owner's credentials are not among them (H9). */
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
};

/**
 * Blocked rows stay. The others keep the connection of the row whose place they take, for its feed is a feed here too, unless theirs is used
 * once: what a whole system database answers is trusted no further than an attachment (H3). Pinned by test/hostile/h03-response-splitting.test.ts.
 */
function unlessBlocked(replace: Overlay): Overlay {
  const made = new Map<string, Endpoint>();
  return (row) => {
    if (row.permit.kind === 'blocked') return row;
    const replacement = replace(row);
    const transport = replacement.pool === 'single-use' ? 'single-use' : row.pool;
    const key = `${replacement.id} ${transport}`;
    const known = made.get(key) ?? Object.freeze({ ...replacement, transport });
    made.set(key, known);
    return known;
  };
}

export const onReplicator: Overlay = unlessBlocked((row) =>
  endpoint(REPLICATOR[row.id] ?? 'replicator-other'),
);

export const onUsers: Overlay = unlessBlocked((row) =>
  endpoint(row.id === 'db-create' || row.id === 'db-delete' ? 'users-create-delete' : 'users-any'),
);

export const onPrefixedSystem: Overlay = unlessBlocked(() => endpoint('prefixed-system-db'));
