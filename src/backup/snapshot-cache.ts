// Keeps what lists show of the snapshots in memory: a manifest never changes.
import { Damaged } from './errors.ts';
import { problemCount, someProblems } from './problem-list.ts';
import { type Repository } from './repository.ts';
import { listVerifications, readSnapshot, type Snapshot, snapshotIds } from './snapshot.ts';

/** A snapshot as lists show it. */
export interface SnapshotSummary {
  readonly id: string;
  readonly database: string;
  readonly started: string;
  readonly finished: string;
  readonly full: boolean;
  readonly parent: string | null;
  readonly complete: boolean;
  readonly counts: Snapshot['counts'];
  /** Null = the snapshot is of a version that did not count. */
  readonly added_bytes: number | null;
  readonly problem_count: number;
  readonly problems: Snapshot['problems'];
  /** The copies that were not read, `node first-last`. */
  readonly unread: readonly string[];
  /** Time of the last successful test restore. */
  readonly verified_at: string | null;
}

export interface SnapshotList {
  /** Oldest first. */
  readonly snapshots: readonly SnapshotSummary[];
  /** What cannot be read. */
  readonly damages: readonly string[];
}

export class SnapshotCache {
  readonly #known = new Map<string, Omit<SnapshotSummary, 'verified_at'>>();

  /** Lists the snapshots; with `database`, those of one. */
  async list(repository: Repository, database?: string): Promise<SnapshotList> {
    const names = await snapshotIds(repository);
    const present = new Set(names);
    for (const id of this.#known.keys()) if (!present.has(id)) this.#known.delete(id);
    const verified = await listVerifications(repository);
    const snapshots: SnapshotSummary[] = [];
    const damages: string[] = [];
    for (const id of names) {
      let known = this.#known.get(id);
      try {
        known ??= summaryOf(await readSnapshot(repository, id));
      } catch (error) {
        if (!(error instanceof Damaged)) throw error;
        damages.push(error.message);
        continue;
      }
      this.#known.set(id, known);
      if (database === undefined || known.database === database)
        snapshots.push({ ...known, verified_at: verified.get(id)?.verified_at ?? null });
    }
    return { snapshots, damages };
  }
}

function summaryOf(snapshot: Snapshot): Omit<SnapshotSummary, 'verified_at'> {
  const { id, database, started, finished, full, parent, complete, counts } = snapshot;
  const { added_bytes = null, unread = [] } = snapshot;
  const facts = { id, database, started, finished, full, parent, complete, counts, added_bytes, unread };
  return { ...facts, problem_count: problemCount(snapshot), problems: someProblems(snapshot.problems) };
}
