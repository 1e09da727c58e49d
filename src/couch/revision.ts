// Compares revisions of one document.

/** CouchDB's order, negative if `a` is lower: the longer history wins, then the greater hash. */
export function compareRevisions(a: string, b: string): number {
  const difference = Number.parseInt(a, 10) - Number.parseInt(b, 10);
  return difference !== 0 ? difference : a < b ? -1 : a > b ? 1 : 0;
}
