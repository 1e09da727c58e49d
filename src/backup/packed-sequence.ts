// Reads the sequences of a CouchDB cluster. Each has one copy of every range, whichever answered first: two
// of them can only be compared copy by copy (fabric_db_info.erl; fabric_view_changes.erl, pack_seqs).
import { deflateSync, inflateSync } from 'node:zlib';
import { ATOM_LENGTH_BYTES, COMPRESSED, HEAD_BYTES, VERSION } from '../body/erlang-tags.ts';

/** What a sequence says of one copy of a range. */
export interface CopySequence {
  /** `node first-last`: the name of the node, and the range. */
  readonly copy: string;
  /** Stands for its file; empty in `purge_seq`. */
  readonly file: string;
  readonly count: number;
  /** Its part of the term. */
  readonly term: Buffer;
}

/** Far more than the copies of the largest database have. */
const MAX_TERM_BYTES = 1024 * 1024;
// Tags of https://www.erlang.org/doc/apps/erts/erl_ext_dist.html
const SMALL_INTEGER = 97;
const INTEGER = 98;
const LARGE_INTEGER = 110;
const SMALL_TUPLE = 104;
const BINARY = 109;
const LIST = 108;
const NIL = 106;
const SMALL_UTF8_ATOM = 119;

/**
 * The copies of a packed sequence, which is the term `[{Node, [First, Last], Count}, …]`, with the count of
 * purges or `{Count, File, Node}`. Undefined if it is anything else.
 */
export function copiesIn(sequence: string): readonly CopySequence[] | undefined {
  const [, opaque = ''] = /^\d+-([A-Za-z0-9_-]+)$/.exec(sequence) ?? [];
  const bytes = Buffer.from(opaque, 'base64url');
  if (bytes[0] !== VERSION) return undefined;
  try {
    const options = { maxOutputLength: MAX_TERM_BYTES };
    const isPacked = bytes[1] === COMPRESSED;
    return copiesOf(isPacked ? inflateSync(bytes.subarray(HEAD_BYTES), options) : bytes.subarray(1));
  } catch {
    return undefined;
  }
}

/** Throws for another term. */
function copiesOf(term: Buffer): readonly CopySequence[] {
  const reader = new TermReader(term);
  const copies: CopySequence[] = [];
  for (let left = reader.listLength(); left > 0; left -= 1) {
    const begin = reader.at;
    reader.expect(SMALL_TUPLE, 3);
    const node = reader.atom();
    reader.expect(LIST, 0, 0, 0, 2);
    const range = `${reader.integer()}-${reader.integer()}`;
    reader.expect(NIL);
    const position = reader.position();
    copies.push({ copy: `${node} ${range}`, ...position, term: term.subarray(begin, reader.at) });
  }
  return copies;
}

/** The sequence of copies, of their parts. As a `since`, it makes CouchDB read from these, if they are up. */
export function packSequence(terms: readonly Buffer[]): string {
  const head = Buffer.alloc(HEAD_BYTES - 1);
  head.writeUInt32BE(terms.length, head.writeUInt8(LIST));
  const term = Buffer.concat([head, ...terms, Buffer.from([NIL])]);
  const packed = Buffer.alloc(HEAD_BYTES);
  packed.writeUInt32BE(term.length, packed.writeUInt16BE(VERSION * 256 + COMPRESSED));
  return `0-${Buffer.concat([packed, deflateSync(term)]).toString('base64url')}`;
}

/** The part of a sequence that stands for the beginning of a copy, `node first-last`. */
export function beginningOf(copy: string): Buffer {
  const [node = '', range = ''] = copy.split(' ');
  const name = Buffer.from(node);
  const bounds = range.split('-').flatMap((bound) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(Number(bound));
    return [LARGE_INTEGER, bytes.length, 0, ...bytes];
  });
  const atom = [SMALL_UTF8_ATOM, name.length, ...name];
  return Buffer.from([SMALL_TUPLE, 3, ...atom, LIST, 0, 0, 0, 2, ...bounds, NIL, SMALL_INTEGER, 0]);
}

/** Every method throws for anything else than it reads. */
class TermReader {
  readonly #term: Buffer;
  #at = 0;

  get at(): number {
    return this.#at;
  }

  constructor(term: Buffer) {
    this.#term = term;
  }

  expect(...bytes: readonly number[]): void {
    for (const byte of bytes) if (this.#byte() !== byte) throw new RangeError('another term');
  }

  listLength(): number {
    const tag = this.#byte();
    if (tag === NIL) return 0;
    if (tag !== LIST) throw new RangeError('no list');
    return this.#number(4);
  }

  atom(): string {
    const lengthBytes = ATOM_LENGTH_BYTES.get(this.#byte());
    if (lengthBytes === undefined) throw new RangeError('no atom');
    return this.#text(this.#number(lengthBytes));
  }

  /** A number, or `{Count, File, Node}`. */
  position(): Pick<CopySequence, 'count' | 'file'> {
    if (this.#term[this.#at] !== SMALL_TUPLE) return { count: this.integer(), file: '' };
    this.expect(SMALL_TUPLE, 3);
    const count = this.integer();
    this.expect(BINARY);
    const file = this.#text(this.#number(4));
    this.atom();
    return { count, file };
  }

  /** None of them is negative. */
  integer(): number {
    const tag = this.#byte();
    if (tag === SMALL_INTEGER) return this.#byte();
    if (tag === INTEGER) return this.#number(4);
    if (tag !== LARGE_INTEGER) throw new RangeError('no integer');
    const length = this.#byte();
    this.expect(0);
    const at = this.#at;
    this.#at += length;
    return this.#term.readUIntLE(at, length);
  }

  #text(length: number): string {
    this.#at += length;
    return this.#term.toString('utf8', this.#at - length, this.#at);
  }

  #byte(): number {
    return this.#number(1);
  }

  #number(bytes: number): number {
    this.#at += bytes;
    return this.#term.readUIntBE(this.#at - bytes, bytes);
  }
}
