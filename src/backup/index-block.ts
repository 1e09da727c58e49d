// Finds the line of a document in a block of an index file, without parsing the other lines: an increment
// looks a few documents up in each of many blocks.

const LINE_FEED = 0x0a;

/** The decompressed text of a block: one line of JSON for each document, `["id",[…]]`, sorted by id. */
export class IndexBlock {
  readonly plain: Buffer;
  /** Where the last line was found: documents are looked up in their order. */
  #last = 0;

  constructor(plain: Buffer) {
    this.plain = plain;
  }

  /** The line of the document; undefined if the block does not have it. */
  lineOf(id: string): Buffer | undefined {
    // A line feed in a string of JSON is escaped: this is found at the beginning of a line only.
    const begin = Buffer.from(`\n[${JSON.stringify(id)},`);
    const start = this.#find(begin);
    if (start === undefined) return undefined;
    this.#last = start;
    const end = this.plain.indexOf(LINE_FEED, start);
    return this.plain.subarray(start, end < 0 ? undefined : end);
  }

  /** The position behind the line feed. */
  #find(begin: Buffer): number | undefined {
    const first = begin.subarray(1);
    if (this.plain.subarray(0, first.length).equals(first)) return 0;
    let found = this.plain.indexOf(begin, Math.max(0, this.#last - 1));
    if (found < 0 && this.#last > 0) found = this.plain.indexOf(begin);
    return found < 0 ? undefined : found + 1;
  }
}
