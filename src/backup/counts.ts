// Counts the documents, leaves and attachments of a snapshot.
import { type Chain } from './chain.ts';
import { type IndexEntry } from './index-file.ts';
import { type SnapshotCounts } from './snapshot.ts';

type Counts = { -readonly [name in keyof SnapshotCounts]: number };

/** Counts by reading every entry. */
export async function countAll(chain: Chain): Promise<SnapshotCounts> {
  const counts: Counts = { documents: 0, deleted: 0, leaves: 0, attachments: 0 };
  for await (const entry of chain.entries()) add(counts, entry, 1);
  return counts;
}

/** Counts by the difference: each entry of `changes` replaces that of `before`, which has `counts`. */
export async function countChanges(
  counts: SnapshotCounts,
  before: Chain,
  changes: Chain,
): Promise<SnapshotCounts> {
  const result: Counts = { ...counts };
  for await (const entry of changes.entries(true)) {
    const old = await before.lookup(entry.id);
    if (old !== undefined) add(result, old, -1);
    if (entry.leaves.length > 0) add(result, entry, 1);
  }
  return result;
}

function add(counts: Counts, { leaves }: IndexEntry, sign: 1 | -1): void {
  if (leaves.every((leaf) => leaf.deleted)) counts.deleted += sign;
  else counts.documents += sign;
  counts.leaves += sign * leaves.length;
  for (const { attachments } of leaves) counts.attachments += sign * attachments.length;
}
