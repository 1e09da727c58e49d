// Limits what a `_bulk_get` names: CouchDB holds every document of the answer in memory (H15).
import { BadRequest, TooLarge } from '../http-errors.ts';
import { INVALID_REVISION, SHORT_TEXT_BYTES } from './document-fields.ts';
import { parametersOf, rawParametersOf } from './query-parameters.ts';
import { scanInPortions } from '../json/portions.ts';
import { type JsonKind, type JsonListener } from '../json/scan.ts';

/** CouchDB has no limit. Its replicator sends up to 500, couchbackup up to `--buffer-size` (500). */
const ENTRIES = 10_000;

/** What the entries may name of one document. */
interface Repetition {
  /** Most entries with the same revision. */
  readonly equal: number;
  /** Most generations; a generation may have any number of conflicts. */
  readonly generations: number;
}

/** A follower of `_changes` may see a change again, so couchbackup may name a document twice. */
const OF_REVISIONS: Repetition = { equal: 3, generations: 1000 };
/** The replicator and PouchDB name every leaf of a document once, also deleted ones. */
const OF_LEAVES: Repetition = { equal: 1, generations: 1000 };
/**
 * With `latest=true`, an ancestor gives all conflicts that come from it, and each of them has an ancestor in
 * each generation. Past this number of generations, CouchDB gets the request without `latest`: the answer
 * for a leaf is the same, and every entry gives one revision at most.
 */
const GENERATIONS_WITH_LATEST = 30;
/** `docs` with each character escaped. */
const LONGEST_NAME = 24;

const GENERATION = /^\+?[0-9]+$/;
const HASH = /^([+-]?)([0-9a-f]+)$/i;

interface NamedDocument {
  readonly revisions: Map<string, number>;
  readonly generations: Set<string>;
}

/** Counts what the entries of `docs` name. Of duplicate keys the last one counts, as in CouchDB. */
class BulkGetEntries implements JsonListener {
  readonly maxDepth = 3;
  readonly #json: Buffer;
  readonly #repetition: Repetition;
  /** Generations of the document that has the most. */
  mostGenerations = 0;
  #documents = new Map<string, NamedDocument>();
  #entries = 0;
  #isInDocs = false;
  #field = '';
  #id: string | undefined;
  #revision: string | undefined;

  constructor(json: Buffer, repetition: Repetition) {
    this.#json = json;
    this.#repetition = repetition;
  }

  key(depth: number, from: number, to: number): void {
    if (depth === 3) this.#field = this.#nameAt(from, to);
    else if (depth === 1) {
      this.endEntry();
      this.#isInDocs = this.#nameAt(from, to) === 'docs';
      if (!this.#isInDocs) return;
      this.#documents = new Map();
      this.#entries = 0;
      this.mostGenerations = 0;
    }
  }

  value(depth: number, kind: JsonKind, from: number, to: number): void {
    if (!this.#isInDocs || depth < 2) return;
    if (depth === 2) this.#beginEntry();
    else {
      if (this.#field === 'rev' && to - from > SHORT_TEXT_BYTES)
        throw new TooLarge('docs has a revision that is too long');
      if (this.#field === 'rev' && (kind === 'array' || kind === 'object'))
        throw new BadRequest(INVALID_REVISION);
      const text = kind === 'string' ? textAt(this.#json, from, to) : undefined;
      if (this.#field === 'id') this.#id = text;
      else if (this.#field === 'rev') this.#revision = text;
    }
  }

  #beginEntry(): void {
    this.endEntry();
    this.#entries += 1;
    if (this.#entries > ENTRIES) throw new TooLarge(`docs may have ${ENTRIES} entries at most`);
  }

  /** Throws BadRequest or TooLarge if the entry that ends here repeats another. */
  endEntry(): void {
    const id = this.#id;
    const [generation, revision] = partsOf(this.#revision ?? '');
    this.#id = undefined;
    this.#revision = undefined;
    if (id === undefined) return;
    const named = this.#documents.get(id) ?? {
      revisions: new Map<string, number>(),
      generations: new Set<string>(),
    };
    this.#documents.set(id, named);
    const equal = (named.revisions.get(revision) ?? 0) + 1;
    named.revisions.set(revision, equal);
    named.generations.add(generation);
    this.mostGenerations = Math.max(this.mostGenerations, named.generations.size);
    if (equal > this.#repetition.equal)
      throw new BadRequest('docs names the same revision of a document repeatedly');
    if (named.generations.size > this.#repetition.generations)
      throw new TooLarge('docs names too many generations of one document; name them in several requests');
  }

  #nameAt(from: number, to: number): string {
    return to - from > LONGEST_NAME ? '' : textAt(this.#json, from, to);
  }
}

/** The text of a valid JSON string without its quotes. */
function textAt(json: Buffer, from: number, to: number): string {
  const text = json.toString('utf8', from, to);
  return text.includes('\\') ? String(JSON.parse(`"${text}"`)) : text;
}

/**
 * The generation, and the revision in one spelling. CouchDB reads `+1-a` and `01-a` as `1-a`. The text has
 * up to 64 KiB, so no expression may read it again and again (H20.8).
 */
function partsOf(revision: string): readonly [generation: string, revision: string] {
  const dash = revision.indexOf('-');
  const before = revision.slice(0, Math.max(dash, 0));
  const generation = GENERATION.test(before) ? before.replace(/^\+?0*(?=[0-9])/, '') : '';
  const hash = generation === '' ? revision : revision.slice(dash + 1);
  return [generation, `${generation}-${hashInOneSpelling(hash)}`];
}

/** CouchDB reads 32 bytes as a hexadecimal number of 128 bits, also with a sign, and keeps 16 bytes. */
function hashInOneSpelling(hash: string): string {
  const bytes = Buffer.from(hash);
  if (bytes.length === 16) return bytes.toString('hex');
  const [, sign, digits] = (bytes.length === 32 ? HASH.exec(hash) : null) ?? [];
  if (digits === undefined) return hash;
  const number = BigInt(`0x${digits}`);
  return BigInt.asUintN(128, sign === '-' ? -number : number)
    .toString(16)
    .padStart(32, '0');
}

function asksForLatest(query: string): boolean {
  return parametersOf(query).getAll('latest').includes('true');
}

/** `query` without the parameters called `latest`. It begins with `?`. */
function withoutLatest(query: string): string {
  const others = rawParametersOf(query).filter((parameter) => !new URLSearchParams(parameter).has('latest'));
  return others.length === 0 ? '' : `?${others.join('&')}`;
}

/**
 * Checks a body of `_bulk_get`, and returns the query that CouchDB may get. Throws 400 for a body that is not
 * JSON or names a revision repeatedly, and 413 if it names too many. Reads in portions, so that the event
 * loop is not blocked.
 */
export async function checkBulkGet(json: Buffer, query: string): Promise<string> {
  const isLatest = asksForLatest(query);
  const entries = new BulkGetEntries(json, isLatest ? OF_LEAVES : OF_REVISIONS);
  await scanInPortions(json, entries);
  entries.endEntry();
  return isLatest && entries.mostGenerations > GENERATIONS_WITH_LATEST ? withoutLatest(query) : query;
}
