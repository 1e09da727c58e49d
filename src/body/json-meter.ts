// Measures the structure of a JSON body that CouchDB will parse: its depth and its number of values (H20).
import { BadRequest, Forbidden, TooLarge, type HttpError } from '../http-errors.ts';
import { DEEPEST } from '../json/builder.ts';
import { JoinedPieces } from '../limits/joined-pieces.ts';
import { DocumentFields, INVALID_REVISION, SHORT_TEXT_BYTES } from './document-fields.ts';
import { MAX_ID_BYTES } from './document-ids.ts';
import { type AtomGate, Terms } from './erlang-terms.ts';
import { BACKSLASH, IN_NUMBER, QUOTE, significantByte, StringMarks, unescaped } from './json-bytes.ts';
import { SelectorPaths } from './selector-paths.ts';
import { HeldValues, type ValueHolder } from './value-budget.ts';

/** The exchange of a body that CouchDB parses. */
export interface BodyHolder extends ValueHolder {
  /** Counts the atoms of terms. */
  readonly atoms: AtomGate;
}

/** Measures a body on its way. */
export interface BodyMeter {
  /**
   * Returns why the body is refused, once it exceeds a limit. A promise does not reject. The next piece is
   * added when it has resolved.
   */
  add(piece: Buffer): HttpError | undefined | Promise<HttpError | undefined>;
  /** Ends the work, if it lasts. */
  stop?(): void;
}

export interface StructureLimits {
  /** Most values of all levels together. */
  readonly values: number;
  /** Further values for which each document of a bulk counts: each element of a list at the second level. */
  readonly perDocument: number;
  /** Most members of one object. */
  readonly members: number;
  /** Most bytes of one string, escapes included. */
  readonly stringBytes: number;
  /** True if CouchDB may decode a text of the first level as an Erlang term. */
  readonly mayHoldTerms: boolean;
  /** Level of the members of a document that CouchDB writes; the body holds none if it is left out. */
  readonly documentLevel?: number;
  /** True if the ids of these documents are read: those of CouchDB's own documents are refused (H10). */
  readonly readsIds?: boolean;
  /** Most bytes of all paths of a selector together; the body holds none if it is left out. */
  readonly pathBytes?: number;
  /** Level of the texts that CouchDB reads as revisions; they are short (H20.8). */
  readonly revisionLevel?: number;
}

/**
 * Longest number. A key of 4096 bits has 1234 digits. CouchDB needs quadratic time: 24 s for 400 000 digits.
 */
const NUMBER_BYTES = 2048;
/** Bytes of a string that are read one by one. In the rest of it, a search in native code is faster. */
const SHORT_TEXT = 32;
/** Level of `{"bookmark":…}`. */
const BOOKMARKS = 1;
/** Level of the list in `{"docs":[…]}`. */
const DOCUMENTS = 2;
/** Of a body that CouchDB does not get. */
const NO_ATOMS: AtomGate = { admit: () => false };
const TOO_MANY_VALUES = 'the request body has too many values';

const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Reads one body piece by piece and keeps nothing of it. It needs no valid JSON: as far as CouchDB's parser
 * gets before it refuses a body, both agree on where a string ends.
 */
export class JsonMeter implements BodyMeter {
  readonly #limits: StructureLimits;
  readonly #held: HeldValues;
  #depth = 0;
  #values = 0;
  /** Members of the open object at each level; -1 = an array. */
  readonly #members = new Int32Array(DEEPEST + 1);
  #isInString = false;
  /** Bytes of the open string. */
  #stringBytes = 0;
  #isEscaped = false;
  /** Bytes of the number that is being read. */
  #numberBytes = 0;
  /** Deepest level of strings that are looked at when they begin. */
  #watchedDepth: number;
  /** True if something is to be done at the end of the open string. */
  #isWatched = false;
  /** True if the open string is a name in a selector. */
  #isPathName = false;
  /** Most bytes of the open string. */
  #mostStringBytes: number;
  /** The last byte of all earlier pieces, without white space. */
  #before = 0;
  /** The pieces of a string that is read, and where it begins in the present piece; -1 = none. */
  #text: JoinedPieces | undefined;
  #textFrom = -1;
  readonly #fields: DocumentFields | undefined;
  readonly #paths: SelectorPaths | undefined;
  readonly #terms: Terms;
  readonly #marks = new StringMarks();
  #refusal: HttpError | undefined;

  constructor(limits: StructureLimits, holder?: BodyHolder) {
    this.#limits = limits;
    this.#held = new HeldValues(holder);
    this.#terms = new Terms(holder?.caller ?? '', holder?.atoms ?? NO_ATOMS);
    this.#mostStringBytes = limits.stringBytes;
    const { documentLevel, pathBytes, mayHoldTerms, revisionLevel, readsIds = false } = limits;
    if (documentLevel !== undefined) this.#fields = new DocumentFields(documentLevel, readsIds);
    if (pathBytes !== undefined) this.#paths = new SelectorPaths(pathBytes);
    const otherDepth = revisionLevel ?? (mayHoldTerms ? BOOKMARKS : -1);
    this.#watchedDepth = this.#paths === undefined ? (this.#fields?.deepest ?? otherDepth) : DEEPEST;
  }

  /** Returns why the body is refused, once it exceeds a limit. */
  add(piece: Buffer): HttpError | undefined {
    return this.#measure(piece) ?? this.#held.add(piece, this.#values);
  }

  #measure(piece: Buffer): HttpError | undefined {
    if (piece.length === 0) return this.#refusal;
    this.#marks.reset();
    let at = 0;
    if (this.#isAtQuote && this.#depth <= this.#watchedDepth) this.#watch(piece, 0);
    while (at < piece.length && this.#refusal === undefined)
      at = this.#isInString ? this.#readString(piece, at) : this.#readStructure(piece, at);
    if (this.#refusal === undefined && this.#textFrom !== -1) {
      this.#text ??= new JoinedPieces();
      this.#text.add(Buffer.from(piece.subarray(this.#textFrom)));
      this.#textFrom = 0;
    }
    this.#before = significantByte(piece, piece.length - (this.#isAtQuote ? 2 : 1)) ?? this.#before;
    return this.#refusal;
  }

  /** True if a string begins with the next piece. Its quote is not before it. */
  get #isAtQuote(): boolean {
    return this.#isInString && this.#stringBytes === 0;
  }

  /** Returns the place behind the string, or the end of the piece. */
  #readString(piece: Buffer, from: number): number {
    const { length } = piece;
    let at = from;
    let isOpen = true;
    let isEscaped = this.#isEscaped;
    while (isOpen && at < length) {
      const to = Math.min(at + SHORT_TEXT, length);
      while (isOpen && at < to) {
        const byte = piece[at];
        at += 1;
        if (isEscaped) isEscaped = false;
        else if (byte === BACKSLASH) isEscaped = true;
        else if (byte === QUOTE) isOpen = false;
      }
      if (isOpen && !isEscaped) at = this.#marks.next(piece, at);
    }
    this.#isInString = isOpen;
    this.#isEscaped = isEscaped;
    this.#stringBytes += at - from;
    if (this.#stringBytes > this.#mostStringBytes)
      this.#refusal = new TooLarge('a string in the request body is too long');
    else if (!isOpen && this.#isWatched) this.#endWatched(piece, at - 1);
    return at;
  }

  /** Returns the place behind the first quote, or the end of the piece. */
  #readStructure(piece: Buffer, from: number): number {
    const { length } = piece;
    let at = from;
    let numberBytes = this.#numberBytes;
    while (at < length && this.#refusal === undefined) {
      const byte = piece[at] ?? 0;
      at += 1;
      if (IN_NUMBER[byte] === 1) {
        numberBytes += 1;
        if (numberBytes > NUMBER_BYTES)
          this.#refusal = new TooLarge('a number in the request body is too long');
        continue;
      }
      numberBytes = 0;
      if (byte === QUOTE) {
        this.#beginString(piece, at);
        break;
      }
      if (byte === COMMA) this.#countValue();
      else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) this.#open(byte);
      else if ((byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) && this.#depth > 0) {
        if (this.#paths !== undefined) this.#endPath();
        this.#depth -= 1;
      }
    }
    this.#numberBytes = numberBytes;
    return at;
  }

  #beginString(piece: Buffer, at: number): void {
    this.#isInString = true;
    this.#stringBytes = 0;
    if (this.#depth <= this.#watchedDepth && at < piece.length) this.#watch(piece, at);
  }

  /** Looks at a string by its first byte, which is in the piece. */
  #watch(piece: Buffer, at: number): void {
    if (this.#fields !== undefined) {
      if (this.#fields.mayMatter(piece[at])) this.#watchField(this.#fields, piece, at);
      return;
    }
    this.#isPathName = this.#paths !== undefined && this.#isName(piece, at - 2);
    if (this.#limits.mayHoldTerms && this.#depth === BOOKMARKS) this.#textFrom = at;
    const isRevision = this.#depth === this.#limits.revisionLevel && !this.#isName(piece, at - 2);
    if (isRevision) this.#mostStringBytes = SHORT_TEXT_BYTES + 1;
    this.#isWatched = this.#isPathName || isRevision || this.#textFrom !== -1;
  }

  #watchField(fields: DocumentFields, piece: Buffer, at: number): void {
    const role = fields.begin(this.#depth, piece, at, this.#isName(piece, at - 2));
    this.#watchedDepth = fields.deepest;
    this.#isWatched = role !== 'any';
    if (role === 'any') return;
    this.#mostStringBytes = 1 + (role === 'id' ? MAX_ID_BYTES : SHORT_TEXT_BYTES);
    if (role !== 'short') this.#textFrom = at;
  }

  /** True if the string behind that place and its quote is the name of a member. */
  #isName(piece: Buffer, to: number): boolean {
    const before = significantByte(piece, to) ?? this.#before;
    return before === OPEN_OBJECT || (before === COMMA && (this.#members[this.#depth] ?? -1) >= 0);
  }

  #endWatched(piece: Buffer, to: number): void {
    this.#isWatched = false;
    this.#mostStringBytes = this.#limits.stringBytes;
    if (this.#isPathName) this.#paths?.beginValue(this.#depth, this.#stringBytes - 1);
    this.#isPathName = false;
    if (this.#textFrom === -1) return;
    const text = this.#endText(piece, to);
    if (this.#fields === undefined) this.#refusal = this.#terms.refuse(text);
    else {
      if (this.#fields.end(this.#depth, text))
        this.#refusal = new Forbidden("CouchDB's internal documents cannot be written.");
      this.#watchedDepth = this.#fields.deepest;
    }
  }

  #endPath(): void {
    if (this.#paths?.endValue(this.#depth) === true)
      this.#refusal = new TooLarge('the selector has too many values below long names');
  }

  /** Begins an array or an object. */
  #open(byte: number): void {
    // CouchDB reads an array of numbers as the characters of a revision, of any length.
    if (this.#fields?.isRevision(this.#depth) === true || this.#depth === this.#limits.revisionLevel)
      this.#refusal = new BadRequest(INVALID_REVISION);
    if (this.#depth >= DEEPEST) this.#refusal = new BadRequest('The request body is nested too deeply.');
    if (this.#refusal !== undefined) return;
    this.#depth += 1;
    this.#members[this.#depth] = byte === OPEN_OBJECT ? 1 : -1;
    this.#values += 1;
    if (this.#depth === DOCUMENTS && byte === OPEN_ARRAY) this.#values += this.#limits.perDocument;
    if (this.#values > this.#limits.values) this.#refusal = new TooLarge(TOO_MANY_VALUES);
  }

  /** The text that ends here. */
  #endText(piece: Buffer, to: number): string {
    let text = piece.toString('latin1', this.#textFrom, to);
    if (this.#text !== undefined) text = this.#text.join().toString('latin1') + text;
    this.#text = undefined;
    this.#textFrom = -1;
    return text.includes('\\') ? unescaped(text) : text;
  }

  /** Counts the value behind a comma. */
  #countValue(): void {
    this.#values += 1;
    if (this.#paths !== undefined) this.#endPath();
    const members = this.#members[this.#depth] ?? -1;
    if (members >= 0) this.#members[this.#depth] = members + 1;
    else if (this.#depth === DOCUMENTS) this.#values += this.#limits.perDocument;
    if (this.#values > this.#limits.values || members >= this.#limits.members)
      this.#refusal = new TooLarge(TOO_MANY_VALUES);
  }
}
