// Scans JSON and reports keys and values as events, strictly and without building objects.
import { BadRequest } from '../http-errors.ts';

export type JsonKind = 'object' | 'array' | 'string' | 'other';

/**
 * Receives keys and values in document order. `depth` is the number of enclosing objects and arrays; `from`
 * and `to` are the byte range of a string.
 */
export interface JsonListener {
  /** Events beyond this depth are not reported. */
  readonly maxDepth: number;
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

/** 1 for every byte that may follow a backslash as a whole escape. */
const SHORT_ESCAPES = new Uint8Array(256);
for (const byte of Buffer.from('"\\/bfnrt')) SHORT_ESCAPES[byte] = 1;

const WORDS = ['true', 'false', 'null'].map((word) => [...Buffer.from(word)]);

/** Maximum nesting of what a client sends; deeper JSON is treated as an attack. */
const MAX_DEPTH = 100_000;

/** The token that the grammar expects next. */
const Next = { value: 0, firstValue: 1, key: 2, firstKey: 3, colon: 4, separator: 5, nothing: 6 } as const;
type Next = (typeof Next)[keyof typeof Next];

/**
 * Scans JSON in portions, so that other requests run in between. The input must be valid UTF-8. A body of 64
 * MiB can hold twenty million objects: JSON.parse would block the process for twenty seconds and use
 * gigabytes (H15). Pinned by test/hostile/h15-large-bodies.test.ts, and to JSON.parse itself by
 * test/property/inspected-ids.test.ts.
 */
export class JsonScan {
  readonly #json: Buffer;
  readonly #listener: JsonListener;
  readonly #maxDepth: number;
  /** For every open level, true = an object. */
  readonly #open: boolean[] = [];
  #next: Next = Next.value;
  #at = 0;
  /** Start of the string that is being read. */
  #stringFrom: number | undefined;

  constructor(json: Buffer, listener: JsonListener, maxDepth = MAX_DEPTH) {
    this.#json = json;
    this.#listener = listener;
    this.#maxDepth = maxDepth;
  }

  /**
   * Scans about `bytes` further bytes. Returns false at the end of the input. Throws BadRequest for invalid
   * JSON.
   */
  read(bytes: number): boolean {
    const json = this.#json;
    const end = Math.min(this.#at + bytes, json.length);
    while (this.#at < end) {
      const byte = json[this.#at] ?? 0;
      if (this.#stringFrom !== undefined) this.#string(this.#stringFrom, end);
      else if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) this.#at += 1;
      else this.#token(byte);
    }
    if (this.#at < json.length) return true;
    if (this.#next !== Next.nothing || this.#stringFrom !== undefined) throw malformed();
    return false;
  }

  #token(byte: number): void {
    if (byte === QUOTE) this.#stringFrom = this.#at += 1;
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
    if (this.#open.length >= this.#maxDepth) throw new BadRequest('The request body is nested too deeply.');
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

  /** Continues a string up to `end`. Reports it when its closing quote is found. */
  #string(from: number, end: number): void {
    this.#at = endOfString(this.#json, this.#at, end);
    if (this.#json[this.#at] !== QUOTE || this.#at >= end) return;
    const depth = this.#open.length;
    if (this.#next === Next.key || this.#next === Next.firstKey) {
      if (depth <= this.#listener.maxDepth) this.#listener.key(depth, from, this.#at);
      this.#next = Next.colon;
    } else this.#value('string', from, this.#at);
    this.#stringFrom = undefined;
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
    if (depth <= this.#listener.maxDepth) this.#listener.value(depth, kind, from, to);
    this.#next = depth === 0 ? Next.nothing : Next.separator;
  }
}

function malformed(): BadRequest {
  return new BadRequest('invalid UTF-8 JSON');
}

/** The index of the closing quote, or the first index at or after `end` where the string continues. */
function endOfString(json: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end) {
    const byte = json[at] ?? 0;
    if (byte === QUOTE) return at;
    if (byte < 0x20) throw malformed();
    at += byte === BACKSLASH ? lengthOfEscape(json, at) : 1;
  }
  return at;
}

/** RFC 8259 section 7. */
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
