// Stores a document whose leaves are too large together: one after the other, each into the repository before
// the next is read, so that no number of conflicts takes more memory than one of them.
import { isMissing } from './bulk-get-answer.ts';
import { type IndexedLeaf } from './index-file.ts';
import { ancestorsOf, type LeafText } from './leaf.ts';
import { type LeafToStore } from './leaf-writer.ts';
import { packLine, type PackPlace, type PackWriter } from './pack.ts';
import { type DatabaseSource } from './source.ts';

/** A leaf as JSON; more does not fit into a text with certainty. */
const LEAF_BYTES = 256 * 1024 * 1024;
/** Characters of all revisions of a document, which its entry in the index has. */
const REVISIONS_CHARACTERS = 4 * 1024 * 1024;

export interface LargeDocument {
  readonly id: string;
  /** Its leaves, as a copy of the database names them. */
  readonly revs: readonly string[];
  /** Revisions that another copy named: leaves, or ancestors of leaves. */
  readonly others: readonly string[];
  /** True if those of `others` that no copy has any more are left out. */
  readonly mayLack: boolean;
}

export type LargeRead =
  { readonly leaves: readonly LeafToStore[]; readonly bytes: number } | { readonly problem: string };

/**
 * Reads the leaves and stores each with `store`. A pack of its own takes them; without one, they are only
 * hashed.
 */
export async function storeLargeDocument(
  source: DatabaseSource,
  { id, revs, others, mayLack }: LargeDocument,
  store: (leaf: LeafText) => Promise<{ readonly one: LeafToStore; readonly bytes: number }>,
  pack: PackWriter | undefined,
): Promise<LargeRead> {
  const all = newestFirst([...revs, ...others]);
  if (all.reduce((sum, rev) => sum + rev.length, 0) > REVISIONS_CHARACTERS)
    return { problem: 'its revisions are too many or too long' };
  const stored: IndexedLeaf[] = [];
  const older = new Set<string>();
  let bytes = 0;
  try {
    for (const rev of all) {
      if (older.has(rev)) continue;
      const leaf = await readLeaf(source, id, rev);
      if (typeof leaf === 'string') {
        if (mayLack && isMissing(leaf) && others.includes(rev)) continue;
        return { problem: leaf };
      }
      // Two copies can name a revision and its ancestor; one copy does not.
      if (others.length > 0) for (const ancestor of ancestorsOf(leaf)) older.add(ancestor);
      const { one, bytes: size } = await store(leaf);
      bytes += size;
      stored.push('stored' in one ? one.stored : await placed(one, pack));
    }
    // No leaf would mean that it was purged, but it was read a moment ago.
    if (stored.length === 0) return { problem: 'CouchDB names none of its revisions' };
    const name = (await pack?.finish()) ?? '';
    const leaves = stored.map((leaf) =>
      leaf.place.pack === THIS_PACK ? { ...leaf, place: { ...leaf.place, pack: name } } : leaf,
    );
    return { leaves: leaves.map((leaf) => ({ stored: leaf })), bytes };
  } finally {
    // Nothing is left of a pack that was finished.
    await pack?.discard();
  }
}

/** Descendants come before their ancestors. */
function newestFirst(revs: readonly string[]): readonly string[] {
  return [...revs].sort((a, b) => parseInt(b, 10) - parseInt(a, 10));
}

/** Stands for the pack that is being written: its name is known at the end. */
const THIS_PACK = '';
const NOWHERE: PackPlace = { pack: THIS_PACK, offset: 0, length: 0, line: 0 };

async function placed(
  one: Exclude<LeafToStore, { readonly stored: IndexedLeaf }>,
  pack: PackWriter | undefined,
): Promise<IndexedLeaf> {
  const { leaf, hash, attachments } = one;
  const frame = await pack?.writeFrame([packLine(leaf, hash, attachments)]);
  const place = frame === undefined ? NOWHERE : { ...NOWHERE, ...frame };
  return { rev: leaf.rev, deleted: leaf.deleted, hash, attachments, place };
}

/** A sentence if it cannot be read. */
async function readLeaf(source: DatabaseSource, id: string, rev: string): Promise<LeafText | string> {
  const read = await source.revisions(id, [rev], { maxBytes: LEAF_BYTES });
  if ('error' in read) return read.error;
  if ('isLarge' in read) return 'a revision is too large';
  return read.leaves[0] ?? 'CouchDB returned no revision';
}
