// Reads JSON as a row of keys and values, strictly and without building any of them. What they mean is its listener's business.
import { BadRequest } from '../http-errors.ts';

export type JsonKind = 'object' | 'array' | 'string' | 'other';

/** Hears of keys and values in their order. `depth` counts the objects and arrays around them, `from` and `to` are where the bytes of a text, a number or a word lie. */
export interface JsonListener {
  /** Nothing that lies deeper is told. */
  readonly deepest: number;
  key(depth: number, from: number, to: number): void;
  value(depth: number, kind: JsonKind, from: number, to: number): void;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const SMALL_E = 0x65;
const SMALL_U = 0x75;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** 1 for every byte that may stand alone behind a backslash. */
const SHORT_ESCAPES = new Uint8Array(256);
for (const byte of Buffer.from('"\\/bfnrt')) SHORT_ESCAPES[byte] = 1;

const WORDS = ['true', 'false', 'null'].map((word) => [...Buffer.from(word)]);

/** Levels that are kept in mind; whoever nests deeper means harm. */
const DEEPEST = 100_000;

/** What may come next. */
const Next = { value: 0, firstValue: 1, key: 2, firstKey: 3, colon: 4, separator: 5, nothing: 6 } as const;
type Next = (typeof Next)[keyof typeof Next];

/**
 * One reading of JSON in UTF-8 (whether it is UTF-8 was looked at before), in portions, so that other requests come in between. A body of 64 MiB
 * can hold twenty million objects: JSON.parse would stop everybody for twenty seconds and take gigabytes (H15). Pinned by
 * test/hostile/h15-large-bodies.test.ts, and to JSON.parse itself by test/property/inspected-ids.test.ts.
 */
export class JsonScan {
  readonly #json: Buffer;
  readonly #listener: JsonListener;
  /** True = an object, for every level that is open. */
  readonly #open: boolean[] = [];
  #next: Next = Next.value;
  #at = 0;
  /** Where the text began whose end has not come yet. */
  #textFrom: number | undefined;

  constructor(json: Buffer, listener: JsonListener) {
    this.#json = json;
    this.#listener = listener;
  }

  /** Reads on for about so many bytes. False = nothing is left. Throws BadRequest for what is no JSON. */
  read(bytes: number): boolean {
    const json = this.#json;
    const end = Math.min(this.#at + bytes, json.length);
    while (this.#at < end) {
      const byte = json[this.#at] ?? 0;
      if (this.#textFrom !== undefined) this.#text(this.#textFrom, end);
      else if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) this.#at += 1;
      else this.#token(byte);
    }
    if (this.#at < json.length) return true;
    if (this.#next !== Next.nothing || this.#textFrom !== undefined) throw malformed();
    return false;
  }

  #token(byte: number): void {
    if (byte === QUOTE) this.#textFrom = this.#at += 1;
    else if (byte === OPEN_OBJECT) this.#enter(true, Next.firstKey);
    else if (byte === OPEN_ARRAY) this.#enter(false, Next.firstValue);
    else if (byte === CLOSE_OBJECT) this.#leave(true, Next.firstKey);
    else if (byte === CLOSE_ARRAY) this.#leave(false, Next.firstValue);
    else if (byte === COMMA) this.#go(Next.separator, this.#open.at(-1) === true ? Next.key : Next.value);
    else if (byte === COLON) this.#go(Next.colon, Next.value);
    else this.#scalar(byte);
  }

  #go(expected: Next, next: Next): void {
    if (this.#next !== expected) throw malformed();
    this.#next = next;
    this.#at += 1;
  }

  #enter(isObject: boolean, next: Next): void {
    this.#value(isObject ? 'object' : 'array', 0, 0);
    if (this.#open.length >= DEEPEST) throw new BadRequest('The request body is nested too deeply.');
    this.#open.push(isObject);
    this.#next = next;
    this.#at += 1;
  }

  #leave(isObject: boolean, ifEmpty: Next): void {
    if ((this.#next !== Next.separator && this.#next !== ifEmpty) || this.#open.pop() !== isObject)
      throw malformed();
    this.#next = this.#open.length === 0 ? Next.nothing : Next.separator;
    this.#at += 1;
  }

  /** Reads on in a text, to its end if that comes before `end`. Only then it is known to be one, and told. */
  #text(from: number, end: number): void {
    this.#at = endOfText(this.#json, this.#at, end);
    if (this.#json[this.#at] !== QUOTE || this.#at >= end) return;
    const depth = this.#open.length;
    if (this.#next === Next.key || this.#next === Next.firstKey) {
      if (depth <= this.#listener.deepest) this.#listener.key(depth, from, this.#at);
      this.#next = Next.colon;
    } else this.#value('string', from, this.#at);
    this.#textFrom = undefined;
    this.#at += 1;
  }

  #scalar(byte: number): void {
    const from = this.#at;
    const to = byte === MINUS || isDigit(byte) ? endOfNumber(this.#json, from) : endOfWord(this.#json, from);
    this.#value('other', from, to);
    this.#at = to;
  }

  #value(kind: JsonKind, from: number, to: number): void {
    if (this.#next !== Next.value && this.#next !== Next.firstValue) throw malformed();
    const depth = this.#open.length;
    if (depth <= this.#listener.deepest) this.#listener.value(depth, kind, from, to);
    this.#next = depth === 0 ? Next.nothing : Next.separator;
  }
}

function malformed(): BadRequest {
  return new BadRequest('invalid UTF-8 JSON');
}

/** The place of the quote that ends the text, or the first place at or behind `end` where it may go on. */
function endOfText(json: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end) {
    const byte = json[at] ?? 0;
    if (byte === QUOTE) return at;
    if (byte < 0x20) throw malformed();
    at += byte === BACKSLASH ? lengthOfEscape(json, at) : 1;
  }
  return at;
}

function lengthOfEscape(json: Buffer, at: number): number {
  const byte = json[at + 1] ?? 0;
  if (SHORT_ESCAPES[byte] === 1) return 2;
  if (byte !== SMALL_U) throw malformed();
  for (let digit = at + 2; digit < at + 6; digit += 1) if (!isHexDigit(json[digit] ?? 0)) throw malformed();
  return 6;
}

/** RFC 8259 section 6. */
function endOfNumber(json: Buffer, from: number): number {
  let at = json[from] === MINUS ? from + 1 : from;
  at = json[at] === ZERO ? at + 1 : endOfDigits(json, at);
  if (json[at] === DOT) at = endOfDigits(json, at + 1);
  if (((json[at] ?? 0) | 0x20) !== SMALL_E) return at;
  const sign = json[at + 1];
  return endOfDigits(json, sign === 0x2b || sign === MINUS ? at + 2 : at + 1);
}

function endOfDigits(json: Buffer, from: number): number {
  let at = from;
  while (isDigit(json[at] ?? 0)) at += 1;
  if (at === from) throw malformed();
  return at;
}

function endOfWord(json: Buffer, from: number): number {
  const word = WORDS.find(([first]) => first === json[from]);
  if (word?.every((byte, at) => json[from + at] === byte) !== true) throw malformed();
  return from + word.length;
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39;
}

function isHexDigit(byte: number): boolean {
  const small = byte | 0x20;
  return isDigit(byte) || (small >= 0x61 && small <= 0x66);
}
