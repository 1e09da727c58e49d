// Finds the texts of a document of which CouchDB makes lists of characters (H20): 110 bytes of memory for
// each byte of `_rev` (couch_doc.erl, parse_rev), 16 for the encoding of an attachment.

/** Most bytes of such a text: CouchDB also reads the beginning of `_rev` as a number. */
export const SHORT_TEXT_BYTES = 2048;
/** CouchDB's words for a revision that is no text. */
export const INVALID_REVISION = 'Invalid rev format';
/** Levels between the members of a document and those of an attachment in it. */
const ATTACHMENT_LEVELS = 2;
/** Content of an attachment. CouchDB makes no list of it. */
const CONTENT = 'data';

const BACKSLASH = 0x5c;
const UNDERSCORE = 0x5f;
const LETTER_I = 0x69;

/**
 * What a text may be: `any`, of at most `SHORT_TEXT_BYTES` (`short`), or a name that decides about the next
 * texts, and is short.
 */
export type TextRole = 'any' | 'short' | 'name';

/** Follows the names of one body. */
export class DocumentFields {
  /** Level of the members of a document. */
  readonly #level: number;
  /** What the last name of a document announces. */
  #awaited: 'nothing' | 'revision' | 'attachments' = 'nothing';
  /** True if the last name within an attachment is not `data`. */
  #isShort = false;

  constructor(level: number) {
    this.#level = level;
  }

  /** Texts at deeper levels do not matter at present. */
  get deepest(): number {
    return this.#awaited === 'attachments' ? this.#level + ATTACHMENT_LEVELS : this.#level;
  }

  /** False for most texts, so that nothing else is to be found out about them. */
  mayMatter(firstByte: number | undefined): boolean {
    return this.#awaited !== 'nothing' || isSpecial(firstByte);
  }

  /** A text begins at that place of the piece, and `mayMatter` is true. */
  begin(level: number, piece: Buffer, at: number, isName: boolean): TextRole {
    if (level === this.#level + ATTACHMENT_LEVELS) return this.#inAttachment(isName);
    if (level !== this.#level) return 'any';
    const isRevision = this.isRevision(level) && !isName;
    this.#awaited = 'nothing';
    if (isRevision) return 'short';
    if (!isName || !isSpecial(piece[at])) return 'any';
    // `_id` comes in every document.
    return piece[at + 1] === LETTER_I ? 'short' : 'name';
  }

  /** True if the value that begins at that level is a revision. */
  isRevision(level: number): boolean {
    return this.#awaited === 'revision' && level === this.#level;
  }

  /** A text ends whose role is `name`. */
  endName(level: number, name: string): void {
    if (level !== this.#level) this.#isShort = name !== CONTENT;
    else if (name === '_rev') this.#awaited = 'revision';
    else if (name === '_attachments') this.#awaited = 'attachments';
  }

  #inAttachment(isName: boolean): TextRole {
    if (isName) return 'name';
    return this.#isShort ? 'short' : 'any';
  }
}

/** A name that begins with an underscore in any spelling. */
function isSpecial(firstByte: number | undefined): boolean {
  return firstByte === UNDERSCORE || firstByte === BACKSLASH;
}
