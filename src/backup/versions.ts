// Finds every stored version of a document, and reads one of them.
import { compareRevisions } from '../couch/revision.ts';
import { Chain } from './chain.ts';
import { type IndexedLeaf, type IndexReader } from './index-file.ts';
import { PackReader, type PackedLeaf } from './pack.ts';
import { type Repository } from './repository.ts';
import { listSnapshots, type OnDamaged, type Snapshot } from './snapshot.ts';

/** The leaves of a document in one snapshot, or in several that follow each other. */
export interface DocumentVersion {
  /** The oldest and the newest snapshot that hold exactly these leaves. */
  readonly first: Snapshot;
  readonly last: Snapshot;
  readonly snapshots: number;
  /** The winner first; none if the document was not there. */
  readonly leaves: readonly IndexedLeaf[];
}

/** Returns the versions of a document, newest first; equal ones that follow each other are one. */
export async function findVersions(
  repository: Repository,
  database: string,
  id: string,
  onDamaged?: OnDamaged,
): Promise<readonly DocumentVersion[]> {
  const cache = new Map<string, IndexReader>();
  const versions: DocumentVersion[] = [];
  for (const snapshot of await listSnapshots(repository, database, onDamaged)) {
    const leaves = await leavesIn(repository, snapshot, id, cache);
    const before = versions.at(-1);
    if (before !== undefined && areEqual(before.leaves, leaves))
      versions[versions.length - 1] = { ...before, last: snapshot, snapshots: before.snapshots + 1 };
    else versions.push({ first: snapshot, last: snapshot, snapshots: 1, leaves });
  }
  // Before its creation the document is not a version.
  if (versions[0]?.leaves.length === 0) versions.shift();
  return versions.reverse();
}

/** The leaves of a document in a snapshot, the winner first. */
export async function leavesIn(
  repository: Repository,
  snapshot: Snapshot,
  id: string,
  cache?: Map<string, IndexReader>,
): Promise<readonly IndexedLeaf[]> {
  const chain = await Chain.open(repository, snapshot.index, cache === undefined ? {} : { cache });
  const entry = await chain.lookup(id);
  return [...(entry?.leaves ?? [])].sort(winnerFirst);
}

/** Reads one leaf and checks its content hash. Throws `Damaged`. */
export async function readLeaf(repository: Repository, leaf: IndexedLeaf): Promise<PackedLeaf> {
  return new PackReader(repository).read(leaf.place, leaf.hash);
}

/**
 * CouchDB's order: a leaf that is not deleted, then the longer history, then the greater hash.
 * docs.couchdb.org/en/stable/replication/conflicts.html
 */
export function winnerFirst(
  a: Pick<IndexedLeaf, 'rev' | 'deleted'>,
  b: Pick<IndexedLeaf, 'rev' | 'deleted'>,
): number {
  if (a.deleted !== b.deleted) return a.deleted ? 1 : -1;
  return compareRevisions(b.rev, a.rev);
}

function areEqual(a: readonly IndexedLeaf[], b: readonly IndexedLeaf[]): boolean {
  return a.length === b.length && a.every(({ rev, hash }, at) => rev === b[at]?.rev && hash === b[at].hash);
}
