// Reads what the snapshots of a database that holds credentials say together: which documents one of them
// has, the newest version of each that any snapshot knows, and what was ever revoked.
import { Chain } from './chain.ts';
import { type IndexedLeaf, type IndexReader } from './index-file.ts';
import { type Repository } from './repository.ts';
import { listSnapshots, type Snapshot } from './snapshot.ts';
import { winnerFirst } from './versions.ts';

export interface KnownVersion {
  /** The winner in the chosen snapshot. */
  readonly chosen: IndexedLeaf;
  /** True if the chosen snapshot has other leaves that are not deleted. */
  readonly hasConflicts: boolean;
  /** The winner in the newest snapshot that has the document; it may be deleted. */
  newest: IndexedLeaf;
}

export interface KnownVersions {
  /** The documents that are not deleted in the chosen snapshot, by id. */
  readonly documents: ReadonlyMap<string, KnownVersion>;
  /** Documents of any snapshot that can only take access away, by id. */
  readonly revocations: ReadonlyMap<string, IndexedLeaf>;
  /** Documents that the newest snapshot could not read: their newest version is not known. */
  readonly unreadable: ReadonlySet<string>;
}

/**
 * Reads all snapshots of the database, the later ones too: an older snapshot does not know of a later
 * revocation or password. Throws `Damaged` if one of them cannot be read, because it may have a revocation.
 */
export async function readKnownVersions(
  repository: Repository,
  chosen: Snapshot,
  kinds: {
    readonly isWanted: (id: string) => boolean;
    readonly isRevocation: (id: string) => boolean;
  },
): Promise<KnownVersions> {
  const documents = new Map<string, KnownVersion>();
  const revocations = new Map<string, IndexedLeaf>();
  const cache = new Map<string, IndexReader>();
  const inChosen = await Chain.open(repository, chosen.index, { check: true, cache });
  for await (const { id, leaves } of inChosen.entries()) {
    const sorted = [...leaves].sort(winnerFirst);
    const winner = sorted[0];
    if (winner === undefined || winner.deleted || !kinds.isWanted(id)) continue;
    documents.set(id, { chosen: winner, newest: winner, hasConflicts: sorted[1]?.deleted === false });
  }
  const all = await listSnapshots(repository, chosen.database);
  for (const { index } of all) {
    const chain = await Chain.open(repository, index, { check: true, cache });
    for await (const { id, leaves } of chain.entries()) {
      const alive = leaves.find(({ deleted }) => !deleted);
      if (alive !== undefined && kinds.isRevocation(id)) revocations.set(id, alive);
      const known = documents.get(id);
      const winner = [...leaves].sort(winnerFirst)[0];
      if (known !== undefined && winner !== undefined) known.newest = winner;
    }
  }
  const unreadable = new Set(all.at(-1)?.problems.map(({ id }) => id));
  return { documents, revocations, unreadable };
}
