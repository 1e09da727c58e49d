// Reads the bytes of a piece of JSON: where strings end, what stands before them, and what they spell.

export const QUOTE = 0x22;
export const BACKSLASH = 0x5c;
/** CouchDB's parser and JSON's grammar permit no other byte up to this one between values. */
const SPACE = 0x20;

/** 1 for every byte of a number. CouchDB refuses other text outside of strings at its first byte. */
export const IN_NUMBER = new Uint8Array(256);
for (const byte of Buffer.from('0123456789+-.eE')) IN_NUMBER[byte] = 1;

/** Finds the bytes that matter in a string. Each place of a piece is searched once for each of them. */
export class StringMarks {
  #quoteAt = -1;
  #backslashAt = -1;

  /** Before each piece. */
  reset(): void {
    this.#quoteAt = -1;
    this.#backslashAt = -1;
  }

  /** The place of the next quote or backslash; the length of the piece if there is none. */
  next(piece: Buffer, at: number): number {
    if (this.#quoteAt < at) this.#quoteAt = placeOf(piece, QUOTE, at);
    if (this.#backslashAt < at) this.#backslashAt = placeOf(piece, BACKSLASH, at);
    return Math.min(this.#quoteAt, this.#backslashAt);
  }
}

/** The last byte up to a place that is no white space; undefined if there is none. */
export function significantByte(piece: Buffer, to: number): number | undefined {
  let at = to;
  while (at >= 0 && (piece[at] ?? 0) <= SPACE) at -= 1;
  return piece[at];
}

function placeOf(piece: Buffer, byte: number, from: number): number {
  const place = piece.indexOf(byte, from);
  return place === -1 ? piece.length : place;
}

/** The text of a string that holds escapes; CouchDB refuses a body with another escape. */
export function unescaped(text: string): string {
  try {
    return String(JSON.parse(`"${text}"`));
  } catch {
    return '';
  }
}
