// Sums the lengths of the paths in a selector: CouchDB makes a copy of the whole path for each value (H20).
import { DEEPEST } from '../json/builder.ts';

/**
 * Most bytes of all paths of one selector together. 10 000 values have room for paths of 100 bytes. CouchDB
 * compares the paths with each other: with 8 MiB, that takes 44 seconds.
 */
export const SELECTOR_PATH_BYTES = 1_048_576;

/** The names that are open while a body is read. A name counts as it is written, and for one byte more. */
export class SelectorPaths {
  readonly #mostBytes: number;
  /** Bytes of the open name at each level. */
  readonly #names = new Int32Array(DEEPEST + 1);
  /** Bytes of all open names. */
  #open = 0;
  #total = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** A name ends at this level. */
  beginValue(level: number, nameBytes: number): void {
    this.#open += nameBytes + 1 - (this.#names[level] ?? 0);
    this.#names[level] = nameBytes + 1;
  }

  /** A value at this level ends. Returns true if all paths together are too long. */
  endValue(level: number): boolean {
    this.#total += this.#open;
    this.#open -= this.#names[level] ?? 0;
    this.#names[level] = 0;
    return this.#total > this.#mostBytes;
  }
}
