// Determines the kinds of document ids in a JSON body, at the places where CouchDB reads them (H10).
import { classOfId, NOT_UTF8_ID, ORDINARY, type IdClass } from '../catalogue/document-id.ts';
import { BadRequest } from '../http-errors.ts';
import { type JsonKind, type JsonListener } from '../json/scan.ts';

/** Where the ids are: in the `_id` of one document, or of every member of `docs`. */
export type IdPlace = 'document-id' | 'bulk-ids';

/** Number of leading characters that determine the class of an id. */
const CLASS_PREFIX_LENGTH = '_local/shard-sync-'.length;

/** CouchDB has no limit. Its own paths, and every client, name much shorter ones. */
export const MAX_ID_BYTES = 65_536;

/** Created once: a body may have millions of faults, and only one is reported. */
const NO_OBJECT = new BadRequest('Request body must be a JSON object');
const NO_DOCS = new BadRequest('`docs` parameter must be an array.');
const NO_DOCUMENT = new BadRequest('Document must be a JSON object');
const BAD_ID = new BadRequest('Document id must be a string', 'illegal_docid');
const LONG_ID = new BadRequest('Document id is too long', 'illegal_docid');
/** A path cannot name such an id. CouchDB refuses the whole body, with less to go by. */
const NOT_UTF8 = new BadRequest(NOT_UTF8_ID, 'illegal_docid');

const UNDERSCORE = 0x5f;
const BACKSLASH = 0x5c;
const SMALL_U = 0x75;
const SMALL_A = 0x61;
const ZERO = 0x30;
const NINE = 0x39;
/** The bit that makes a letter lower case. */
const LOWER_CASE = 0x20;
/** Escapes of control characters: the letter after the backslash, and the character. */
const CONTROLS: readonly (readonly [string, string])[] = [
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
];
const UNESCAPED = Uint8Array.from({ length: 256 }, (_, byte) => byte);
for (const [escape, unescaped] of CONTROLS) UNESCAPED[escape.charCodeAt(0)] = unescaped.charCodeAt(0);

/**
 * Collects the classes of ids, and the first fault, from the events of a JSON scan. Of duplicate keys the
 * last one counts, as in CouchDB, where jiffy drops the others (`dedupe_keys`).
 */
export class DocumentIds implements JsonListener {
  readonly maxDepth: number;
  readonly #json: Buffer;
  /** The depth of the documents. */
  readonly #base: number;
  #fault: BadRequest | undefined;
  /** The fault of the current document. */
  #documentFault: BadRequest | undefined;
  #ids: IdClass = 0;
  /** The class of the current document's id; 0 before the first document. */
  #document: IdClass = 0;
  #isInDocs: boolean;
  #isAtId = false;

  constructor(json: Buffer, place: IdPlace) {
    this.#json = json;
    this.#base = place === 'document-id' ? 0 : 2;
    this.maxDepth = this.#base + 1;
    this.#isInDocs = place === 'document-id';
    if (place === 'bulk-ids') this.#fault = NO_DOCS;
  }

  key(depth: number, from: number, to: number): void {
    if (depth === this.#base + 1) this.#isAtId = this.#isInDocs && this.#isKey('_id', from, to);
    else if (depth === 1) this.#isInDocs = this.#isKey('docs', from, to);
  }

  value(depth: number, kind: JsonKind, from: number, to: number): void {
    if (depth === this.#base) {
      if (this.#isInDocs) this.#beginDocument(kind);
    } else if (depth === this.#base + 1) {
      if (this.#isAtId) this.#readId(kind, from, to);
      this.#isAtId = false;
    } else if (depth === 1) {
      if (this.#isInDocs) this.#beginDocs(kind);
    } else if (kind !== 'object') this.#fault = NO_OBJECT;
  }

  /**
   * The classes of all ids, after the last value. Throws BadRequest with CouchDB's sentence if a document or
   * an id is missing or has the wrong type.
   */
  classes(): IdClass {
    this.#endDocument();
    if (this.#fault !== undefined) throw this.#fault;
    return this.#ids;
  }

  #beginDocs(kind: JsonKind): void {
    this.#ids = 0;
    this.#document = 0;
    this.#documentFault = undefined;
    this.#fault = kind === 'array' ? undefined : NO_DOCS;
  }

  #beginDocument(kind: JsonKind): void {
    this.#endDocument();
    this.#document = ORDINARY;
    this.#documentFault = kind === 'object' ? undefined : NO_DOCUMENT;
  }

  #readId(kind: JsonKind, from: number, to: number): void {
    this.#documentFault = BAD_ID;
    if (kind !== 'string') return;
    // It is read in one go, and a scan must not block other requests (H20).
    if (to - from > MAX_ID_BYTES) {
      this.#documentFault = LONG_ID;
      return;
    }
    this.#documentFault = isWellFormed(this.#json, from, to) ? undefined : NOT_UTF8;
    this.#document = this.#classOf(from, to);
  }

  #endDocument(): void {
    this.#fault ??= this.#documentFault;
    this.#ids |= this.#document;
  }

  #isKey(name: string, from: number, to: number): boolean {
    let at = from;
    for (let index = 0; index < name.length; index += 1) {
      if (at >= to || characterAt(this.#json, at) !== name.charCodeAt(index)) return false;
      at += lengthAt(this.#json, at);
    }
    return at === to;
  }

  #classOf(from: number, to: number): IdClass {
    if (from === to || characterAt(this.#json, from) !== UNDERSCORE) return ORDINARY;
    let prefix = '';
    for (let at = from; at < to && prefix.length < CLASS_PREFIX_LENGTH; at += lengthAt(this.#json, at))
      prefix += String.fromCharCode(characterAt(this.#json, at));
    return classOfId(prefix);
  }
}

/**
 * True if every escaped surrogate of the text is one of a pair. The text has no others, because it is UTF-8.
 */
function isWellFormed(json: Buffer, from: number, to: number): boolean {
  let awaitsLow = false;
  for (let at = from; at < to; at += lengthAt(json, at)) {
    const isEscape = json[at] === BACKSLASH && json[at + 1] === SMALL_U;
    const kind = isEscape ? characterAt(json, at) & 0xfc00 : 0;
    if ((kind === 0xdc00) !== awaitsLow) return false;
    awaitsLow = kind === 0xd800;
  }
  return !awaitsLow;
}

/** Length of the character in a valid JSON string. A byte of a multi-byte character counts as one. */
function lengthAt(json: Buffer, at: number): number {
  if (json[at] !== BACKSLASH) return 1;
  return json[at + 1] === SMALL_U ? 6 : 2;
}

/**
 * The character code at `at`, unescaped. Bytes of a multi-byte character give other codes beyond ASCII, which
 * match no name.
 */
function characterAt(json: Buffer, at: number): number {
  const byte = json[at] ?? 0;
  if (byte !== BACKSLASH) return byte;
  const escaped = json[at + 1] ?? 0;
  if (escaped !== SMALL_U) return UNESCAPED[escaped] ?? 0;
  return (
    (digitAt(json, at + 2) << 12) |
    (digitAt(json, at + 3) << 8) |
    (digitAt(json, at + 4) << 4) |
    digitAt(json, at + 5)
  );
}

/** The value of a hexadecimal digit. */
function digitAt(json: Buffer, at: number): number {
  const byte = json[at] ?? 0;
  return byte <= NINE ? byte - ZERO : (byte | LOWER_CASE) - SMALL_A + 10;
}
