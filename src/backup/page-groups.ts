// Divides the documents of a page of the feed into groups that are read together. CouchDB makes the answer of
// a `_bulk_get` in memory, and nothing says how large a document is before it is read (H39.7).
import { type Pace } from './pace.ts';
import { type ChangeRow } from './source.ts';

/**
 * Leaves that are read together before the size of any is known. By default, CouchDB limits each to 8 MB. It
 * takes 14 MiB of memory for such a text, and 255 MiB for 490,000 values.
 */
export const FEW_LEAVES = 4;
const MOST_LEAVES = 500;

/** True if all leaves may be read with those of other documents; false if the feed did not name them. */
export function hasFewLeaves({ revs }: Pick<ChangeRow, 'revs'>): boolean {
  return revs.length > 0 && revs.length <= FEW_LEAVES;
}

/**
 * The order is random, and each group has at most as many leaves as were read of the page before. What was
 * read is then a sample of what comes, wherever a writer put large documents: few can come at once.
 */
export class PageGroups<T extends ChangeRow> {
  readonly #rows: readonly T[];
  readonly #answerBytes: number;
  #next = 0;
  #leavesRead = 0;
  #bytesRead = 0;

  /** `rows` are in the order of their ids. */
  constructor(rows: readonly T[], { answerBytes, neighbours }: Pick<Pace, 'answerBytes' | 'neighbours'>) {
    this.#rows = inRandomOrder(rows, neighbours);
    this.#answerBytes = answerBytes;
  }

  /** True if none is left. */
  get areTaken(): boolean {
    return this.#next === this.#rows.length;
  }

  /** The next documents to read. */
  next(): readonly T[] {
    const begin = this.#next;
    let left = this.#mostLeaves();
    for (let row = this.#rows[begin]; row !== undefined; row = this.#rows[this.#next]) {
      left -= weightOf(row);
      if (left < 0 && this.#next > begin) break;
      this.#next += 1;
    }
    return this.#rows.slice(begin, this.#next);
  }

  /** Learns the size of a document that was read. */
  wasRead(row: T | undefined, bytes: number): void {
    if (row === undefined || !hasFewLeaves(row)) return;
    this.#leavesRead += row.revs.length;
    this.#bytesRead += bytes;
  }

  #mostLeaves(): number {
    const average = this.#bytesRead / Math.max(1, this.#leavesRead);
    const fitting = Math.floor(this.#answerBytes / Math.max(1, average));
    return Math.min(MOST_LEAVES, Math.max(FEW_LEAVES, this.#leavesRead), Math.max(1, fitting));
  }
}

/** A document with more leaves is read by itself. */
function weightOf({ revs }: ChangeRow): number {
  return Math.min(FEW_LEAVES, Math.max(1, revs.length));
}

/** Nobody else sees these numbers, so that they need no source that is safe against guessing. */
function inRandomOrder<T>(rows: readonly T[], neighbours: number): readonly T[] {
  const runs: { readonly rows: readonly T[]; readonly key: number }[] = [];
  for (let at = 0; at < rows.length; at += neighbours)
    runs.push({ rows: rows.slice(at, at + neighbours), key: Math.random() });
  return runs.sort((a, b) => a.key - b.key).flatMap((run) => run.rows);
}
