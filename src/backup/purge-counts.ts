// Compares `purge_seq` by its meaning: how many purges a copy of each range has had. CouchDB states the copy
// that answers first, so that its text differs without any purge (fabric_db_info.erl, pack_seqs).
import { inflateSync } from 'node:zlib';

/** Purges of the copies that have had some, by `node first-last`: the name of the node, and the range. */
export type PurgeCounts = Readonly<Record<string, number>>;

/** Up to which purges a chain is complete. */
export interface PurgeState {
  readonly purge_seq: string;
  /** Of every copy that a run has seen. Absent in snapshots of older versions. */
  readonly purges?: PurgeCounts;
}

/** Far more than the copies of the largest database have. */
const MAX_TERM_BYTES = 1024 * 1024;
const HEAD_BYTES = 6;
// Tags of https://www.erlang.org/doc/apps/erts/erl_ext_dist.html
const VERSION = 131;
const COMPRESSED = 80;
const SMALL_INTEGER = 97;
const INTEGER = 98;
const LARGE_INTEGER = 110;
const SMALL_TUPLE = 104;
const LIST = 108;
const NIL = 106;
/** Bytes of the length of an atom. */
const ATOMS: ReadonlyMap<number, number> = new Map([
  [100, 2],
  [115, 1],
  [118, 2],
  [119, 1],
]);

/**
 * Compares the purges of a chain with the `purge_seq` of the database. `mayHave` = there may have been one: a
 * copy has another number than it had, or a copy that was not seen has had some. A purge reaches every copy
 * in the end, so none is missed for ever.
 */
export function comparePurges(
  known: PurgeState,
  purgeSeq: string,
): { readonly mayHave: boolean; readonly next: PurgeState } {
  const now = purgeCounts(purgeSeq);
  if (now === undefined)
    return { mayHave: known.purge_seq !== purgeSeq, next: { purge_seq: purgeSeq, purges: {} } };
  const before = new Map(Object.entries(known.purges ?? purgeCounts(known.purge_seq) ?? {}));
  const mayHave = Object.entries(now).some(([copy, count]) => count !== (before.get(copy) ?? 0));
  const after = Object.entries({ ...Object.fromEntries(before), ...now }).filter(([, count]) => count > 0);
  return { mayHave, next: { purge_seq: purgeSeq, purges: Object.fromEntries(after) } };
}

/**
 * The counts of a packed sequence, which is the term `[{Node, [First, Last], Count}, …]`. Undefined if it is
 * anything else.
 */
export function purgeCounts(purgeSeq: string): PurgeCounts | undefined {
  const [, opaque = ''] = /^\d+-([A-Za-z0-9_-]+)$/.exec(purgeSeq) ?? [];
  const bytes = Buffer.from(opaque, 'base64url');
  if (bytes[0] !== VERSION) return undefined;
  try {
    const options = { maxOutputLength: MAX_TERM_BYTES };
    const isPacked = bytes[1] === COMPRESSED;
    return countsIn(isPacked ? inflateSync(bytes.subarray(HEAD_BYTES), options) : bytes.subarray(1));
  } catch {
    return undefined;
  }
}

/** Throws for another term. */
function countsIn(term: Buffer): PurgeCounts {
  const reader = new TermReader(term);
  const counts = new Map<string, number>();
  for (let left = reader.listLength(); left > 0; left -= 1) {
    reader.expect(SMALL_TUPLE, 3);
    const node = reader.atom();
    reader.expect(LIST, 0, 0, 0, 2);
    const range = `${reader.integer()}-${reader.integer()}`;
    reader.expect(NIL);
    counts.set(`${node} ${range}`, reader.integer());
  }
  return Object.fromEntries(counts);
}

/** Every method throws for anything else than it reads. */
class TermReader {
  readonly #term: Buffer;
  #at = 0;

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
    const lengthBytes = ATOMS.get(this.#byte());
    if (lengthBytes === undefined) throw new RangeError('no atom');
    const length = this.#number(lengthBytes);
    this.#at += length;
    return this.#term.toString('utf8', this.#at - length, this.#at);
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

  #byte(): number {
    return this.#number(1);
  }

  #number(bytes: number): number {
    this.#at += bytes;
    return this.#term.readUIntBE(this.#at - bytes, bytes);
  }
}
