// Limits what a `_bulk_get` names: CouchDB holds every document of the answer in memory (H15).
import { BadRequest, TooLarge } from '../http-errors.ts';
import { scanInPortions } from '../json/portions.ts';
import { type JsonKind, type JsonListener } from '../json/scan.ts';

/** CouchDB has no limit. Its replicator sends up to 500, couchbackup up to `--buffer-size` (500). */
const ENTRIES = 10_000;
/** A follower of `_changes` may see a change again, so couchbackup may name a document twice. */
const EQUAL_ENTRIES = 3;
/**
 * With `latest=true`, each ancestor of a leaf gives that leaf. It has one in each generation; conflicts are
 * in few.
 */
const GENERATIONS = 100;
const PORTION_BYTES = 262_144;
/** `docs` with each character escaped. */
const LONGEST_NAME = 24;

/** CouchDB reads `+1-a` and `01-a` as `1-a`. */
const REVISION = /^\+?0*([0-9]+)-(.*)$/s;

interface NamedDocument {
  readonly revisions: Map<string, number>;
  readonly generations: Set<string>;
}

/** Counts what the entries of `docs` name. Of duplicate keys the last one counts, as in CouchDB. */
class BulkGetEntries implements JsonListener {
  readonly maxDepth = 3;
  readonly #json: Buffer;
  #documents = new Map<string, NamedDocument>();
  #entries = 0;
  #isInDocs = false;
  #field = '';
  #id: string | undefined;
  #revision: string | undefined;

  constructor(json: Buffer) {
    this.#json = json;
  }

  key(depth: number, from: number, to: number): void {
    if (depth === 3) this.#field = this.#nameAt(from, to);
    else if (depth === 1) {
      this.endEntry();
      this.#isInDocs = this.#nameAt(from, to) === 'docs';
      if (!this.#isInDocs) return;
      this.#documents = new Map();
      this.#entries = 0;
    }
  }

  value(depth: number, kind: JsonKind, from: number, to: number): void {
    if (!this.#isInDocs || depth < 2) return;
    if (depth === 2) this.#beginEntry();
    else {
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
    if (equal > EQUAL_ENTRIES) throw new BadRequest('docs names the same revision of a document repeatedly');
    if (named.generations.size > GENERATIONS)
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

/** The generation, and the revision in one spelling. CouchDB reads 32 characters as a hexadecimal number. */
function partsOf(revision: string): readonly [generation: string, revision: string] {
  const [, generation = '', hash = revision] = REVISION.exec(revision) ?? [];
  const isNumber = hash.length === 32;
  const spelled = isNumber ? hash.toLowerCase().replace(/^\+/, '0') : hash;
  return [generation, `${generation}-${spelled}`];
}

/**
 * Throws 400 for a body of `_bulk_get` that is not JSON or names a revision repeatedly, and 413 if it names
 * too many. Reads in portions, so that the event loop is not blocked.
 */
export async function refuseBulkGet(json: Buffer): Promise<void> {
  const entries = new BulkGetEntries(json);
  await scanInPortions(json, entries, PORTION_BYTES);
  entries.endEntry();
}
