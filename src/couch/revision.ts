// Compares revisions of one document, and lists those of a branch and of the other leaves.

/**
 * CouchDB's order, negative if `a` is lower: the longer history wins, then the greater hash.
 * https://docs.couchdb.org/en/stable/replication/conflicts.html
 */
export function compareRevisions(a: string, b: string): number {
  const difference = Number.parseInt(a, 10) - Number.parseInt(b, 10);
  return difference !== 0 ? difference : a < b ? -1 : a > b ? 1 : 0;
}

/** The revisions of the leaves beside the winner, in a document that was read with `conflicts=true`. */
export function losersIn(document: Readonly<Record<string, unknown>> | undefined): readonly string[] {
  const losers = document?.['_conflicts'];
  return Array.isArray(losers) ? losers.filter((rev) => typeof rev === 'string') : [];
}

/**
 * The revisions of the branch of a leaf that was read with its `_revisions`, the leaf first; none without.
 * https://docs.couchdb.org/en/stable/api/document/common.html#revisions
 */
export function branchOf(leaf: Readonly<Record<string, unknown>>): readonly string[] {
  const { start = 0, ids = [] } = (leaf['_revisions'] ?? {}) as {
    readonly start?: number;
    readonly ids?: readonly string[];
  };
  return ids.map((hash, at) => `${start - at}-${hash}`);
}
