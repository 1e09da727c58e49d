// Measures the structure of a JSON body that CouchDB will parse: its depth and its number of values (H20).
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BadRequest, TooLarge, type HttpError } from '../http-errors.ts';

export interface StructureLimits {
  /** Most values of all levels together. */
  readonly values: number;
  /** Further values for each byte of the body. */
  readonly valuesPerByte: number;
  /** Most members of one object. */
  readonly members: number;
  /** Most bytes of one string, escapes included. */
  readonly stringBytes: number;
}

/** Levels of objects and arrays. A body of 2 MB with a million levels takes a node of CouchDB 500 MiB. */
export const DEEPEST = 1000;
/** A body of so few bytes cannot exceed a limit, so it is not measured. */
const HARMLESS_BYTES = DEEPEST;
const PORTION_BYTES = 262_144;

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Reads one body piece by piece and keeps nothing of it. It needs no valid JSON: as far as CouchDB's parser
 * gets before
 * it refuses a body, both agree on where a string ends.
 */
export class JsonMeter {
  readonly #limits: StructureLimits;
  #depth = 0;
  #values = 0;
  /** Values that the bytes so far may have. */
  #most = 0;
  #bytes = 0;
  /** Members of the open object at each level; -1 = an array. */
  readonly #members = new Int32Array(DEEPEST + 1);
  #isInString = false;
  /** Bytes of the open string. */
  #stringBytes = 0;
  #isEscaped = false;

  constructor(limits: StructureLimits) {
    this.#limits = limits;
  }

  /** Returns why the body is refused, once it exceeds a limit. */
  add(piece: Buffer): HttpError | undefined {
    this.#bytes += piece.length;
    this.#most = this.#limits.values + this.#bytes * this.#limits.valuesPerByte;
    for (let at = 0; at < piece.length; at += 1) {
      const byte = piece[at] ?? 0;
      if (this.#isInString) {
        this.#stringBytes += 1;
        if (this.#stringBytes > this.#limits.stringBytes)
          return new TooLarge('a string in the request body is too long');
        if (this.#isEscaped) this.#isEscaped = false;
        else if (byte === BACKSLASH) this.#isEscaped = true;
        else if (byte === QUOTE) this.#isInString = false;
      } else if (byte === QUOTE) {
        this.#isInString = true;
        this.#stringBytes = 0;
      } else if (byte === COMMA) {
        if (this.#countValue()) return this.#tooMany();
      } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
        if (this.#depth >= DEEPEST) return new BadRequest('The request body is nested too deeply.');
        this.#depth += 1;
        this.#members[this.#depth] = byte === OPEN_OBJECT ? 1 : -1;
        this.#values += 1;
        if (this.#values > this.#most) return this.#tooMany();
      } else if ((byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) && this.#depth > 0) this.#depth -= 1;
    }
    return undefined;
  }

  /** True past a limit. */
  #countValue(): boolean {
    this.#values += 1;
    const members = this.#members[this.#depth] ?? -1;
    if (members >= 0) this.#members[this.#depth] = members + 1;
    return this.#values > this.#most || members >= this.#limits.members;
  }

  #tooMany(): HttpError {
    return new TooLarge('the request body has too many values');
  }
}

/** Returns a meter for a body that is streamed; undefined if its length alone proves that it is harmless. */
export function meterOf(
  limits: StructureLimits | undefined,
  length: string | undefined,
): JsonMeter | undefined {
  if (limits === undefined || (length !== undefined && Number(length) <= HARMLESS_BYTES)) return undefined;
  return new JsonMeter(limits);
}

/** Throws what `JsonMeter` finds in a whole body; other requests have their turn in between. */
export async function refuseStructure(body: Buffer, limits: StructureLimits | undefined): Promise<void> {
  if (limits === undefined || body.length <= HARMLESS_BYTES) return;
  const meter = new JsonMeter(limits);
  for (let at = 0; at < body.length; at += PORTION_BYTES) {
    if (at > 0) await nextTurn();
    const refusal = meter.add(body.subarray(at, at + PORTION_BYTES));
    if (refusal !== undefined) throw refusal;
  }
}
