// Reads the changes of a database in batches, applies the filter, and formats change rows.
import { type ChangesRequest } from './changes.ts';
import { type Database } from './database.ts';
import { type ChangeRow } from './pouch.ts';
import { formatSeq } from './sequence.ts';

/** Changes per read from PouchDB. */
const BATCH = 100;

/** Yields the rows after `since` that match the filter, and returns the last sequence that was read. */
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
      if (request.filter.matches(row)) yield row;
    }
    if (request.descending) return last;
    if (batch.results.length < BATCH) return Math.max(last, batch.last_seq);
  }
}

/** One row as JSON text. */
export function formatChange(row: ChangeRow, request: ChangesRequest): string {
  const { seq, id, changes, deleted, doc } = row;
  return JSON.stringify({
    seq: formatSeq(seq),
    id,
    changes: winningRevisionFirst(changes),
    ...(deleted === true ? { deleted } : {}),
    ...(request.includeDocs ? { doc: doc ?? null } : {}),
  });
}

/** Upper bound of the number of changes after `seq`; CouchDB's `pending` is an upper bound too. */
export async function pendingAfter(database: Database, seq: number): Promise<number> {
  return Math.max(0, (await database.storage.info()).update_seq - seq);
}

/** CouchDB's order: the winning revision first; it has the highest generation, then the greatest id. */
function winningRevisionFirst(changes: ChangeRow['changes']): ChangeRow['changes'] {
  if (changes.length < 2) return changes;
  const generation = (rev: string) => parseInt(rev, 10);
  return [...changes].sort((a, b) => generation(b.rev) - generation(a.rev) || (a.rev < b.rev ? 1 : -1));
}
