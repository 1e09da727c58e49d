// Reads the wanted changes of a database in batches, in order. How they are sent is the feeds' business.
import { type ChangesRequest } from './changes.ts';
import { type Database } from './database.ts';
import { type ChangeRow } from './pouch.ts';
import { shownSeq } from './sequence.ts';

const BATCH = 100;

/** Yields the rows after `since` that the filter keeps, and returns the last sequence that was looked at. */
export async function* readChanges(
  database: Database,
  request: ChangesRequest,
  since: number,
): AsyncGenerator<ChangeRow, number> {
  let last = since;
  for (;;) {
    const batch = await database.storage.changes({
      ...request.rowOptions,
      ...request.filter.options,
      include_docs: request.includeDocs || request.filter.needsDoc,
      ...(request.descending ? { descending: true } : { since: last, limit: BATCH }),
    });
    for (const row of batch.results) {
      last = row.seq;
      if (request.filter.keeps(row)) yield row;
    }
    if (request.descending) return last;
    if (batch.results.length < BATCH) return Math.max(last, batch.last_seq);
  }
}

/** One row as text. */
export function shownChange(row: ChangeRow, request: ChangesRequest): string {
  const { seq, id, changes, deleted, doc } = row;
  return JSON.stringify({
    seq: shownSeq(seq),
    id,
    changes: winnerFirst(changes),
    ...(deleted === true ? { deleted } : {}),
    ...(request.includeDocs ? { doc: doc ?? null } : {}),
  });
}

/** How many changes are behind `seq`: an upper bound, as CouchDB's own. */
export async function pendingAfter(database: Database, seq: number): Promise<number> {
  return Math.max(0, (await database.storage.info()).update_seq - seq);
}

/** CouchDB names the winning revision first: of the longest history, and of equal ones the greatest. */
function winnerFirst(changes: ChangeRow['changes']): ChangeRow['changes'] {
  if (changes.length < 2) return changes;
  const generation = (rev: string) => parseInt(rev, 10);
  return [...changes].sort((a, b) => generation(b.rev) - generation(a.rev) || (a.rev < b.rev ? 1 : -1));
}
