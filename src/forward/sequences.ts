// Checks the sequences and bookmarks in a query (H20).
import { type AtomGate, Terms } from '../body/erlang-terms.ts';
import { parametersOf } from '../body/query-parameters.ts';

/** Parameters that CouchDB decodes as Erlang terms. It ignores the case of those of `_changes`. */
const NAMES: ReadonlySet<string> = new Set(['since', 'last-event-id', 'bookmark']);
const MAY_HOLD_TERM = /since|last-event-id|bookmark|%/i;

/** CouchDB's own pattern, and how it treats a line feed at the end. */
const SEQUENCE = /^"?(?:[0-9]+-)?([^\n]*?)"?\n?$/;
/** The form `[number, "text"]`, which CouchDB decodes up to 3.2 (fabric_view_changes.erl of 3.2.3). */
const SEQUENCE_IN_LIST = /^\[[0-9]+ *, *"([^\n]*)"\]\n?$/;

/**
 * Throws BadRequest or TooLarge for a term that would harm a node. `lastEventId` = the header with which an
 * event source continues; `caller` = the shared key of the caller.
 */
export function refuseTerms(
  query: string,
  lastEventId: string | undefined,
  caller: string,
  atoms: AtomGate,
): void {
  if (lastEventId === undefined && !MAY_HOLD_TERM.test(query)) return;
  const terms = new Terms(caller, atoms);
  if (lastEventId !== undefined) refuseSequence(terms, lastEventId);
  for (const [name, value] of parametersOf(query))
    if (NAMES.has(name.toLowerCase())) refuseSequence(terms, value);
}

/** A bookmark has no number in front, and a sequence may have none. */
function refuseSequence(terms: Terms, value: string): void {
  const found = SEQUENCE_IN_LIST.exec(value) ?? SEQUENCE.exec(value);
  const refusal = terms.refuse(found?.[1] ?? value);
  if (refusal !== undefined) throw refusal;
}
