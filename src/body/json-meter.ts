// Measures the structure of a JSON body that CouchDB will parse: its depth and its number of values (H20).
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BadRequest, TooLarge, type HttpError } from '../http-errors.ts';
import { DEEPEST } from '../json/builder.ts';
import { type AtomGate, Terms } from './erlang-terms.ts';
import { HeldValues, type ValueHolder } from './value-budget.ts';

/** The exchange of a body that CouchDB parses. */
export interface BodyHolder extends ValueHolder {
  /** Counts the atoms of terms; those of this process if it is left out. */
  readonly atoms?: AtomGate | undefined;
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
/** A body of so few bytes cannot exceed a limit, so it is not measured. */
export const HARMLESS_BYTES = DEEPEST;
const PORTION_BYTES = 262_144;

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** 1 for every byte of a number. CouchDB refuses other text outside of strings at its first byte. */
const IN_NUMBER = new Uint8Array(256);
for (const byte of Buffer.from('0123456789+-.eE')) IN_NUMBER[byte] = 1;

/** Finds the bytes that matter in a string. Each place of a piece is searched once for each of them. */
class StringMarks {
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

function placeOf(piece: Buffer, byte: number, from: number): number {
  const place = piece.indexOf(byte, from);
  return place === -1 ? piece.length : place;
}

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
  /** The pieces of a string that may be a bookmark, and where it begins in the present piece; -1 = none. */
  #text: Buffer[] = [];
  #textFrom = -1;
  readonly #terms: Terms;
  readonly #marks = new StringMarks();
  #refusal: HttpError | undefined;

  constructor(limits: StructureLimits, holder?: BodyHolder) {
    this.#limits = limits;
    this.#held = new HeldValues(holder);
    this.#terms = new Terms(holder?.caller ?? '', holder?.atoms);
  }

  /** Returns why the body is refused, once it exceeds a limit. */
  add(piece: Buffer): HttpError | undefined {
    return this.#measure(piece) ?? this.#held.add(piece, this.#values);
  }

  #measure(piece: Buffer): HttpError | undefined {
    this.#marks.reset();
    let at = 0;
    while (at < piece.length && this.#refusal === undefined)
      at = this.#isInString ? this.#readString(piece, at) : this.#readStructure(piece, at);
    if (this.#refusal === undefined && this.#textFrom !== -1) {
      this.#text.push(Buffer.from(piece.subarray(this.#textFrom)));
      this.#textFrom = 0;
    }
    return this.#refusal;
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
    if (this.#stringBytes > this.#limits.stringBytes)
      this.#refusal = new TooLarge('a string in the request body is too long');
    else if (!isOpen && this.#textFrom !== -1) this.#refusal = this.#endText(piece, at - 1);
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
        this.#beginString(at);
        break;
      }
      if (byte === COMMA) this.#countValue();
      else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) this.#open(byte);
      else if ((byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) && this.#depth > 0) this.#depth -= 1;
    }
    this.#numberBytes = numberBytes;
    return at;
  }

  #beginString(at: number): void {
    this.#isInString = true;
    this.#stringBytes = 0;
    if (this.#limits.mayHoldTerms && this.#depth === BOOKMARKS) this.#textFrom = at;
  }

  /** Begins an array or an object. */
  #open(byte: number): void {
    if (this.#depth >= DEEPEST) {
      this.#refusal = new BadRequest('The request body is nested too deeply.');
      return;
    }
    this.#depth += 1;
    this.#members[this.#depth] = byte === OPEN_OBJECT ? 1 : -1;
    this.#values += 1;
    if (this.#depth === DOCUMENTS && byte === OPEN_ARRAY) this.#values += this.#limits.perDocument;
    if (this.#values > this.#limits.values) this.#refusal = tooManyValues();
  }

  /** Returns why the string that ends here is refused, if it is an Erlang term. */
  #endText(piece: Buffer, to: number): HttpError | undefined {
    this.#text.push(piece.subarray(this.#textFrom, to));
    const text = Buffer.concat(this.#text).toString('latin1');
    this.#text = [];
    this.#textFrom = -1;
    return this.#terms.refuse(text.includes('\\') ? unescaped(text) : text);
  }

  /** Counts the value behind a comma. */
  #countValue(): void {
    this.#values += 1;
    const members = this.#members[this.#depth] ?? -1;
    if (members >= 0) this.#members[this.#depth] = members + 1;
    else if (this.#depth === DOCUMENTS) this.#values += this.#limits.perDocument;
    if (this.#values > this.#limits.values || members >= this.#limits.members)
      this.#refusal = tooManyValues();
  }
}

function tooManyValues(): HttpError {
  return new TooLarge('the request body has too many values');
}

/** CouchDB refuses a body with another escape. */
function unescaped(text: string): string {
  try {
    return String(JSON.parse(`"${text}"`));
  } catch {
    return '';
  }
}

/**
 * Throws what `JsonMeter` finds in a whole body. Reads in portions, so that the event loop is not blocked.
 */
export async function refuseStructure(
  body: Buffer,
  limits: StructureLimits | undefined,
  holder?: BodyHolder,
): Promise<void> {
  if (limits === undefined || (!limits.mayHoldTerms && body.length <= HARMLESS_BYTES)) return;
  const meter = new JsonMeter(limits, holder);
  for (let at = 0; at < body.length; at += PORTION_BYTES) {
    if (at > 0) await nextTurn();
    const refusal = meter.add(body.subarray(at, at + PORTION_BYTES));
    if (refusal !== undefined) throw refusal;
  }
}
