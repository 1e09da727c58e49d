// Keeps the documents that a backup could not read, as a snapshot names them. A writer chooses how many they
// are and how long their ids are, and every list of snapshots reads them: so only some are listed (H39.11).
import { hashOf } from './present-ids.ts';

/** Something that could not be read. */
export interface DocumentProblem {
  readonly id: string;
  readonly reason: string;
}

/** What a snapshot says of the documents that could not be read. */
export interface KnownProblems {
  readonly problems: readonly DocumentProblem[];
  /** Documents that are not among `problems`: `since` is before their changes, so the next run meets them. */
  readonly more_problems?: number;
}

const MAX_LISTED = 1000;
/** Characters of all ids that are listed. */
const MAX_CHARACTERS = 256 * 1024;
const MAX_REASON = 500;
/** Of a list that people read. */
const MAX_SHOWN = 20;
const MAX_SHOWN_CHARACTERS = 200;

export class ProblemList {
  readonly #listed: Map<string, DocumentProblem>;
  readonly #others = new Set<bigint>();
  #characters = 0;

  /** Those of the last snapshot stay, however many: their change is not in the feed any more. */
  constructor(problems: readonly DocumentProblem[]) {
    this.#listed = new Map(problems.map((problem) => [problem.id, problem]));
    for (const id of this.#listed.keys()) this.#characters += id.length;
  }

  /** True if each is listed. */
  get isWhole(): boolean {
    return this.#others.size === 0;
  }

  add({ id, reason }: DocumentProblem): void {
    const isListed = this.#listed.has(id);
    const characters = this.#characters + id.length;
    if (isListed || (this.#listed.size < MAX_LISTED && characters <= MAX_CHARACTERS)) {
      this.#others.delete(hashOf(id));
      if (!isListed) this.#characters = characters;
      this.#listed.set(id, { id, reason: cut(reason, MAX_REASON) });
    } else this.#others.add(hashOf(id));
  }

  delete(id: string): void {
    if (this.#listed.delete(id)) this.#characters -= id.length;
    else if (!this.isWhole) this.#others.delete(hashOf(id));
  }

  /** Sorted by id. */
  get known(): Required<KnownProblems> {
    const problems = [...this.#listed.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    return { problems, more_problems: this.#others.size };
  }
}

export function problemCount({ problems, more_problems: more = 0 }: KnownProblems): number {
  return problems.length + more;
}

/** The first problems, with ids of a length that a list or a record can hold. */
export function someProblems(problems: readonly DocumentProblem[]): readonly DocumentProblem[] {
  return problems.slice(0, MAX_SHOWN).map(({ id, reason }) => ({
    id: cut(id, MAX_SHOWN_CHARACTERS),
    reason: cut(reason, MAX_SHOWN_CHARACTERS),
  }));
}

function cut(text: string, length: number): string {
  // Half a character would not be JSON for CouchDB.
  return text.length <= length ? text : `${text.slice(0, length).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
