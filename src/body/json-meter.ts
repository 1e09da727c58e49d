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
    for (let at = 0; at < piece.length; at += 1) {
      const byte = piece[at] ?? 0;
      if (this.#isInString) {
        this.#stringBytes += 1;
        if (this.#stringBytes > this.#limits.stringBytes)
          return new TooLarge('a string in the request body is too long');
        if (this.#isEscaped) this.#isEscaped = false;
        else if (byte === BACKSLASH) this.#isEscaped = true;
        else if (byte === QUOTE) {
          this.#isInString = false;
          const refusal = this.#textFrom === -1 ? undefined : this.#endText(piece, at);
          if (refusal !== undefined) return refusal;
        }
        continue;
      }
      this.#numberBytes = IN_NUMBER[byte] === 1 ? this.#numberBytes + 1 : 0;
      if (this.#numberBytes > NUMBER_BYTES) return new TooLarge('a number in the request body is too long');
      if (byte === QUOTE) {
        this.#isInString = true;
        this.#stringBytes = 0;
        if (this.#limits.mayHoldTerms && this.#depth === BOOKMARKS) this.#textFrom = at + 1;
      } else if (byte === COMMA) {
        if (this.#countValue()) return this.#tooMany();
      } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
        if (this.#depth >= DEEPEST) return new BadRequest('The request body is nested too deeply.');
        this.#depth += 1;
        this.#members[this.#depth] = byte === OPEN_OBJECT ? 1 : -1;
        this.#values += 1;
        if (this.#depth === DOCUMENTS && byte === OPEN_ARRAY) this.#values += this.#limits.perDocument;
        if (this.#values > this.#limits.values) return this.#tooMany();
      } else if ((byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) && this.#depth > 0) this.#depth -= 1;
    }
    if (this.#textFrom !== -1) {
      this.#text.push(Buffer.from(piece.subarray(this.#textFrom)));
      this.#textFrom = 0;
    }
    return undefined;
  }

  /** Returns why the string that ends here is refused, if it is an Erlang term. */
  #endText(piece: Buffer, to: number): HttpError | undefined {
    this.#text.push(piece.subarray(this.#textFrom, to));
    const text = Buffer.concat(this.#text).toString('latin1');
    this.#text = [];
    this.#textFrom = -1;
    return this.#terms.refuse(text.includes('\\') ? unescaped(text) : text);
  }

  /** True past a limit. */
  #countValue(): boolean {
    this.#values += 1;
    const members = this.#members[this.#depth] ?? -1;
    if (members >= 0) this.#members[this.#depth] = members + 1;
    else if (this.#depth === DOCUMENTS) this.#values += this.#limits.perDocument;
    return this.#values > this.#limits.values || members >= this.#limits.members;
  }

  #tooMany(): HttpError {
    return new TooLarge('the request body has too many values');
  }
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
