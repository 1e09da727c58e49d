// Decides which of several stored states of a document is the newest, by its history of revisions.
import { type IndexedLeaf } from './index-file.ts';
import { winnerFirst } from './versions.ts';

/** Reads a stored leaf. */
export interface LeafHistory {
  /** The revisions of its branch, itself included. */
  revisions(leaf: IndexedLeaf): Promise<ReadonlySet<string>>;
  /** Its document without the revisions: equal for a copy that was restored as a new document. */
  content(leaf: IndexedLeaf): Promise<string>;
}

/**
 * Returns the winner of the revisions that no other one follows. `states` are the leaves of a document in
 * each snapshot. Undefined if two branches never met in a snapshot: then nothing says which one is newer.
 */
export async function newestOf(
  states: readonly (readonly IndexedLeaf[])[],
  history: LeafHistory,
): Promise<IndexedLeaf | undefined> {
  const only = states.length === 1 ? states[0] : undefined;
  if (only !== undefined) return [...only].sort(winnerFirst)[0];
  const leaves = new Map(states.flat().map((leaf) => [leaf.rev, leaf]));
  const branches = new Map<IndexedLeaf, ReadonlySet<string>>();
  const longestFirst = [...leaves.values()].sort((a, b) => parseInt(b.rev, 10) - parseInt(a.rev, 10));
  for (const leaf of longestFirst)
    if (![...branches.values()].some((revisions) => revisions.has(leaf.rev)))
      branches.set(leaf, await history.revisions(leaf));
  let heads = [...branches.keys()];
  if (heads.length > 1 && !haveMet(states, heads)) heads = await withoutCopies(leaves, branches, history);
  return heads.length === 1 || haveMet(states, heads) ? heads.sort(winnerFirst)[0] : undefined;
}

function haveMet(states: readonly (readonly IndexedLeaf[])[], heads: readonly IndexedLeaf[]): boolean {
  return (
    heads.length > 0 &&
    states.some((leaves) => heads.every(({ rev }) => leaves.some((one) => one.rev === rev)))
  );
}

/**
 * Leaves out a head that another branch has as a copy: a store that was lost begins a new history when it is
 * restored. Resolves with nothing if two branches have copies of each other.
 */
async function withoutCopies(
  leaves: ReadonlyMap<string, IndexedLeaf>,
  branches: ReadonlyMap<IndexedLeaf, ReadonlySet<string>>,
  history: LeafHistory,
): Promise<IndexedLeaf[]> {
  const left: IndexedLeaf[] = [];
  const heads = [...branches.keys()].sort(winnerFirst);
  for (const head of heads) {
    const content = await history.content(head);
    let isCopied = false;
    for (const [other, revisions] of branches) {
      // All deletions look the same: they are no copies of each other.
      if (other === head || head.deleted) continue;
      for (const rev of revisions) {
        const leaf = leaves.get(rev);
        if (leaf === undefined || leaf.deleted || (await history.content(leaf)) !== content) continue;
        // Of two heads with one content, the winner stays.
        isCopied ||= leaf !== other || heads.indexOf(other) < heads.indexOf(head);
      }
    }
    if (!isCopied) left.push(head);
  }
  return left;
}
