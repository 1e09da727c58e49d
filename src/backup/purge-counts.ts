// Compares `purge_seq` by its meaning: how many purges a copy of each range has had.
import { copiesIn } from './packed-sequence.ts';

/** Purges of the copies that have had some, by `node first-last`: the name of the node, and the range. */
export type PurgeCounts = Readonly<Record<string, number>>;

/** Up to which purges a chain is complete. */
export interface PurgeState {
  readonly purge_seq: string;
  /** Of every copy that a run has seen. Absent in snapshots of older versions. */
  readonly purges?: PurgeCounts;
}

/**
 * Compares the purges of a chain with the `purge_seq` of the database. `mayHave` = there may have been one: a
 * copy has another number than it had, or a copy that was not seen has had some. A purge reaches every copy
 * in the end, so none is missed for ever.
 */
export function comparePurges(
  known: PurgeState,
  purgeSeq: string,
): { readonly mayHave: boolean; readonly next: PurgeState } {
  const now = purgeCounts(purgeSeq);
  if (now === undefined)
    return { mayHave: known.purge_seq !== purgeSeq, next: { purge_seq: purgeSeq, purges: {} } };
  const before = new Map(Object.entries(known.purges ?? purgeCounts(known.purge_seq) ?? {}));
  const mayHave = Object.entries(now).some(([copy, count]) => count !== (before.get(copy) ?? 0));
  const after = Object.entries({ ...Object.fromEntries(before), ...now }).filter(([, count]) => count > 0);
  return { mayHave, next: { purge_seq: purgeSeq, purges: Object.fromEntries(after) } };
}

/** The purges of each copy. Undefined for a sequence that is not of CouchDB 3. */
export function purgeCounts(purgeSeq: string): PurgeCounts | undefined {
  const copies = copiesIn(purgeSeq);
  return copies && Object.fromEntries(copies.map(({ copy, count }) => [copy, count]));
}

/** The purges up to now, for a run that reads every document. */
export function purgeStateOf({ purge_seq: seq }: Pick<PurgeState, 'purge_seq'>): PurgeState {
  return comparePurges({ purge_seq: seq }, seq).next;
}

/** The fields of `PurgeState` alone. */
export function purgesOf({ purge_seq: seq, purges }: PurgeState): PurgeState {
  return { purge_seq: seq, ...(purges === undefined ? {} : { purges }) };
}
