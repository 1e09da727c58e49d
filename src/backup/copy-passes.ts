// Plans the feeds that read every copy of a database, and says which copies were read.
import { type RangeCopies } from './majority.ts';
import { beginningOf, copiesIn, packSequence } from './packed-sequence.ts';

/** Each pass reads one copy of every range, until every copy on a connected node was read. */
export class CopyPasses {
  readonly #ranges: readonly RangeCopies[];
  /** Where the feed of each copy goes on. */
  readonly #terms = new Map<string, Buffer>();
  readonly #read = new Set<string>();
  /** Also those that another copy stood in for. */
  readonly #asked = new Set<string>();

  constructor(ranges: readonly RangeCopies[], copies: string | undefined) {
    this.#ranges = ranges;
    this.#note(copies ?? '');
  }

  /** How many copies a range has at most. */
  get n(): number {
    return Math.max(0, ...this.#ranges.map(({ copies }) => copies.length));
  }

  /** Where the feed of the next copies begins; undefined if no copy is left. */
  next(): string | undefined {
    const left = this.#ranges.map(({ connected }) => connected.find((copy) => !this.#asked.has(copy)));
    if (left.every((copy) => copy === undefined)) return undefined;
    // A range of which nothing is left is passed by a copy that was read.
    const chosen = left.flatMap((copy, at) => copy ?? this.#ranges[at]?.connected.at(-1) ?? []);
    for (const copy of chosen) this.#asked.add(copy);
    return packSequence(chosen.map((copy) => this.#terms.get(copy) ?? beginningOf(copy)));
  }

  /** Records how far a feed was read, which may be of other copies than were asked for. Returns `copies`. */
  passed(since: string): string {
    this.#note(since);
    return this.copies;
  }

  /** Records a feed that was read to its end. */
  ended(since: string): void {
    for (const copy of this.#note(since)) {
      this.#read.add(copy);
      this.#asked.add(copy);
    }
  }

  /** The sequence of every copy that was read, in this run or before, as CouchDB packs them. */
  get copies(): string {
    const all = this.#ranges.flatMap(({ copies }) => copies);
    return packSequence(all.flatMap((copy) => this.#terms.get(copy) ?? []));
  }

  /** The copies that this run could not read, `node first-last`. */
  get unread(): readonly string[] {
    return this.#ranges.flatMap(({ copies }) => copies).filter((copy) => !this.#read.has(copy));
  }

  /**
   * CouchDB confirms a write (201) when more than half of the copies have it. So half of them, in every
   * range, have all that was confirmed.
   */
  get isEnough(): boolean {
    return this.#ranges.every(
      ({ copies }) => 2 * copies.filter((copy) => this.#read.has(copy)).length >= copies.length,
    );
  }

  #note(since: string): readonly string[] {
    const copies = copiesIn(since) ?? [];
    for (const { copy, term } of copies) this.#terms.set(copy, term);
    return copies.map(({ copy }) => copy);
  }
}
