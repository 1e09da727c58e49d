// Finds the documents in a JSON text of CouchDB, without changing a byte, and computes their canonical form.
// The canonical form is the base of the content hash; docs/backup-format.md defines it.
import { hash } from 'node:crypto';
import { numberIn, writeJson } from '../json/exact-numbers.ts';

/** A member of an object: where it is in the text, and its canonical value. */
export interface Member {
  readonly name: string;
  /** The canonical name, with its quotes. */
  readonly key: string;
  /** Position of the key. */
  readonly start: number;
  readonly valueStart: number;
  /** Position after the value. */
  readonly end: number;
  readonly canonical: string;
}

/** An object of a larger text, with its members in their order. */
export interface ScannedObject {
  readonly start: number;
  readonly end: number;
  readonly members: readonly Member[];
}

/** Thrown for a text that is not JSON. */
export class InvalidJson extends Error {}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** JSON does not allow these in a string. */
const CONTROL = /[^ -\uffff]/g;

/** A shorter part of a text is copied when it is joined. */
const COPIED_LENGTH = 512;

/** A position of `indexOf`; -1 = never. */
function positionOr(found: number): number {
  return found < 0 ? Infinity : found;
}

interface Frame {
  readonly isObject: boolean;
  readonly keys: string[];
  readonly values: string[];
}

/** Reads JSON values one after the other. It is not recursive: documents may be nested deeply. */
export class JsonCursor {
  readonly text: string;
  at: number;
  /** Position of the next backslash, and of the next control character: strings are passed by a search. */
  #backslash = -1;
  #control = -1;

  constructor(text: string, at = 0) {
    this.text = text;
    this.at = at;
  }

  /** The character code at the position, after white space. */
  peek(): number {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return code;
      this.at += 1;
    }
  }

  /** Passes the character, or throws. */
  expect(code: number): void {
    if (this.peek() !== code) throw new InvalidJson('unexpected character');
    this.at += 1;
  }

  /** Passes the character if it is next. */
  accept(code: number): boolean {
    if (this.peek() !== code) return false;
    this.at += 1;
    return true;
  }

  /** Reads a string and returns it in canonical form, with its quotes. */
  string(): string {
    this.expect(QUOTE);
    const start = this.at - 1;
    let end = this.text.indexOf('"', this.at);
    const escaped = this.#nextBackslash() < end;
    while (escaped && end >= 0 && this.#isEscaped(end)) end = this.text.indexOf('"', end + 1);
    if (end < 0 || this.#nextControl() < end) throw new InvalidJson('unterminated string');
    this.at = end + 1;
    const raw = this.text.slice(start, this.at);
    return escaped ? JSON.stringify(parsed(raw)) : raw;
  }

  /** True after an odd number of backslashes. */
  #isEscaped(quote: number): boolean {
    let start = quote;
    while (this.text.charCodeAt(start - 1) === BACKSLASH) start -= 1;
    return (quote - start) % 2 === 1;
  }

  #nextBackslash(): number {
    if (this.#backslash < this.at) this.#backslash = positionOr(this.text.indexOf('\\', this.at));
    return this.#backslash;
  }

  #nextControl(): number {
    if (this.#control < this.at) {
      CONTROL.lastIndex = this.at;
      this.#control = positionOr(CONTROL.exec(this.text)?.index ?? -1);
    }
    return this.#control;
  }

  /** Calls `each` for every member of an object; `each` must read the value. */
  object(each: (key: string, keyStart: number) => void): void {
    this.expect(OPEN_OBJECT);
    if (this.accept(CLOSE_OBJECT)) return;
    do {
      this.peek();
      const keyStart = this.at;
      const key = this.string();
      this.expect(COLON);
      this.peek();
      each(key, keyStart);
    } while (this.accept(COMMA));
    this.expect(CLOSE_OBJECT);
  }

  /** Calls `each` for every item of an array; `each` must read the item. */
  array(each: () => void): void {
    this.expect(OPEN_ARRAY);
    if (this.accept(CLOSE_ARRAY)) return;
    do {
      this.peek();
      each();
    } while (this.accept(COMMA));
    this.expect(CLOSE_ARRAY);
  }

  /** Reads an object and returns the place and canonical value of each member. */
  scanObject(): ScannedObject {
    this.peek();
    const start = this.at;
    const members: Member[] = [];
    this.object((key, keyStart) => {
      const valueStart = this.at;
      const canonical = this.value();
      const name = key.includes('\\') ? (parsed(key) as string) : key.slice(1, -1);
      members.push({ name, key, start: keyStart, valueStart, end: this.at, canonical });
    });
    return { start, end: this.at, members };
  }

  /** Reads any value and returns its canonical form. */
  value(): string {
    const stack: Frame[] = [];
    for (;;) {
      let done = this.#begin(stack);
      while (done !== undefined) {
        const frame = stack.at(-1);
        if (frame === undefined) return done;
        frame.values.push(done);
        done = this.#next(frame) ? undefined : canonicalOf(stack.pop());
        if (done === undefined && frame.isObject) this.#key(frame);
      }
    }
  }

  /** Reads a scalar or an empty container and returns it; opens a container and returns undefined. */
  #begin(stack: Frame[]): string | undefined {
    const code = this.peek();
    if (code === QUOTE) return this.string();
    if (code === OPEN_OBJECT) {
      this.at += 1;
      if (this.accept(CLOSE_OBJECT)) return '{}';
      const frame = { isObject: true, keys: [], values: [] };
      stack.push(frame);
      this.#key(frame);
      return undefined;
    }
    if (code === OPEN_ARRAY) {
      this.at += 1;
      if (this.accept(CLOSE_ARRAY)) return '[]';
      stack.push({ isObject: false, keys: [], values: [] });
      return undefined;
    }
    return this.#scalar();
  }

  #key(frame: Frame): void {
    this.peek();
    frame.keys.push(this.string());
    this.expect(COLON);
  }

  /** True if another item follows. */
  #next(frame: Frame): boolean {
    if (this.accept(COMMA)) return true;
    this.expect(frame.isObject ? CLOSE_OBJECT : CLOSE_ARRAY);
    return false;
  }

  #scalar(): string {
    const start = this.at;
    while (isScalarCode(this.text.charCodeAt(this.at))) this.at += 1;
    const raw = this.text.slice(start, this.at);
    if (raw === 'true' || raw === 'false' || raw === 'null') return raw;
    if (!/^-?\d/.test(raw)) throw new InvalidJson('unexpected character');
    return canonicalNumber(raw);
  }
}

/** Letters, digits and `+ - .`: the characters of numbers and of `true`, `false`, `null`. */
function isScalarCode(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) ||
    (code >= 0x61 && code <= 0x7a) ||
    code === 0x2d ||
    code === 0x2e ||
    code === 0x2b ||
    code === 0x45
  );
}

function parsed(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    throw new InvalidJson('invalid JSON');
  }
}

/**
 * A number by its value: 1.0 and 1 are equal. A number that a double does not hold keeps its text.
 */
function canonicalNumber(raw: string): string {
  if (raw.length < 16 && /^-?\d+$/.test(raw)) return raw === '-0' ? '0' : raw;
  // The spelling that JavaScript would choose itself: no digit is lost.
  if (String(Number(raw)) === raw) return raw;
  return writeJson(numberIn(raw));
}

function canonicalOf(frame: Frame | undefined): string {
  if (frame === undefined) throw new InvalidJson('unexpected end');
  if (!frame.isObject) return `[${joined(frame.values)}]`;
  return canonicalObject(frame.keys, frame.values);
}

/**
 * Joins with commas. `join` copies its parts, so the innermost value of a nested document would be copied
 * once for each level: minutes for 200 000 levels. A long part is appended, which V8 does without a copy.
 */
function joined(parts: readonly string[]): string {
  if (parts.every(({ length }) => length < COPIED_LENGTH)) return parts.join(',');
  let text = '';
  let short: string[] = [];
  for (const part of parts) {
    short.push(part);
    if (part.length < COPIED_LENGTH) continue;
    short.pop();
    const before = short.length === 0 ? '' : `${short.join(',')},`;
    text = text === '' ? before + part : `${text},${before}${part}`;
    short = [];
  }
  return short.length === 0 ? text : `${text},${short.join(',')}`;
}

/** Joins members in the order of their canonical keys. `keys` have quotes. */
export function canonicalObject(keys: readonly string[], values: readonly string[]): string {
  const order = keys.map((_, at) => at);
  let sorted = true;
  for (let at = 1; at < keys.length && sorted; at += 1) sorted = (keys[at - 1] ?? '') <= (keys[at] ?? '');
  if (!sorted) order.sort((a, b) => compare(keys[a] ?? '', keys[b] ?? '') || a - b);
  return `{${joined(order.map((at) => `${keys[at] ?? ''}:${values[at] ?? ''}`))}}`;
}

/** Compares UTF-16 code units, as the order of ids in an index. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function sha256(data: string | Buffer): string {
  return hash('sha256', data, 'hex');
}
