// Reads the Erlang terms that clients send back to CouchDB: update sequences and bookmarks (H20).
import { inflateSync } from 'node:zlib';
import { BadRequest, TooLarge, type HttpError } from '../http-errors.ts';
import { Quota } from '../limits/quota.ts';
import { ATOM_LENGTH_BYTES, COMPRESSED, HEAD_BYTES, VERSION } from './erlang-tags.ts';

/** The sequence of 250 shards, in 25 KiB, fills a request line. A byte can take a node 16 bytes of memory. */
const MAX_TERM_BYTES = 65_536;
/** Most compressed terms of one request. CouchDB reads one. */
const MAX_COMPRESSED = 4;
/** A node ends when it has a million atoms: it never forgets one. */
const MAX_ATOMS = 5000;
/** Part of `MAX_ATOMS` that one caller may bring: the names of a hundred nodes. */
const SHARE = 1 / 50;

/** Atoms of CouchDB itself. */
const OWN_ATOMS = ['nil', 'null', 'true', 'false', 'undefined', 'split', 'startkey', 'startkey_docid'];

/** Decides whether atoms of a client may reach CouchDB. */
export interface AtomGate {
  /** True if they may. `caller` is the shared key of the caller (principal/caller.ts). */
  admit(atoms: ReadonlySet<string>, caller: string): boolean;
}

/**
 * Counts the atoms that reach CouchDB from one process, which has one of these. An atom that was sent
 * before, or that is the name of a present node, is always permitted: only new atoms count. After callers
 * have used up `MAX_ATOMS`, CouchDB gets no new atom. This refuses one kind of genuine sequence: those with
 * the name of a node that was removed before this process started, which cannot be told from an invented
 * name. `MAX_ATOMS` is low because every restart of Couchgate begins a new count, and the atoms of all
 * counts stay in the node.
 */
export class AtomCount implements AtomGate {
  readonly #sent = new Set<string>(OWN_ATOMS);
  readonly #brought = new Quota(MAX_ATOMS, SHARE);
  readonly #nodes = new Set<string>();

  /** Always admits these names of nodes, which CouchDB has stated: its nodes have them as atoms already. */
  knowNodes(names: readonly string[]): void {
    for (const name of names) this.#nodes.add(Buffer.from(name).toString('latin1'));
  }

  admit(atoms: ReadonlySet<string>, caller: string): boolean {
    const added = this.#newOf(atoms);
    if (!this.#hasRoom(added, caller)) return false;
    if (added.length > 0) this.#brought.add(caller, added.length);
    for (const atom of added) this.#sent.add(atom);
    return true;
  }

  /** Answers as `admit`, and counts nothing: for a question about a request that is not sent. */
  readonly question: AtomGate = { admit: (atoms, caller) => this.#hasRoom(this.#newOf(atoms), caller) };

  #newOf(atoms: ReadonlySet<string>): readonly string[] {
    return [...atoms].filter((atom) => !this.#sent.has(atom) && !this.#nodes.has(atom));
  }

  #hasRoom({ length }: readonly string[], caller: string): boolean {
    return length === 0 || (this.#sent.size + length <= MAX_ATOMS && this.#brought.hasRoom(caller, length));
  }
}

/** The terms of one request. */
export class Terms {
  readonly #caller: string;
  readonly #atoms: AtomGate;
  #compressed = 0;

  /** @param caller The shared key of the caller. */
  constructor(caller: string, atoms: AtomGate) {
    this.#caller = caller;
    this.#atoms = atoms;
  }

  /**
   * Returns why CouchDB must not read this text, which it decodes as base64url and as an Erlang term. Text
   * that is no term is harmless: CouchDB refuses it.
   * Source: fabric_view_changes.erl, mango_json_bookmark.erl, dreyfus_bookmark.erl.
   */
  refuse(text: string): HttpError | undefined {
    // CouchDB's decoder accepts these characters only, and no padding.
    if (!text.startsWith('g') || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
    const bytes = Buffer.from(text, 'base64url');
    if (bytes[0] !== VERSION) return undefined;
    if (bytes[1] !== COMPRESSED) return this.#refuseAtoms(bytes.subarray(1));
    this.#compressed += 1;
    const term = inflated(bytes);
    if (this.#compressed > MAX_COMPRESSED || term instanceof TooLarge)
      return new TooLarge('the sequence or bookmark is too large');
    return term === undefined ? undefined : this.#refuseAtoms(term);
  }

  #refuseAtoms(term: Buffer): HttpError | undefined {
    const atoms = atomsIn(term);
    if (atoms === undefined || (atoms !== 'unknown' && this.#atoms.admit(atoms, this.#caller)))
      return undefined;
    return new BadRequest('The sequence or bookmark is not one of this server.');
  }
}

/** The node allocates the size that the head states before it decompresses. */
function inflated(bytes: Buffer): Buffer | TooLarge | undefined {
  if (bytes.length < HEAD_BYTES) return undefined;
  const size = bytes.readUInt32BE(2);
  if (size > MAX_TERM_BYTES) return new TooLarge();
  try {
    return inflateSync(bytes.subarray(HEAD_BYTES), { maxOutputLength: Math.max(size, 1) });
  } catch {
    return undefined;
  }
}

/** Bytes behind a tag of fixed length. https://www.erlang.org/doc/apps/erts/erl_ext_dist.html */
const FIXED: ReadonlyMap<number, number> = new Map([
  [70, 8], // float
  [97, 1], // small integer
  [98, 4], // integer
  [99, 31], // float as text
  [106, 0], // []
]);
/** Bytes of the length behind a tag, and further bytes in front of the content. */
const COUNTED: ReadonlyMap<number, readonly [lengthBytes: number, more: number]> = new Map([
  [77, [4, 1]], // bits
  [107, [2, 0]], // list of small integers
  [109, [4, 0]], // binary
  [110, [1, 1]], // large integer
  [111, [4, 1]], // larger integer
]);
/** Bytes of the number of elements, elements of each, and further elements. */
const CONTAINERS: ReadonlyMap<number, readonly [countBytes: number, each: number, more: number]> = new Map([
  [104, [1, 1, 0]], // tuple
  [105, [4, 1, 0]], // large tuple
  [108, [4, 1, 1]], // list and its tail
  [116, [4, 2, 0]], // map
]);

/**
 * The atoms of a term; undefined if it ends too early, which makes no atom. `unknown` = it holds something
 * else than data: a function, a process, a reference.
 */
function atomsIn(term: Buffer): ReadonlySet<string> | 'unknown' | undefined {
  const atoms = new Set<string>();
  let at = 0;
  const number = (bytes: number): number => {
    at += bytes;
    return at <= term.length ? term.readUIntBE(at - bytes, bytes) : Infinity;
  };
  for (let pending = 1; pending > 0; pending -= 1) {
    const tag = number(1);
    const counted = COUNTED.get(tag);
    const atom = ATOM_LENGTH_BYTES.get(tag);
    const container = CONTAINERS.get(tag);
    const fixed = FIXED.get(tag);
    if (fixed !== undefined) at += fixed;
    else if (counted !== undefined) {
      const length = number(counted[0]);
      at += length + counted[1];
    } else if (container !== undefined) pending += number(container[0]) * container[1] + container[2];
    else if (atom !== undefined) {
      const length = number(atom);
      atoms.add(term.toString('latin1', at, at + length));
      at += length;
    } else if (tag !== Infinity) return 'unknown';
    if (at > term.length) return undefined;
  }
  return atoms;
}
