// Ends the reading of a feed, also of one that grows while it is read (H39.10).
import { type ChangesPage, type DatabaseSource } from './source.ts';

/** Yields the pages of a feed up to its end. */
export async function* pagesOf(
  source: Pick<DatabaseSource, 'changes'>,
  limit?: number,
): AsyncGenerator<ChangesPage> {
  for (let since = '0'; ;) {
    const page = await source.changes(since, limit);
    yield page;
    if (page.isLast) return;
    ({ since } = page);
  }
}

/** A feed may grow to so many times its rows while it is read, and by so many rows besides. */
const GROWTH = 10;
const MORE_ROWS = 100_000;

/** Tells that a feed grows as fast as it is read. */
export class FeedLimit {
  #most: number | undefined;
  #rows = 0;

  /** True if there were too many rows up to this page. Called once for each page. */
  isPassed({ rows, pending }: ChangesPage): boolean {
    this.#most ??= GROWTH * (rows.length + pending) + MORE_ROWS;
    this.#rows += rows.length;
    return this.#rows > this.#most;
  }
}
