// Reads the answer of `_changes`.

export interface ChangeRow {
  readonly id: string;
  /** All leaf revisions. */
  readonly revs: readonly string[];
}

/** What a backup needs of the answer. */
export interface ChangesAnswer {
  readonly results: readonly { readonly id: string; readonly changes: readonly { readonly rev: string }[] }[];
  readonly last_seq: string | number;
  readonly pending?: number;
}

/** The documents of an answer with `style=all_docs`. */
export function rowsIn({ results }: ChangesAnswer): readonly ChangeRow[] {
  return results.map(({ id, changes }) => ({ id, revs: changes.map(({ rev }) => rev) }));
}
