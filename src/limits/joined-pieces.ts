// Keeps the pieces of a stream in few buffers, so that their bytes are what their memory costs (H15).

/** A shorter piece is copied: each Buffer costs up to 430 bytes of memory besides its content. */
const COPIED_BYTES = 4096;
/** The blocks into which pieces are copied grow up to this size. */
const BLOCK_BYTES = 65_536;

/**
 * Collects the pieces of one stream. A client chooses how small they are: a Buffer for each chunk of one byte
 * would take the memory of four hundred. Pinned by test/hostile/h15-small-chunks.test.ts.
 */
export class JoinedPieces {
  readonly #kept: Buffer[] = [];
  #size = 0;
  #block = Buffer.alloc(0);
  /** The part of the block that is written, but not among the kept buffers. */
  #from = 0;
  #to = 0;

  /** Bytes of all pieces. */
  get size(): number {
    return this.#size;
  }

  /** Adds a piece, which must not change later. The first one is not copied: most streams have no other. */
  add(piece: Buffer): void {
    const isKept = this.#size === 0 || piece.length >= COPIED_BYTES;
    this.#size += piece.length;
    if (isKept) {
      this.#keepWritten();
      this.#kept.push(piece);
      return;
    }
    if (this.#to + piece.length > this.#block.length) this.#beginBlock();
    this.#to += piece.copy(this.#block, this.#to);
  }

  /** All pieces as one buffer. Call it once, after the last piece. */
  join(): Buffer {
    this.#keepWritten();
    const [first] = this.#kept;
    return this.#kept.length === 1 && first !== undefined ? first : Buffer.concat(this.#kept, this.#size);
  }

  #beginBlock(): void {
    this.#keepWritten();
    const bytes = Math.min(Math.max(2 * this.#block.length, COPIED_BYTES), BLOCK_BYTES);
    this.#block = Buffer.allocUnsafeSlow(bytes);
    this.#from = 0;
    this.#to = 0;
  }

  #keepWritten(): void {
    if (this.#from < this.#to) this.#kept.push(this.#block.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }
}
