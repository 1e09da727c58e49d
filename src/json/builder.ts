// Builds a value out of what a JSON scan reads, as strictly as CouchDB's parser, and bounded in depth and
// number.
import { BadRequest, TooLarge } from '../http-errors.ts';
import { numberIn } from './exact-numbers.ts';
import { type JsonKind, type JsonListener } from './scan.ts';

/** Levels of objects and arrays. A body of 2 MB with a million levels takes a node of CouchDB 500 MiB. */
export const DEEPEST = 1000;

/** Room for 40 000 names and their roles. */
export const MAX_VALUES = 250_000;

export interface JsonLimits {
  /** Values of all levels together. */
  readonly values: number;
  /** Levels of objects and arrays. */
  readonly depth: number;
}

/** Of what a client sends to be parsed. */
export const BODY_LIMITS: JsonLimits = { values: MAX_VALUES, depth: DEEPEST };

/** Of what CouchDB answers: documents that it has stored must stay readable. */
export const ANSWER_LIMITS: JsonLimits = { values: Infinity, depth: Infinity };

const BACKSLASH = 0x5c;
const FIRST_LETTER: Readonly<Record<number, true | false | null>> = { 0x74: true, 0x66: false, 0x6e: null };

/** With `u`, a pair is one character. */
const LONE_SURROGATE = /\p{Surrogate}/u;

type Container = unknown[] | Record<string, unknown>;

/** Builds the value that a `JsonScan` reads. Of duplicate keys the last one counts. */
export class JsonBuilder implements JsonListener {
  readonly maxDepth = Infinity;
  result: unknown = undefined;
  readonly #json: Buffer;
  readonly #exact: boolean;
  readonly #limits: JsonLimits;
  readonly #open: Container[] = [];
  #values = 0;
  #key = '';

  constructor(json: Buffer, exact: boolean, limits: JsonLimits = BODY_LIMITS) {
    this.#json = json;
    this.#exact = exact;
    this.#limits = limits;
  }

  key(depth: number, from: number, to: number): void {
    this.#open.length = depth;
    this.#key = textOf(this.#json, from, to);
  }

  value(depth: number, kind: JsonKind, from: number, to: number): void {
    this.#values += 1;
    if (this.#values > this.#limits.values) throw new TooLarge('the request body has too many values');
    if (depth >= this.#limits.depth && (kind === 'object' || kind === 'array'))
      throw new BadRequest('The request body is nested too deeply.');
    this.#open.length = depth;
    const value = this.#valueOf(kind, from, to);
    const parent = this.#open[depth - 1];
    if (parent === undefined) this.result = value;
    else if (Array.isArray(parent)) parent.push(value);
    else put(parent, this.#key, value);
    if (kind === 'object' || kind === 'array') this.#open.push(value as Container);
  }

  #valueOf(kind: JsonKind, from: number, to: number): unknown {
    if (kind === 'object') return {};
    if (kind === 'array') return [];
    if (kind === 'string') return textOf(this.#json, from, to);
    const word = FIRST_LETTER[this.#json[from] ?? 0];
    if (word !== undefined) return word;
    const token = this.#json.toString('latin1', from, to);
    return this.#exact ? numberIn(token) : Number(token);
  }
}

/** Assignment to `__proto__` would change the prototype. */
function put(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}

/**
 * The text between two quotes, which the scan has checked. Throws BadRequest for a lone surrogate, as
 * `parseJson` does. JSON.parse decodes megabytes of escapes in milliseconds.
 */
function textOf(json: Buffer, from: number, to: number): string {
  if (!hasEscape(json, from, to)) return json.toString('utf8', from, to);
  const text = JSON.parse(json.toString('utf8', from - 1, to + 1)) as string;
  if (LONE_SURROGATE.test(text)) throw malformed();
  return text;
}

function hasEscape(json: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at += 1) if (json[at] === BACKSLASH) return true;
  return false;
}

function malformed(): BadRequest {
  return new BadRequest('invalid UTF-8 JSON');
}
