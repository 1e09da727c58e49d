// Finds the texts of a document of which CouchDB makes lists of characters (H20): 110 bytes of memory for
// each byte of `_rev` (couch_doc.erl, parse_rev), 16 for the encoding of an attachment. Finds also the ids of
// CouchDB's own documents (H10).
import { classOfId, INTERNAL } from '../catalogue/document-id.ts';

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
/** What follows the underscore of `_id`. */
const REST_OF_ID = Buffer.from('id"');

/**
 * What a text may be: `any`, of at most `SHORT_TEXT_BYTES` (`short`), a name that decides about the next
 * texts, and is short, or an id that is not ordinary in its first byte.
 */
export type TextRole = 'any' | 'short' | 'name' | 'id';

/** Follows the names of one body. */
export class DocumentFields {
  /** Level of the members of a document. */
  readonly #level: number;
  readonly #readsIds: boolean;
  /** What the last name of a document announces. */
  #awaited: 'nothing' | 'id' | 'revision' | 'attachments' = 'nothing';
  /** True if the last name within an attachment is not `data`. */
  #isShort = false;

  /** `readsIds` is true if the ids of the documents are read. */
  constructor(level: number, readsIds: boolean) {
    this.#level = level;
    this.#readsIds = readsIds;
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
    if (!isName) return this.#beginValue(piece[at]);
    this.#awaited = 'nothing';
    if (!isSpecial(piece[at])) return 'any';
    // `_id` comes in every document, so that it is not copied.
    if (!isPlainId(piece, at)) return 'name';
    if (this.#readsIds) this.#awaited = 'id';
    return 'any';
  }

  /** True if the value that begins at that level is a revision. */
  isRevision(level: number): boolean {
    return this.#awaited === 'revision' && level === this.#level;
  }

  /** A text ends whose role is `name` or `id`. True if it is the id of one of CouchDB's own documents. */
  end(level: number, text: string): boolean {
    if (this.#awaited === 'id') {
      this.#awaited = 'nothing';
      return classOfId(text) === INTERNAL;
    }
    if (level !== this.#level) this.#isShort = text !== CONTENT;
    else if (text === '_id' && this.#readsIds) this.#awaited = 'id';
    else if (text === '_rev') this.#awaited = 'revision';
    else if (text === '_attachments') this.#awaited = 'attachments';
    return false;
  }

  /** The value of a member of a document. */
  #beginValue(firstByte: number | undefined): TextRole {
    const awaited = this.#awaited;
    if (awaited === 'id' && isSpecial(firstByte)) return 'id';
    this.#awaited = 'nothing';
    return awaited === 'revision' ? 'short' : 'any';
  }

  #inAttachment(isName: boolean): TextRole {
    if (isName) return 'name';
    return this.#isShort ? 'short' : 'any';
  }
}

/** True for the name `_id` without an escape, if all of it is in the piece. */
function isPlainId(piece: Buffer, at: number): boolean {
  return piece[at] === UNDERSCORE && REST_OF_ID.every((byte, index) => piece[at + 1 + index] === byte);
}

/** True for what may begin with an underscore, in any spelling. */
function isSpecial(firstByte: number | undefined): boolean {
  return firstByte === UNDERSCORE || firstByte === BACKSLASH;
}
