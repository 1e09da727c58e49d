// Reads what the snapshots of databases that hold credentials say together: which documents the chosen one
// has, the newest version of each that any snapshot knows, and what was ever revoked.
import { Chain } from './chain.ts';
import { isInFuture } from './future.ts';
import { type IndexedLeaf, type IndexReader } from './index-file.ts';
import { newestOf, type LeafHistory } from './newest-version.ts';
import { type Repository } from './repository.ts';
import { listSnapshots, type Snapshot } from './snapshot.ts';
import { winnerFirst } from './versions.ts';

export interface KnownVersion {
  /** The winner in the chosen snapshot. */
  readonly chosen: IndexedLeaf;
  /** True if the chosen snapshot has other leaves that are not deleted. */
  readonly hasConflicts: boolean;
  /** The winner over all snapshots; it may be deleted. */
  readonly newest: IndexedLeaf;
}

export interface KnownVersions {
  /** The documents that are not deleted in the chosen snapshot, by id. */
  readonly documents: ReadonlyMap<string, KnownVersion>;
  /** Documents of any snapshot that can only take access away, by id. */
  readonly revocations: ReadonlyMap<string, IndexedLeaf>;
  /** Why the newest version of a document is not known, by id. */
  readonly unknown: ReadonlyMap<string, string>;
}

const UNREADABLE = 'a backup could not read it, so its newest version is not known';
const UNRELATED = 'the backups have versions that do not follow each other; the newest one is not known';

/**
 * Reads all snapshots of these databases, the later ones too: an older snapshot does not know of a later
 * revocation or password, and a later one may be of a database that went back to an old copy. So the history
 * of revisions decides what is newest, not the time. Throws `Damaged` if a snapshot cannot be read, because
 * it may have a revocation.
 */
export async function readKnownVersions(
  repository: Repository,
  chosen: Snapshot,
  options: {
    /** Names that the database has or had; the one of the chosen snapshot is always read. */
    readonly databases: readonly string[];
    readonly isWanted: (id: string) => boolean;
    readonly isRevocation: (id: string) => boolean;
    readonly history: LeafHistory;
  },
): Promise<KnownVersions> {
  const revocations = new Map<string, IndexedLeaf>();
  const cache = new Map<string, IndexReader>();
  const wanted = new Map<string, Omit<KnownVersion, 'newest'>>();
  const inChosen = await Chain.open(repository, chosen.index, { check: true, cache });
  for await (const { id, leaves } of inChosen.entries()) {
    const sorted = [...leaves].sort(winnerFirst);
    const winner = sorted[0];
    if (winner === undefined || winner.deleted || !options.isWanted(id)) continue;
    wanted.set(id, { chosen: winner, hasConflicts: sorted[1]?.deleted === false });
  }
  /** What each snapshot has of a document, without repetitions. */
  const states = new Map<string, Map<string, readonly IndexedLeaf[]>>();
  const unknown = new Map<string, string>();
  for (const database of new Set([chosen.database, ...options.databases])) {
    const all = await listSnapshots(repository, database);
    for (const { index } of all) {
      const chain = await Chain.open(repository, index, { check: true, cache });
      for await (const { id, leaves } of chain.entries()) {
        const alive = leaves.find(({ deleted }) => !deleted);
        if (alive !== undefined && options.isRevocation(id)) revocations.set(id, alive);
        if (!wanted.has(id) || leaves.length === 0) continue;
        const known = states.get(id) ?? new Map<string, readonly IndexedLeaf[]>();
        states.set(id, known.set(JSON.stringify(leaves.map(({ rev }) => rev).sort()), leaves));
      }
    }
    // Of those of the future, nobody knows whether a later one made up for them.
    for (const { problems, more_problems: more = 0 } of [
      ...all.filter((one) => isInFuture(one)),
      ...lastOfEach(all),
    ])
      // One that is not listed may be any of them.
      for (const id of more > 0 ? wanted.keys() : problems.map((problem) => problem.id))
        unknown.set(id, UNREADABLE);
  }
  const documents = new Map<string, KnownVersion>();
  for (const [id, version] of wanted) {
    const newest = await newestOf([...(states.get(id)?.values() ?? [])], options.history);
    if (newest === undefined) unknown.set(id, UNRELATED);
    documents.set(id, { ...version, newest: newest ?? version.chosen });
  }
  return { documents, revocations, unknown };
}

/** The last snapshot of each database that had the name: later ones make up for what was not read before. */
function lastOfEach(snapshots: readonly Snapshot[]): Iterable<Snapshot> {
  return new Map(snapshots.map((one) => [one.instance_start_time, one])).values();
}
