// Says which kinds of ids stand at the places where CouchDB looks for them in a body (H10). Reading JSON is json-scan.ts's business.
import { classOfId, NOT_UTF8_ID, ORDINARY, type IdClass } from '../catalogue/document-id.ts';
import { BadRequest } from '../http-errors.ts';
import { type JsonKind, type JsonListener } from './json-scan.ts';

/** Where the ids stand: the `_id` of one document, or of every member of `docs`. */
export type IdPlace = 'document-id' | 'bulk-ids';

/** So many characters of an id tell its class. */
const TELLING = '_local/shard-sync-'.length;

/** Made once: a body may have millions of faults, of which one is told. */
const NO_OBJECT = new BadRequest('Request body must be a JSON object');
const NO_DOCS = new BadRequest('`docs` parameter must be an array.');
const NO_DOCUMENT = new BadRequest('Document must be a JSON object');
const BAD_ID = new BadRequest('Document id must be a string', 'illegal_docid');
/** A path cannot name such an id. CouchDB refuses the whole body, with less to go by. */
const NOT_UTF8 = new BadRequest(NOT_UTF8_ID, 'illegal_docid');

const UNDERSCORE = 0x5f;
const BACKSLASH = 0x5c;
const SMALL_U = 0x75;
/** What stands for another character behind a backslash. */
const CONTROLS: readonly (readonly [string, string])[] = [
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
];
const MEANT = Uint8Array.from({ length: 256 }, (_, byte) => byte);
for (const [written, meant] of CONTROLS) MEANT[written.charCodeAt(0)] = meant.charCodeAt(0);

/**
 * Keeps the classes, and the first fault, of what it hears. Of duplicate keys the last one counts, as it does for CouchDB, which has jiffy
 * drop the others (`dedupe_keys`).
 */
export class DocumentIds implements JsonListener {
  readonly deepest: number;
  readonly #json: Buffer;
  /** The depth at which documents stand. */
  readonly #base: number;
  #fault: BadRequest | undefined;
  /** What is wrong with the document that is being read. */
  #documentFault: BadRequest | undefined;
  #ids: IdClass = 0;
  /** What it is if nothing is wrong; 0 before the first one. */
  #document: IdClass = 0;
  #isInDocs: boolean;
  #isAtId = false;

  constructor(json: Buffer, place: IdPlace) {
    this.#json = json;
    this.#base = place === 'document-id' ? 0 : 2;
    this.deepest = this.#base + 1;
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
      if (this.#isAtId) this.#takeId(kind, from, to);
      this.#isAtId = false;
    } else if (depth === 1) {
      if (this.#isInDocs) this.#beginDocs(kind);
    } else if (kind !== 'object') this.#fault = NO_OBJECT;
  }

  /** The classes of all ids, after the last value. Throws BadRequest where CouchDB would not find what it looks for. */
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

  #takeId(kind: JsonKind, from: number, to: number): void {
    this.#documentFault = BAD_ID;
    if (kind !== 'string') return;
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
    let beginning = '';
    for (let at = from; at < to && beginning.length < TELLING; at += lengthAt(this.#json, at))
      beginning += String.fromCharCode(characterAt(this.#json, at));
    return classOfId(beginning);
  }
}

/** True if every escaped surrogate of the text is one of a pair. The text has no others, because it is UTF-8. */
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

/** How many bytes of a well-formed text are one character, or a part of one beyond ASCII. */
function lengthAt(json: Buffer, at: number): number {
  if (json[at] !== BACKSLASH) return 1;
  return json[at + 1] === SMALL_U ? 6 : 2;
}

/** The character that they stand for. A part of one comes out as another one beyond ASCII: no name that is looked for has such. */
function characterAt(json: Buffer, at: number): number {
  const byte = json[at] ?? 0;
  if (byte !== BACKSLASH) return byte;
  const escaped = json[at + 1] ?? 0;
  return escaped === SMALL_U
    ? Number.parseInt(json.toString('latin1', at + 2, at + 6), 16)
    : (MEANT[escaped] ?? 0);
}
